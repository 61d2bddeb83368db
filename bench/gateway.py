"""What the gateway costs: the same request direct and through nginx, taken in turns.

    python bench/gateway.py [--requests 3000] [--nginx PATH] [--json FILE]

Upstream: uvicorn in a process of its own with an ASGI function of three lines. Client: one
kept-alive connection per way, a raw socket, so that the client adds as little as it can. Each
round takes one request on every way in an order that rotates, so drift hits all ways alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatbot_ai.gateway.config import TEMPLATE, render
from chatbot_ai.gateway.options import GatewayOptions
from chatbot_ai.gateway.process import (
    check_config,
    command,
    end_workers,
    nginx_binary,
    nginx_version,
    worker_user,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = '{"input_data": "안녕하세요!", "user_id": "test_user"}'.encode()
_WARM_UP = 300
_START_S = 15.0


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The upstream: reads the body and answers a short JSON string."""
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'"hello"'})


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, port: int, path: str) -> None:
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n"
        ).encode() + _BODY
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request_ms(self) -> float:
        """One request's time until its answer is complete."""
        start = time.perf_counter()
        self._socket.sendall(self._request)
        received = b""
        while not received.endswith(b'\r\n\r\n"hello"'):
            chunk = self._socket.recv(65_536)
            if not chunk:
                raise ConnectionError("closed within an answer")
            received += chunk
        elapsed_ms = (time.perf_counter() - start) * 1000
        if not received.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(received[:60].decode())
        return elapsed_ms


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(arguments: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(arguments, start_new_session=True)
    try:
        end = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            raise RuntimeError(f"did not start: {arguments[0]}")
        yield
    finally:
        process.terminate()
        process.wait()
        end_workers(process.pid)


def _gateway(binary: Path, folder: Path, options: GatewayOptions) -> list[str]:
    conf = folder / f"{options.port}.conf"
    run = folder / str(options.port)
    run.mkdir()
    conf.write_text(render(replace(options, run_folder=run)), encoding="utf-8")
    check_config(binary, conf)
    return command(binary, conf)


def measure(binary: Path, requests: int) -> dict[str, list[float]]:
    """Milliseconds of every request, by way."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gateway-")))
        folder.chmod(0o755)
        upstream = _free_port()
        server = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent),
                  "gateway:app", "--port", str(upstream), "--log-level", "error",
                  "--no-access-log"]  # fmt: skip
        stack.enter_context(_running(server, upstream))
        kept = GatewayOptions(
            office_upstream=f"127.0.0.1:{upstream}",
            character_upstream=f"127.0.0.1:{upstream}",
            run_folder=folder,
            page_folder=TEMPLATE.parent,
            access_log=str(folder / "access.log"),
            port=_free_port(),
            loopback_only=True,
            rate_per_s=100_000,
            rate_burst=100_000,
            worker_user=worker_user(TEMPLATE.parent),
        )
        fresh = replace(kept, port=_free_port(), resolver="127.0.0.1")
        for options in (kept, fresh):
            stack.enter_context(_running(_gateway(binary, folder, options), options.port))
        ways = {
            "direct": Connection(upstream, "/Llama"),
            "nginx_kept": Connection(kept.port, "/office/Llama"),
            "nginx_fresh": Connection(fresh.port, "/office/Llama"),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        names = list(ways)
        for round_ in range(_WARM_UP + requests):
            names.append(names.pop(0))
            for name in names:
                elapsed_ms = ways[name].request_ms()
                if round_ >= _WARM_UP:
                    taken[name].append(elapsed_ms)
        return taken


def summary(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of each way, and of each pair's difference to direct."""
    rows = dict(taken)
    for name in taken.keys() - {"direct"}:
        pairs = zip(taken[name], taken["direct"], strict=True)
        rows[f"{name}_minus_direct"] = [through - direct for through, direct in pairs]
    return {
        name: {
            "p50_ms": round(statistics.median(values), 3),
            "p95_ms": round(statistics.quantiles(values, n=20)[-1], 3),
        }
        for name, values in sorted(rows.items())
    }


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--nginx")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    binary = nginx_binary(chosen.nginx)
    result = {
        "n": chosen.requests,
        "nginx": ".".join(map(str, nginx_version(binary))),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "ways": summary(measure(binary, chosen.requests)),
    }
    print(json.dumps(result, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
