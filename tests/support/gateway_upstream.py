"""The small real servers behind the gateway under test: a service and a name server."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.waiting import HANG_S

DEADLINE_S = HANG_S


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
        body = self._read_body()
        if body is None:  # the gateway has left within it
            self.close_connection = True
            return
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

    def _read_body(self) -> bytes | None:
        """The whole body; None where its end did not come."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            return body if len(body) == length else None
        body = b""
        while line := self.rfile.readline():
            size = int(line, 16)
            piece = self.rfile.read(size + 2)
            if len(piece) < size + 2:
                return None
            if size == 0:
                return body
            body += piece[:-2]
        return None

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


if __name__ == "__main__":
    Upstream(port=int(sys.argv[1]), name="process")
    threading.Event().wait()
