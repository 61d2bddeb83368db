"""The whole group on this machine, started by the same command as `make run`."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import httpx2

from support.engines import MODELS, QUICK_MODEL, quick_model
from support.process_tree import Process, children, descendants
from support.waiting import HANG_S

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "chatbot_ai.cli.main", "up")
ASSISTANTS = ("office", "character")
#: Seconds for a start: the first one on a machine fetches the demo model.
START_S = HANG_S
#: Seconds in which the group must mend itself, on a machine that is busy with other things.
HEAL_S = HANG_S
#: Seconds for an end; the product promises five on a quiet machine.
STOP_S = HANG_S
#: Variables of the developer's own shell that must not reach the group under test.
_FOREIGN = (
    "CHATBOT_", "GATEWAY_", "OFFICE_", "CHARACTER_", "OPENAI_", "MONGO", "GOOGLE_", "NAVER_",
    "SEARCH", "SEARXNG_", "APP_MODE", "LOG_", "LANG", "LC_", "BACKUP_", "DEFAULT_LANGUAGE",
)  # fmt: skip

Part = Literal["engine", "office", "character", "gateway"]
T = TypeVar("T")


def eventually(condition: Callable[[], T | None], within_s: float, what: str) -> T:
    """The first true value of `condition`, asked every 50 ms."""
    end = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """A group of its own below `folder`, on free ports, quick to answer."""
    gateway, office, character = free_ports(3)
    quick_model()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    return (
        inherited
        | {
            "PYTHONPATH": str(REPOSITORY / "src"),
            "GATEWAY_PORT": str(gateway),
            "OFFICE_PORT": str(office),
            "CHARACTER_PORT": str(character),
            "GATEWAY_RATE_PER_S": "500",
            "DATA_DIR": str(folder / "data"),
            "LOG_DIR": str(folder / "logs"),
            "MODEL_DIR": str(MODELS),
            "CHATBOT_MODEL_FILE": QUICK_MODEL,
            "CHATBOT_THREADS": "1",
            "CHATBOT_CONTEXT_TOKENS": "2048",
            "CHATBOT_ANSWER_TOKENS": "24",
            "REQUEST_DEADLINE_S": "60",
        }
        | changes
    )


def brief(folder: Path) -> dict[str, str]:
    """Settings of a group that answers sooner still: personas of one word, short answers.

    For tests of many answers after each other; what a persona says is none of their business.
    """
    prompts = folder / "prompts"
    prompts.mkdir()
    persona = {"name": "A", "system": "Talk."}
    for name in ("config-Llama.json", "config-OpenAI.json"):
        text = json.dumps(dict.fromkeys(ASSISTANTS, persona))
        (prompts / name).write_text(text, "utf-8")
    return {"PROMPT_DIR": str(prompts), "CHATBOT_ANSWER_TOKENS": "16"}


class StoredTurn(NamedTuple):
    """A turn as the SQLite file holds it."""

    index: int  # type: ignore[assignment]  # the method of tuples is not needed
    input: str
    output: str
    status: str


@dataclass
class Group:
    """`chatbot-ai up` as a child of the test, in a process group of its own like a terminal's."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['GATEWAY_PORT']}"

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text("utf-8")

    def start(self) -> None:
        """Start it; `wait_ready` waits for it."""
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                COMMAND,
                cwd=REPOSITORY,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, within_s: float = START_S) -> None:
        """Until both assistants are ready through the gateway."""

        def ready() -> bool:
            assert self.process.poll() is None, f"ended while starting:\n{self.output}"
            return self.is_ready()

        eventually(ready, within_s, f"ready at {self.url}")

    def is_ready(self) -> bool:
        return all(_is_ok(f"{self.url}/{name}/readyz") for name in ASSISTANTS)

    def pid(self, part: Part) -> int | None:
        """The process of one part, if it runs now."""
        marks = {"engine": "engine_process", "gateway": "nginx: master"}
        mark = marks.get(part, f" {part}")
        return next((c.pid for c in children(self.process.pid) if mark in c.command), None)

    def kill(self, part: Part) -> Process:
        """SIGKILL one part, as it is, and return what it was."""
        pid = eventually(lambda: self.pid(part), HEAL_S, f"{part} runs")
        victim = next(c for c in children(self.process.pid) if c.pid == pid)
        os.kill(pid, signal.SIGKILL)
        return victim

    def wait_healed(self, victim: Process, part: Part) -> None:
        """Until another process stands in for `victim` and everything is ready."""

        def healed() -> bool:
            assert self.process.poll() is None, f"the group has ended:\n{self.output}"
            return self.pid(part) not in (None, victim.pid) and self.is_ready()

        eventually(healed, HEAL_S, f"{part} is back")

    def interrupt(self) -> int:
        """Ctrl-C: SIGINT to the foreground process group, as a terminal sends it.

        Returns the exit code; everything that had been started must be gone within STOP_S.
        """
        everything = descendants(self.process.pid)
        assert everything
        os.killpg(self.process.pid, signal.SIGINT)

        def gone() -> bool:
            return self.process.poll() is not None and not any(p.is_alive for p in everything)

        eventually(gone, STOP_S, "everything has ended")
        return self.process.returncode

    def turns(self, assistant: str, user_id: str, db_id: str) -> list[StoredTurn]:
        """What the conversation file holds, in order; read as any other program may."""
        path = self.folder / "data" / "chatbot.sqlite3"
        query = """
            SELECT idx, input, answers, selected FROM turns JOIN conversations
            ON conversations.id = turns.conversation
            WHERE assistant = ? AND user_id = ? AND db_id = ? ORDER BY idx
        """
        with closing(
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=HANG_S)
        ) as connection:
            rows = connection.execute(query, (assistant, user_id, db_id)).fetchall()
        return [_stored(*row) for row in rows]

    def discard(self) -> None:
        """End it by force if a test left it running."""
        everything = descendants(self.process.pid)
        for left in [self.process.pid, *(p.pid for p in everything if p.is_alive)]:
            if left != self.process.pid or self.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)
        self.process.wait()


def _stored(index: int, text: str, answers: str, selected: int) -> StoredTurn:
    answer: dict[str, Any] = json.loads(answers)[selected]
    return StoredTurn(index, text, answer["text"], answer["status"])


def _is_ok(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=10).status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def started(folder: Path, **changes: str) -> Iterator[Group]:
    """A group that is ready; whatever the test did with it, nothing is left afterwards."""
    group = Group(folder, environment(folder, **changes))
    group.start()
    try:
        group.wait_ready()
        yield group
    finally:
        group.discard()


class Refused(NamedTuple):
    """How `up` ended when it could not start."""

    code: int
    output: str


def refused(environment_: dict[str, str], *, prefix: tuple[str, ...] = ()) -> Refused:
    """Run `up` where it cannot start. Fails if it hangs or leaves a process behind."""
    process = subprocess.Popen(
        [*prefix, *COMMAND],
        cwd=REPOSITORY,
        env=environment_,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    seen: set[Process] = set()

    def ended() -> bool:
        seen.update(descendants(process.pid))
        return process.poll() is not None

    try:
        eventually(ended, HEAL_S, "the start is given up")
        eventually(lambda: not any(p.is_alive for p in seen), STOP_S, "no child is left")
    finally:
        for left in [p.pid for p in seen if p.is_alive]:
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.kill()
        output, _ = process.communicate()
    return Refused(process.returncode, output.decode())
