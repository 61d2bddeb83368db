"""A real engine process on the demo model, as the services start one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.llm.llama import LlamaModel
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.models.manifest import DEMO
from chatbot_ai.server.engines import ENGINE_ENVIRONMENT, ModelChoice, engine_options
from chatbot_ai.settings import OfficeSettings
from support.gguf_files import keep_layers
from support.isolation import guard
from support.waiting import HANG_S

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
CONTEXT_TOKENS = 2048
SLOTS = 4
START_TIMEOUT_S = HANG_S
#: The first and last layers of the demo model's 30. A prompt costs a tenth, an answer a quarter.
QUICK_LAYERS = (0, 1, 28, 29)
#: Named as the demo model is, which examples show; relative to MODELS.
QUICK_MODEL = f"quick/{DEMO.path.name}"
MODELS = ROOT / ".pytest_cache" / "models"


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that serves."""

    options: EngineOptions
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.options.url

    def model(self) -> LlamaModel:
        return LlamaModel(
            self.url,
            name="demo",
            context_tokens=self.options.context_tokens,
            api_key=self.options.api_key,
        )

    def busy_slots(self) -> int:
        """How many slots generate at this moment."""
        return sum(slot["is_processing"] for slot in self._get("/slots").json())

    def metric(self, name: str) -> int:
        """What the engine itself has counted so far."""
        line = re.search(rf"^llamacpp:{name} (\S+)$", self._get("/metrics").text, re.MULTILINE)
        assert line
        return int(float(line[1]))

    def _get(self, path: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.options.api_key}"}
        address = f"{self.url}{path}"
        answer = httpx2.get(address, headers=headers, trust_env=False, timeout=HANG_S)
        return answer.raise_for_status()


def demo_model() -> Path:
    """The demo model in the repository's own models folder, fetched there once."""
    with guard.opened():
        return ModelLibrary(ROOT / "ai_model").ensure("demo")


def quick_model() -> Path:
    """The demo model with few of its layers: the same tokens, template and engine, whose answers
    are words without sense. For tests of what happens around an answer."""
    demo = demo_model()
    path = MODELS / QUICK_MODEL
    if not path.is_file() or path.stat().st_mtime < demo.stat().st_mtime:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_layers(demo, path, QUICK_LAYERS)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options_for(model_path: Path, **changes: object) -> EngineOptions:
    """What the settings' defaults give an engine, smaller, and with these changes."""
    small = OfficeSettings(
        _env_file=None, context_tokens=CONTEXT_TOKENS, threads=2, mlock=False, host_cache_mib=64
    )
    options = engine_options(
        small, ModelChoice(model_path, demo=False), slots=SLOTS, port=free_port()
    )
    return replace(options, **changes)  # type: ignore[arg-type]


@contextmanager
def running_engine(options: EngineOptions, log: Path) -> Iterator[RunningEngine]:
    """Start the engine, wait until it has loaded its model, and end it afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            options.command(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)} | ENGINE_ENVIRONMENT,
        )
    try:
        assert process.stdin is not None
        process.stdin.write(options.standard_input())
        process.stdin.close()
        _wait_until_loaded(options, process, log)
        yield RunningEngine(options, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_loaded(options: EngineOptions, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + START_TIMEOUT_S
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < limit and process.poll() is None:
            try:
                if client.get(f"{options.url}/health").status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.05)
    raise AssertionError(f"the engine does not serve: {log.read_text(errors='replace')[-2000:]}")
