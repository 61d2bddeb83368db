"""A real HTTP server that speaks the model hub's protocol, with faults on demand."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one CDN request; the next one takes the next fault, or none."""

    status: int | None = None
    retry_after: str | None = None
    cut_after_bytes: int | None = None
    stall_after_bytes: int | None = None
    drip: bool = False
    ignore_range: bool = False
    shift_range: bool = False
    body: bytes | None = None


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class ModelHub:
    """The hub's state: `files` maps (repo, revision, file) to content."""

    port: int = 0
    files: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    plain: dict[str, tuple[bytes, str | None]] = field(default_factory=dict)
    token: str | None = None
    refuse_token: bool = False
    basic: str | None = None
    hub_statuses: deque[int] = field(default_factory=deque)
    faults: deque[Fault] = field(default_factory=deque)
    wheel_faults: deque[Fault] = field(default_factory=deque)
    moved: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    announced_bytes: int | None = None
    names_hashes: bool = True
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, prefix: str, method: str = "GET") -> list[Seen]:
        return [one for one in self.seen if one.method == method and one.path.startswith(prefix)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: ModelHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.seen.append(Seen(self.command, self.path, headers))
        if self.path.startswith("/cdn/"):
            self._cdn(headers)
        elif self.path in self.hub.plain and self.hub.basic not in {
            None,
            headers.get("authorization"),
        }:
            self._status(401, WWW_Authenticate='Basic realm="index"')
        elif self.path in self.hub.plain:
            self._bytes(headers, *self.hub.plain[self.path])
        else:
            self._resolve(headers)

    def _status(self, status: int, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _resolve(self, headers: dict[str, str]) -> None:
        hub, match = self.hub, RESOLVE.fullmatch(self.path)
        if hub.hub_statuses:
            return self._status(hub.hub_statuses.popleft())
        repo, revision, file = match.groups() if match else ("", "", "")
        if repo in hub.moved:
            return self._status(307, Location=self.path.replace(repo, hub.moved[repo]))
        if hub.token is not None and headers.get("authorization") != f"Bearer {hub.token}":
            return self._status(401)
        content = hub.files.get((repo, revision, file))
        if content is None or hub.refuse_token:
            return self._status(404 if content is None else 403)
        address = f"http://localhost:{hub.port}/cdn/{repo}/{revision}/{file}"
        if not hub.names_hashes:
            return self._status(302, Location=address)
        digest = hashlib.sha256(content).hexdigest()
        return self._status(
            302,
            Location=address,
            X_Linked_Etag=f'"{digest}"',
            X_Linked_Size=str(hub.announced_bytes or len(content)),
            ETag='"of-the-redirect"',
        )

    def _cdn(self, headers: dict[str, str]) -> None:
        if self.command == "HEAD":  # as an address that is signed for GET alone
            return self._status(403)
        owner, name, revision, file = self.path.removeprefix("/cdn/").split("/", 3)
        self._bytes(headers, self.hub.files[f"{owner}/{name}", revision, file], '"cdn"')
        return None

    def _bytes(self, headers: dict[str, str], content: bytes, etag: str | None) -> None:
        faults = self.hub.wheel_faults if self.path.endswith(".whl") else self.hub.faults
        fault = faults.popleft() if faults else Fault()
        if fault.status is not None:
            extra = {"Retry_After": fault.retry_after} if fault.retry_after else {}
            return self._status(fault.status, **extra)
        content = fault.body if fault.body is not None else content
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        condition = headers.get("if-range")
        if fault.ignore_range or (condition is not None and condition != etag):
            asked = None
        first = int(asked[1]) if asked else 0
        if first >= len(content):
            return self._status(416)
        self.send_response(206 if asked else 200)
        if asked:
            told = 0 if fault.shift_range else first
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        if self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content) - first))
        if etag is not None:
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command != "HEAD":
            self._send(content[first:], fault)
        return None

    def _send(self, body: bytes, fault: Fault) -> None:
        self.close_connection = fault != Fault()
        try:
            if fault.drip:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    if self.hub.released.wait(0.02):
                        return
            elif fault.stall_after_bytes is not None:
                self.wfile.write(body[: fault.stall_after_bytes])
                self.hub.released.wait()
            elif fault.cut_after_bytes is not None:
                self.wfile.write(body[: fault.cut_after_bytes])
            else:
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is what these tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    """Serve a hub on a free loopback port."""
    hub = ModelHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with _Server(("127.0.0.1", 0), handler) as server:
        hub.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            server.shutdown()
            thread.join()
