"""What a start costs beyond the model: the second `chatbot-ai up` against the bare engine.

    python bench/startup.py [--pairs 7] [--json FILE]

Each pair starts the engine alone, until its /health is 200, and the whole group, until both
assistants' /readyz are 200 through the gateway, one after the other in an order that alternates.
Both load the same file with the same options. A first round, which makes the data folder, the
byte code and the page cache, does not count. The target is a ratio of 3 at most.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.server import engines
from chatbot_ai.server.engine_plan import plan_engines
from chatbot_ai.settings import load_config

TARGET_RATIO = 3.0
_START_S = 120.0
_POLL_S = 0.01
_REPOSITORY = Path(__file__).resolve().parents[1]


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


def seconds_until_ok(process: subprocess.Popen[bytes], port: int, paths: list[str]) -> float:
    """Poll until every path answers 200; the process must live until then."""
    began = time.perf_counter()
    waiting = list(paths)
    while waiting:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode} before it was ready")
        if time.perf_counter() - began > _START_S:
            raise RuntimeError(f"not ready after {_START_S} s: {waiting}")
        waiting = [path for path in waiting if not _is_ok(port, path)]
        if waiting:
            time.sleep(_POLL_S)
    return time.perf_counter() - began


def _is_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def engine_options() -> EngineOptions:
    """What `up` gives its engine on this machine: one engine with the slots of both assistants."""
    (plan,) = plan_engines(load_config(None))
    return plan.options


def bare_engine_s() -> float:
    """Seconds until a bare engine has loaded the model."""
    options = engine_options()
    process = subprocess.Popen(
        options.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if process.stdin is None:
            raise RuntimeError("the engine has no standard input")
        process.stdin.write(options.standard_input())
        process.stdin.close()
        return seconds_until_ok(process, options.port, ["/health"])
    finally:
        process.kill()
        process.wait()


def group_s(folder: Path) -> float:
    """Seconds until `chatbot-ai up` serves both assistants through the gateway."""
    gateway, office, character = free_ports(3)
    environment = os.environ | {
        "GATEWAY_PORT": str(gateway),
        "OFFICE_PORT": str(office),
        "CHARACTER_PORT": str(character),
        "DATA_DIR": str(folder / "data"),
        "LOG_DIR": str(folder / "logs"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "chatbot_ai.cli.main", "up"],
        env=environment,
        cwd=_REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return seconds_until_ok(process, gateway, [f"/{name}/readyz" for name in ASSISTANTS])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(15)


def measure(pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of the bare engine and of the group, pair by pair."""
    engine: list[float] = []
    group: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for pair in range(pairs + 1):
            if pair % 2:
                alone, whole = bare_engine_s(), group_s(folder)
            else:
                whole, alone = group_s(folder), bare_engine_s()
            if pair:
                engine.append(alone)
                group.append(whole)
                print(f"engine {alone:.2f} s  group {whole:.2f} s", file=sys.stderr)
    return engine, group


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def main() -> None:
    """Measure, print, write JSON where asked; exit 1 above the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    os.chdir(_REPOSITORY)
    ModelLibrary(load_config(None).shared.model_dir).ensure(engines.DEMO_MODEL)
    engine, group = measure(chosen.pairs)
    ratio = spread([whole / alone for whole, alone in zip(group, engine, strict=True)])
    result = {
        "pairs": chosen.pairs,
        "engine_s": spread(engine),
        "group_s": spread(group),
        "ratio": ratio,
        "target_ratio": TARGET_RATIO,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
