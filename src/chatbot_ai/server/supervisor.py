"""A group of child processes: started together, watched, restarted, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from chatbot_ai.domain.errors import EXIT_CONFIGURATION, ConfigurationError
from chatbot_ai.server.work import has_progressed, measure_work
from chatbot_ai.settings import without_secrets

log = structlog.get_logger()

State = Literal["starting", "ready", "stalled", "waiting", "stopped"]

#: Pause before a restart in seconds: the first is short, as most deaths are single.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
#: A child that was ready for so long starts over with the short pause.
STABLE_AFTER_S = 60.0
PROBE_EVERY_S = 0.05
#: Deaths before it was ever ready after which the start of the whole is given up.
START_ATTEMPTS = 3
#: Seconds between asking to end and killing; the whole group ends within five.
STOP_GRACE_S = 3.5

#: While a child starts: how often its progress is looked at.
PROGRESS_EVERY_S = 2.0

#: While a child runs: of its stall timeout, how often it is asked what it is at, and after how much
#: without progress it counts as stalled.
LOOKS_PER_STALL = 10
STALLED_SHARE = 0.5
#: How many start timeouts a first answer may take at most: doubled after each that took longer.
MOST_PATIENCE = 8

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One child: how to start it and how to see that it is ready.

    with_secrets    inherits the operator's secrets too; the others get an environment without
    ready           asked every 50 ms while starting; False or an exception mean "not yet"
    standard_input  written once, then closed: the way for secrets, which command lines show
    on_line         called with every line the child prints
    sockets         open sockets that the child inherits, with the same numbers
    start_timeout_s seconds without progress after which a starting child is killed: it printed
                    nothing, used no processor and read no file. One that makes progress may take
                    any time, as compiling kernels or a slow disk do.
    progress        asked while it runs: anything that changes as the work goes on, None where there
                    is none to do; OSError or ValueError where it does not answer
    stall_timeout_s seconds without progress after which a running child is killed; 0: never
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    standard_input: bytes | None = None
    sockets: Sequence[socket.socket] = ()
    on_line: Callable[[str], None] = lambda _line: None
    start_timeout_s: float = 60.0
    progress: Callable[[], Awaitable[object]] | None = None
    stall_timeout_s: float = 0.0
    stop_signal: signal.Signals = signal.SIGTERM
    with_secrets: bool = False


#: How our own programs begin the line that says why they end.
LAST_WORDS = ("chatbot-ai: ", "engine failed: ")


class Child:
    """A supervised process and its present state."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.state: State = "starting"
        self.restarts = 0
        self.stalls = 0
        self.patience = 1
        self.process: asyncio.subprocess.Process | None = None
        self.last_line = ""
        self.lines = 0
        self.became_ready = asyncio.Event()
        self.cannot_start = asyncio.Event()

    def take_line(self, line: str) -> None:
        """Take a line that the process printed."""
        if "/health" not in line:  # our own probes in an access log are no progress
            self.lines += 1
        # what a program says of its own end counts, whatever its libraries still log after it
        if line.startswith(LAST_WORDS) or (line and not self.last_line.startswith(LAST_WORDS)):
            self.last_line = line
        self.spec.on_line(line)

    def count_stall(self, stalled_s: float, allowed_s: float) -> None:
        """Note that it is ended after so long without progress. Where its first answer was allowed
        `allowed_s` > 0 and took longer, the next process is allowed twice that, so that restarts
        end; one that has worked is followed by one with the first allowance."""
        self.stalls += 1
        if not allowed_s:
            self.patience = 1
        elif stalled_s >= allowed_s:
            self.patience = min(2 * self.patience, MOST_PATIENCE)
        log.error(
            "process.stalled",
            process=self.spec.name,
            seconds=round(stalled_s, 1),
            next_first_answer_s=self.spec.start_timeout_s * self.patience,
        )

    def to_dict(self) -> dict[str, Any]:
        """What operators are told; `stalls` are those of the restarts that a hang made needful."""
        return {"state": self.state, "restarts": self.restarts, "stalls": self.stalls}

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


class Supervisor:
    """Starts children, restarts those that die with growing pauses, and stops all.

    environment is the whole environment of the children, less its secrets where a spec does not
    ask for them; a spec's own is added to it.
    """

    def __init__(self, specs: Sequence[ProcessSpec], environment: Mapping[str, str]) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        self._environment = dict(environment)
        self._stopping = False
        self._watchers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to start every child; returns at once."""
        self._watchers = [
            asyncio.create_task(self._keep(child), name=f"supervise {child.spec.name}")
            for child in self.children.values()
        ]

    async def wait_ready(self) -> None:
        """Return when every child was ready once.

        Raises ConfigurationError, with the last thing that it said, if a child ends START_ATTEMPTS
        times before that or says that its set-up is wrong.
        """
        ready = asyncio.create_task(self._all_ready())
        failing = [
            asyncio.create_task(self._raise_failure(child)) for child in self.children.values()
        ]
        try:
            await asyncio.wait(
                [ready, *failing, *self._watchers], return_when=asyncio.FIRST_COMPLETED
            )
            for task in (*self._watchers, *failing):
                if task.done():
                    task.result()
        finally:
            for waiting in (ready, *failing):
                waiting.cancel()

    async def watch(self) -> None:
        """Run until `stop`. Raises ConfigurationError if a child says that its set-up is wrong."""
        await asyncio.gather(*self._watchers)

    async def stop(self) -> None:
        """End every child, politely first; all are gone when this returns, within 5 s."""
        self._stopping = True
        await asyncio.gather(*(self._end(child) for child in self.children.values()))
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def _all_ready(self) -> None:
        for child in self.children.values():
            await child.became_ready.wait()

    async def _raise_failure(self, child: Child) -> None:
        await child.cannot_start.wait()
        raise _cannot_start(child)

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            child.state = "starting"
            started = time.monotonic()
            process = await self._start(child)
            reading = asyncio.create_task(_read_lines(process, child.take_line))
            probing = asyncio.create_task(self._probe(child))
            code = await _exit_code(process)
            probing.cancel()
            # a child's own children must not keep its ports (nginx workers outlive a killed master)
            _signal_group(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reading, 3)
            if self._is_stopping():
                break
            child.state = "waiting"
            if code == EXIT_CONFIGURATION:
                raise _cannot_start(child)
            if child.restarts + 1 >= START_ATTEMPTS and not child.became_ready.is_set():
                child.cannot_start.set()
            if time.monotonic() - started > STABLE_AFTER_S:
                pause = FIRST_PAUSE_S
            log.warning("process.died", process=child.spec.name, code=code, restart_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            child.restarts += 1
        child.state = "stopped"

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        spec = child.spec
        inherited = self._environment if spec.with_secrets else without_secrets(self._environment)
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.PIPE if spec.standard_input else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=inherited | dict(spec.environment),
            start_new_session=True,
            pass_fds=[one.fileno() for one in spec.sockets],
            preexec_fn=_die_with_parent,
        )
        child.process = process
        if spec.standard_input and process.stdin:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(spec.standard_input)
                await process.stdin.drain()
            process.stdin.close()
        return process

    async def _probe(self, child: Child) -> None:
        timeout_s = child.spec.start_timeout_s
        progressed = looked = time.monotonic()
        work = await asyncio.to_thread(measure_work, child.pid, child.lines)
        while not await _is_ready(child.spec):
            now = time.monotonic()
            if now - looked >= min(PROGRESS_EVERY_S, timeout_s / 4):
                before, work = work, await asyncio.to_thread(measure_work, child.pid, child.lines)
                if has_progressed(before, work, now - looked):
                    progressed = now
                looked = now
            if now - progressed > timeout_s and child.process:
                log.error("process.start_timeout", process=child.spec.name)
                _signal_group(child.process.pid, signal.SIGKILL)
                return
            await asyncio.sleep(PROBE_EVERY_S)
        child.state = "ready"
        child.became_ready.set()
        log.info("process.ready", process=child.spec.name, restarts=child.restarts)
        await self._watch_progress(child)

    async def _watch_progress(self, child: Child) -> None:
        """Kill a child that makes no progress while there is work, as a process that is alive and
        answers our probes may do: in a grammar without end, in a driver."""
        spec = child.spec
        if spec.progress is None or not spec.stall_timeout_s:
            return
        step: object = None
        has_worked = False
        look_s = spec.stall_timeout_s / LOOKS_PER_STALL
        progressed = time.monotonic()
        work = await asyncio.to_thread(measure_work, child.pid, child.lines)
        question: asyncio.Future[object] | None = None
        try:
            while True:
                before, last = step, work
                if question is None:
                    await asyncio.sleep(look_s)
                    question = asyncio.ensure_future(spec.progress())
                # the same one until it is answered: a batch may take longer than many looks
                await asyncio.wait([question], timeout=look_s)
                if question.done():
                    answered, question = question, None
                    with contextlib.suppress(OSError, ValueError):
                        step = answered.result()
                        has_worked = has_worked or (before is not None and step != before)
                        if step is None or step != before:
                            progressed, child.state = time.monotonic(), "ready"
                            continue
                stalled_s = time.monotonic() - progressed
                # its first answer may compile kernels for minutes
                allowed_s = 0 if has_worked else spec.start_timeout_s * child.patience
                if stalled_s < allowed_s:
                    work = await asyncio.to_thread(measure_work, child.pid, child.lines)
                    if has_progressed(last, work, look_s):
                        continue
                if stalled_s > spec.stall_timeout_s and child.state == "stalled" and child.process:
                    child.count_stall(stalled_s, allowed_s)
                    _signal_group(child.process.pid, signal.SIGKILL)
                    return
                if stalled_s > spec.stall_timeout_s * STALLED_SHARE:
                    child.state = "stalled"
        finally:
            if question is not None:
                question.cancel()

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.spec.stop_signal)
        try:
            await asyncio.wait_for(_exit_code(process), STOP_GRACE_S)
        except TimeoutError:
            log.warning("process.killed", process=child.spec.name)
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _cannot_start(child: Child) -> ConfigurationError:
    reason = child.last_line or "it exited without a message; its log may say why"
    for program in (*LAST_WORDS, "engine: "):
        reason = reason.removeprefix(program)
    return ConfigurationError(f"{child.spec.name} cannot start: {reason}")


async def _exit_code(process: asyncio.subprocess.Process) -> int:
    """Wait for the process itself.

    asyncio's own `wait` returns only when its pipes are closed too, and the workers of a killed
    nginx hold them open for as long as they live.
    """
    ended = asyncio.Event()
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        pass
    else:
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
    while process.returncode is None:  # noqa: ASYNC110 - asyncio's watcher reaps it any moment
        await asyncio.sleep(0.01)
    return process.returncode


async def _is_ready(spec: ProcessSpec) -> bool:
    try:
        return await spec.ready()
    except OSError:
        return False


async def _read_lines(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
    if process.stdout is None:
        return
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue  # a line longer than the stream's buffer; it was dropped
        if not line:
            return
        on_line(line.decode(errors="replace").rstrip())


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _die_with_parent() -> None:
    """In the child: let the kernel end it when the supervisor dies, however that dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
