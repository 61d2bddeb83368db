"""A real stack for measurements: the bare engine, and the same engine behind everything of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.server.engines import DEMO_MODEL, ENGINE_ENVIRONMENT, free_port

ROOT = Path(__file__).resolve().parents[1]
START_S = 120


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of one running stack."""

    url: str
    data: Path


def demo_model() -> Path:
    """The demo model's file, fetched if it is not there."""
    return ModelLibrary(ROOT / "ai_model").ensure(DEMO_MODEL)


@contextlib.contextmanager
def engine(
    *, slots: int, context_tokens: int, host_cache_mib: int = 512
) -> Iterator[EngineOptions]:
    """The bare engine with the demo model."""
    options = EngineOptions(
        model_path=str(demo_model()),
        port=free_port(),
        api_key="bench",
        slots=slots,
        context_tokens=context_tokens,
        threads=2,
        host_cache_mib=512,
    )
    process = subprocess.Popen(
        options.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | ENGINE_ENVIRONMENT,
    )
    try:
        if process.stdin:
            process.stdin.write(options.standard_input())
            process.stdin.close()
        wait_for(f"{options.url}/health")
        yield options
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def stack(**settings: str) -> Iterator[Stack]:
    """`chatbot-ai up` on free ports in a folder of its own, with these settings."""
    with tempfile.TemporaryDirectory(prefix="chatbot-bench-") as folder:
        port = free_port()
        environment = os.environ | {
            "GATEWAY_PORT": str(port),
            "OFFICE_PORT": str(free_port()),
            "CHARACTER_PORT": str(free_port()),
            "DATA_DIR": f"{folder}/data",
            "LOG_DIR": f"{folder}/logs",
            "MODEL_DIR": str(ROOT / "ai_model"),
            "PROMPT_DIR": str(ROOT / "prompt"),
            "GATEWAY_RATE_PER_S": "10000",
            "GATEWAY_RATE_BURST": "10000",
            "CHATBOT_THREADS": "2",
            # what is measured is this tree, wherever another one is installed from
            "PYTHONPATH": str(ROOT / "src"),
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "chatbot_ai.cli.main", "up"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            for assistant in ("office", "character"):
                wait_for(f"{url}/{assistant}/readyz")
            yield Stack(url, Path(folder) / "data")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def wait_for(url: str) -> None:
    """Return once `url` answers 200."""
    limit = time.monotonic() + START_S
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < limit:
            with contextlib.suppress(httpx2.HTTPError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.02)
    raise TimeoutError(url)
