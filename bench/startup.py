"""What a start costs beyond the model: the second `chatbot-ai up` against the bare engine.

    python -m bench.startup [--pairs 7] [--json FILE]

Each pair starts the engine alone, until its /health is 200, and the whole group, until both
assistants' /readyz are 200 through the gateway, one after the other in an order that alternates.
Both load the same file with the same options. A first round, which makes the data folder, the
byte code and the page cache, does not count.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.claims import arguments, paired, report, spread_of
from bench.stack import DEMO_SETTINGS, ROOT, demo_model, stop, without_thread_settings
from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.server import engines
from chatbot_ai.server.engine_plan import plan_engines
from chatbot_ai.settings import load_config

_START_S = 120.0
_POLL_S = 0.01


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
    return replace(plan.options, port=free_ports(1)[0])


def bare_engine_s() -> float:
    """Seconds until a bare engine has loaded the model."""
    options = engine_options()
    process = subprocess.Popen(
        options.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=without_thread_settings() | dict(engines.ENGINE_ENVIRONMENT),
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
    environment = without_thread_settings() | {
        "GATEWAY_PORT": str(gateway),
        "OFFICE_PORT": str(office),
        "CHARACTER_PORT": str(character),
        "DATA_DIR": str(folder / "data"),
        "LOG_DIR": str(folder / "logs"),
        "PYTHONPATH": str(ROOT / "src"),
        **DEMO_SETTINGS,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "chatbot_ai.cli.main", "up"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return seconds_until_ok(process, gateway, [f"/{name}/readyz" for name in ASSISTANTS])
    finally:
        stop(process)


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


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    chosen = parser.parse_args()
    os.chdir(ROOT)
    os.environ.update(DEMO_SETTINGS)  # for the options of the bare engine
    demo_model()
    engine, group = measure(chosen.pairs)
    report(
        [
            paired(
                "second start of everything / the bare engine's loading of the model",
                group,
                engine,
                goal="<= 3",
                detail=f"medians {statistics.median(group):.2f} s and "
                f"{statistics.median(engine):.2f} s",
            ),
            spread_of("second start of everything, by itself", group, unit="starts", kind="s"),
        ],
        chosen.json,
    )


if __name__ == "__main__":
    main()
