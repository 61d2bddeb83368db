"""An engine that is stalled while there is work is restarted; one that works is left alone."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import BackendUnavailable
from chatbot_ai.domain.generation import GenerationRequest, Sampling
from chatbot_ai.server import supervisor as supervisor_module
from chatbot_ai.server.engines import engine_spec, read_progress
from chatbot_ai.server.probe import Address
from chatbot_ai.server.supervisor import Child, ProcessSpec, Supervisor
from chatbot_ai.server.work import Work
from chatbot_ai.settings import OfficeSettings
from support.api_lab import running_lab, until
from support.engines import RunningEngine, free_port, options_for
from support.waiting import HANG_S

TIMEOUT_S = 1.0
#: A server as llama.cpp's: /health always answers; each look at its work is one line of `figures`,
#: "running waiting batches", the last one for ever; an empty line is no answer at all, one with "!"
#: comes late.
SERVER = """
import http.server, sys, time
figures = sys.argv[2].split(",")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = "ok"
        if self.path == "/metrics":
            now = figures.pop(0) if len(figures) > 1 else figures[0]
            if not now:
                time.sleep(600)
            if "!" in now:
                now = now.rstrip("!")
                time.sleep(float(sys.argv[3]))
            names = ("requests_processing", "requests_deferred", "n_decode_total")
            text = "# a comment\\n" + "".join(
                f"llamacpp:{name} {number}\\n" for name, number in zip(names, now.split())
            )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@asynccontextmanager
async def scripted(figures: str) -> AsyncIterator[Child]:
    """A supervised server that tells these figures of its work."""
    address = ("127.0.0.1", free_port())

    async def ready() -> bool:
        return await read_progress(address, "key", timeout_s=HANG_S) != -1

    spec = ProcessSpec(
        "engine",
        [sys.executable, "-c", SERVER, str(address[1]), f"0 0 0,{figures}", str(TIMEOUT_S * 0.6)],
        ready,
        start_timeout_s=HANG_S,
        progress=lambda: read_progress(address, "key", timeout_s=TIMEOUT_S),
        stall_timeout_s=TIMEOUT_S,
    )
    supervisor = Supervisor([spec], dict(os.environ))
    supervisor.start()
    try:
        await supervisor.wait_ready()
        yield supervisor.children["engine"]
    finally:
        await supervisor.stop()


@pytest.mark.parametrize(
    "figures",
    ["1 0 7", "0 3 7", "1 0 5,1 0 6,1 0 7", "1 0 7,", "1 0 5,1 0 6,", ""],
    ids=["running", "waiting", "after work", "silent", "silent after work", "silent at once"],
)
async def test_one_that_stands_still_is_restarted(figures: str) -> None:
    """Whether it still tells that it works or answers nothing; its state says so before that."""
    states = set()
    async with scripted(figures) as child:
        while not child.stalls:
            states.add(child.state)
            await asyncio.sleep(0.02)
        await until(lambda: child.restarts == 1)
    assert "stalled" in states
    assert child.to_dict()["stalls"] == 1


async def test_one_that_works_or_has_nothing_to_do_is_left_alone() -> None:
    """However long that takes; a batch may take most of the time."""
    work = ",".join(f"1 0 {number // 4}" for number in range(60))
    for figures in (work, "0 0 7"):
        async with scripted(figures) as child:
            await asyncio.sleep(3 * TIMEOUT_S)
            assert (child.state, child.restarts) == ("ready", 0)


async def test_a_long_batch_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch holds the answer for most of the timeout; a new question would wait for the next."""
    asked = []

    async def note(address: Address, api_key: str, timeout_s: float) -> int | None:
        asked.append(timeout_s)
        return await read_progress(address, api_key, timeout_s)

    monkeypatch.setattr("chatbot_ai.server.engines.read_progress", note)
    settings = OfficeSettings(_env_file=None, engine_stall_timeout_s=TIMEOUT_S)
    options = options_for(Path("model.gguf"), port=free_port())
    spec = engine_spec("engine", options, settings, None, lambda _line: None)
    figures = ",".join(f"1 0 {number}!" for number in range(9))
    command = [sys.executable, "-c", SERVER, str(options.port), figures, str(TIMEOUT_S * 0.6)]
    supervisor = Supervisor([replace(spec, command=command)], dict(os.environ))
    supervisor.start()
    try:
        await supervisor.wait_ready()
        await asyncio.sleep(4 * TIMEOUT_S)
        assert supervisor.children["engine"].stalls == 0
        assert 2 <= len(asked) <= 6
    finally:
        await supervisor.stop()


async def test_a_first_answer_is_allowed_more_after_each_that_took_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else an engine that compiles for longer than its allowance would never answer."""
    count = itertools.count()
    monkeypatch.setattr(supervisor_module, "measure_work", lambda *_: Work(next(count), 0, 0))
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.02)
    figures = itertools.chain([0] * 10**4)

    async def progress() -> int | None:
        return next(figures)

    spec = ProcessSpec(
        "engine",
        ["sleep", "600"],
        lambda: asyncio.sleep(0, result=True),
        start_timeout_s=0.2,
        progress=progress,
        stall_timeout_s=0.1,
    )
    supervisor = Supervisor([spec], dict(os.environ))
    with structlog.testing.capture_logs() as logs:
        supervisor.start()
        child = supervisor.children["engine"]
        try:
            await until(lambda: child.stalls == 4)
            figures = itertools.chain([0, 1, 2], [2] * 10**4)  # the next one works, then stalls
            await until(lambda: child.stalls == 5)
        finally:
            await supervisor.stop()
    stalls = [entry for entry in logs if entry["event"] == "process.stalled"]
    assert [stall["next_first_answer_s"] for stall in stalls] == [0.4, 0.8, 1.6, 1.6, 0.2]
    assert all(stall["seconds"] >= 0.2 * 2**n for n, stall in enumerate(stalls[:4]))


async def test_a_first_answer_may_compile_kernels() -> None:
    """Processor time counts as long as nothing was ever computed, up to the start's timeout."""
    busy = SERVER.replace(
        "http.server.Threading",
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\n"
        "http.server.Threading",
    )
    address = ("127.0.0.1", free_port())
    spec = ProcessSpec(
        "engine",
        [sys.executable, "-c", busy, str(address[1]), "1 0 0"],
        lambda: asyncio.sleep(0.5, result=True),
        start_timeout_s=HANG_S,
        progress=lambda: read_progress(address, "key", timeout_s=TIMEOUT_S),
        stall_timeout_s=TIMEOUT_S,
    )
    supervisor = Supervisor([spec], dict(os.environ))
    supervisor.start()
    try:
        await asyncio.sleep(4 * TIMEOUT_S)
        assert supervisor.children["engine"].stalls == 0
    finally:
        await supervisor.stop()


async def test_a_stopped_engine_answers_again(tmp_path: Path, model_file: Path) -> None:
    """A real one: whoever it was answering gets an error at once when it is ended, as in a crash,
    and the next caller an answer."""
    settings = OfficeSettings(_env_file=None, engine_stall_timeout_s=4)
    options = options_for(model_file, port=free_port(), context_tokens=512)
    spec = engine_spec("engine", options, settings, None, lambda _line: None)
    supervisor = Supervisor([spec], dict(os.environ))
    supervisor.start()
    child = supervisor.children["engine"]
    model = RunningEngine(options, None).model()  # type: ignore[arg-type]
    now = asyncio.get_running_loop().time
    sampling = Sampling(max_tokens=300)

    def request() -> GenerationRequest:
        return GenerationRequest((Message("user", "Count."),), sampling, now() + HANG_S)

    try:
        await supervisor.wait_ready()
        stream = model.stream(request())
        await anext(stream)
        assert child.pid
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(BackendUnavailable):
            async for _ in stream:
                pass
        assert child.stalls == 1
        await until(lambda: child.restarts == 1 and child.state == "ready")
        assert [event async for event in model.stream(request())]
    finally:
        await model.close()
        await supervisor.stop()


async def test_readiness_tells_of_a_stalled_engine(tmp_path: Path) -> None:
    """It answers when asked how it is, all the same."""

    async def stalled() -> dict[str, object]:
        return {"managed": True, "state": "stalled", "restarts": 0, "stalls": 0}

    async with running_lab(tmp_path) as office:
        object.__setattr__(office.services, "engine", stalled)
        answer = await office.http.get("/readyz")
        assert (answer.status_code, answer.json()["model"]) == (503, "model_stalled")
        performance = await office.http.get("/performance")
        assert performance.json()["engine"]["stalls"] == 0
