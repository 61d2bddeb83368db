"""How long a child may take to start: as long as it makes progress."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from chatbot_ai.server.supervisor import ProcessSpec, Supervisor
from chatbot_ai.server.work import Work, has_progressed

TIMEOUT_S = 1.5
#: Each takes several timeouts until it says that it is ready.
IMPORTS = "import time\n"
LOOP = f"{IMPORTS}for _ in range(20):\n    time.sleep(0.25)\n    "
BUSY = f"{IMPORTS}end = time.monotonic() + 5\nwhile time.monotonic() < end: pass\n"
TALKING = f"{LOOP}print('loading', flush=True)\n"
READING = f"{LOOP}open('/dev/zero', 'rb').read(8 << 20)\n"
SLEEPING = f"{IMPORTS}time.sleep(5)\n"
PROBED = f"{LOOP}print('GET /health 503', flush=True)\n"
READY = "print('ready', flush=True); time.sleep(600)\n"


async def restarts_until_ready(program: str) -> int:
    """Start the program; return 0 when it is ready, and 1 when it was killed before that."""

    lines: list[str] = []

    async def ready() -> bool:
        return "ready" in lines

    command = [sys.executable, "-c", program + READY]
    spec = ProcessSpec("engine", command, ready, on_line=lines.append, start_timeout_s=TIMEOUT_S)
    supervisor = Supervisor([spec], dict(os.environ))
    supervisor.start()
    child = supervisor.children["engine"]
    try:
        while not child.became_ready.is_set() and not child.restarts:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return child.restarts
    finally:
        await supervisor.stop()


@pytest.mark.parametrize("program", [BUSY, TALKING, READING], ids=["cpu", "log", "disk"])
async def test_one_that_makes_progress_is_not_given_up(program: str) -> None:
    """Kernels that are compiled for minutes and a model on a slow disk load to the end."""
    assert await restarts_until_ready(program) == 0


@pytest.mark.parametrize("program", [SLEEPING, PROBED], ids=["silent", "probed"])
async def test_one_that_hangs_is_restarted(program: str) -> None:
    """Nothing printed but our own probes, no processor used, nothing read."""
    assert await restarts_until_ready(program) == 1


def test_what_counts_as_progress() -> None:
    """A line, 5 % of a processor, a mebibyte; what answering probes costs does not."""
    before = Work(lines=3, cpu_s=10.0, read_bytes=1 << 30)
    assert not has_progressed(before, Work(3, 10.02, (1 << 30) + 5000), 2.0)
    assert has_progressed(before, Work(4, 10.0, 1 << 30), 2.0)
    assert has_progressed(before, Work(3, 10.2, 1 << 30), 2.0)
    assert has_progressed(before, Work(3, 10.0, (1 << 30) + (2 << 20)), 2.0)
