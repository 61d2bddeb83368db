"""A real stack for measurements: the bare engine, and the same engine behind everything of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.server.engines import (
    DEMO_MODEL,
    ENGINE_ENVIRONMENT,
    ModelChoice,
    engine_options,
)
from chatbot_ai.settings import OfficeSettings

ROOT = Path(__file__).resolve().parents[1]
START_S = 120
STOP_S = 30
THREADS = 2
#: Both assistants answer with the demo model, whatever other model lies in the folder.
DEMO_SETTINGS = {
    "MODEL_DIR": str(ROOT / "ai_model"),
    "OFFICE_MODEL_FILE": DEMO_MODEL,
    "CHARACTER_MODEL_FILE": DEMO_MODEL,
}


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of one running stack."""

    url: str
    data: Path


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_model() -> Path:
    """The demo model's file, fetched if it is not there."""
    return ModelLibrary(ROOT / "ai_model").ensure(DEMO_MODEL)


def without_thread_settings() -> dict[str, str]:
    """This process's environment without what would change how an engine's threads wait."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}


@contextlib.contextmanager
def engine(
    *,
    slots: int,
    context_tokens: int,
    host_cache_mib: int = 512,
    environment: Mapping[str, str] = ENGINE_ENVIRONMENT,
) -> Iterator[EngineOptions]:
    """The bare engine with the demo model, in the environment that the supervisor gives it."""
    settings = OfficeSettings(
        _env_file=None,
        context_tokens=context_tokens,
        threads=THREADS,
        host_cache_mib=host_cache_mib,
    )
    options = engine_options(
        settings, ModelChoice(demo_model(), demo=True), slots=slots, port=free_port()
    )
    process = subprocess.Popen(
        options.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=without_thread_settings() | dict(environment),
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
    demo_model()
    with tempfile.TemporaryDirectory(prefix="chatbot-bench-") as folder:
        # the gateway's workers may have another user, who must reach its own folder in here
        Path(folder).chmod(0o755)
        port = free_port()
        environment = without_thread_settings() | {
            "GATEWAY_PORT": str(port),
            "OFFICE_PORT": str(free_port()),
            "CHARACTER_PORT": str(free_port()),
            "DATA_DIR": f"{folder}/data",
            "LOG_DIR": f"{folder}/logs",
            "PROMPT_DIR": str(ROOT / "prompt"),
            "GATEWAY_RATE_PER_S": "10000",
            "GATEWAY_RATE_BURST": "10000",
            "CHATBOT_THREADS": str(THREADS),
            # what is measured is this tree, wherever another one is installed from
            "PYTHONPATH": str(ROOT / "src"),
            **DEMO_SETTINGS,
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "chatbot_ai.cli.main", "up"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            for assistant in ("office", "character"):
                wait_for(f"{url}/{assistant}/readyz", process)
            yield Stack(url, Path(folder) / "data")
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a group that has a session of its own; what was measured is never lost to a slow end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"the stack did not stop within {STOP_S} s: killed\n")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return once `url` answers 200; fail at once if `process`, which is to serve it, has ended."""
    limit = time.monotonic() + START_S
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < limit:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode} before {url} answered")
            with contextlib.suppress(httpx2.HTTPError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.02)
    raise TimeoutError(url)


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once `process` listens on this loopback port."""
    limit = time.monotonic() + START_S
    while time.monotonic() < limit and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}; exit code {process.poll()}")
