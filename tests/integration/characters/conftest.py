"""The character service on a free port, without an engine: cards need none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from chatbot_ai.server.compose import build_app
from chatbot_ai.settings import load_config
from support.waiting import HANG_S

ROOT = Path(__file__).parents[3]
DEADLINE_S = HANG_S


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running character service."""
    folder = tmp_path_factory.mktemp("characters")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARACTER_ENGINE_URL", "http://127.0.0.1:9")
        config = load_config(
            None, data_dir=folder, log_dir=folder / "logs", prompt_dir=ROOT / "prompt"
        )
    with _served(uvicorn.Config(build_app("character", config), log_config=None)) as address:
        yield address


@pytest.fixture
def client(service: str) -> Iterator[httpx2.Client]:
    """A caller that speaks Korean."""
    with httpx2.Client(base_url=service, trust_env=False, timeout=DEADLINE_S) as caller:
        yield caller


@contextmanager
def _served(config: uvicorn.Config) -> Iterator[str]:
    server = uvicorn.Server(config)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        end = time.monotonic() + DEADLINE_S
        while not server.started and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.02)
        assert server.started
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
