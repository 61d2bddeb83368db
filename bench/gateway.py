"""What the gateway costs: the same request direct and through nginx, taken in turns.

    python -m bench.gateway [--requests 3000] [--nginx PATH] [--json FILE]

Upstream: uvicorn in a process of its own with an ASGI function of three lines. Client: one
kept-alive connection per way, a raw socket, so that the client adds as little as it can. Each
round takes one request on every way in an order that rotates, so drift hits all ways alike.
"""

from __future__ import annotations

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

from bench.claims import Claim, arguments, report
from bench.stack import ROOT, free_port, wait_for_port
from chatbot_ai.gateway.config import GatewayOptions, install_config
from chatbot_ai.gateway.nginx import (
    check_config,
    choose_worker_user,
    end_workers,
    find_nginx,
    nginx_command,
    read_nginx_version,
)
from chatbot_ai.server.gateway_spec import SITE_FOLDER, gateway_options
from chatbot_ai.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = '{"input_data": "안녕하세요!", "user_id": "test_user"}'.encode()
_WARM_UP = 300
WAYS = {
    "nginx_kept": "time that the gateway adds, services at fixed addresses (make run)",
    "nginx_fresh": "time that the gateway adds, services looked up by name (Compose)",
}


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


@contextmanager
def _running(arguments: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait()
        end_workers(process.pid)


def _gateway(binary: Path, folder: Path, options: GatewayOptions) -> list[str]:
    run = folder / str(options.listen_port)
    run.mkdir()
    conf = install_config(options, run)
    check_config(binary, conf)
    pages = [SITE_FOLDER / name for name in ("nginx", "web", "dashboard")]
    return nginx_command(binary, conf, choose_worker_user(*pages))


def measure(binary: Path, requests: int) -> dict[str, list[float]]:
    """Milliseconds of every request, by way."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gateway-")))
        folder.chmod(0o755)
        upstream = free_port()
        server = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT),
                  "bench.gateway:app", "--port", str(upstream), "--log-level", "error",
                  "--no-access-log"]  # fmt: skip
        stack.enter_context(_running(server, upstream))
        kept = gateway_options(
            Settings(_env_file=None, gateway_rate_per_s=100_000, gateway_rate_burst=100_000),
            office=f"127.0.0.1:{upstream}",
            character=f"127.0.0.1:{upstream}",
            listen_hosts=("127.0.0.1",),
            listen_port=free_port(),
            reports_folder=folder,
        )
        fresh = replace(kept, listen_port=free_port(), resolver="127.0.0.1")
        for options in (kept, fresh):
            stack.enter_context(_running(_gateway(binary, folder, options), options.listen_port))
        ways = {
            "direct": Connection(upstream, "/Llama"),
            "nginx_kept": Connection(kept.listen_port, "/office/Llama"),
            "nginx_fresh": Connection(fresh.listen_port, "/office/Llama"),
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


def claims_of(taken: dict[str, list[float]], nginx: str) -> list[Claim]:
    """What each way adds to the direct one: each request's time minus its round's direct one."""
    claims = []
    for name, title in WAYS.items():
        added = [way - direct for way, direct in zip(taken[name], taken["direct"], strict=True)]
        twentieths = statistics.quantiles(added, n=20)
        claims.append(
            Claim(
                title,
                statistics.median(added),
                twentieths[0],
                twentieths[-1],
                len(added),
                "requests",
                "<= 2",
                f"nginx {nginx}; medians {statistics.median(taken[name]):.3f} ms through it and "
                f"{statistics.median(taken['direct']):.3f} ms direct",
                "ms",
                "5 % to 95 %",
            )
        )
    return claims


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--nginx")
    chosen = parser.parse_args()
    binary = find_nginx(chosen.nginx)
    version = ".".join(map(str, read_nginx_version(binary)))
    report(claims_of(measure(binary, chosen.requests), version), chosen.json)


if __name__ == "__main__":
    main()
