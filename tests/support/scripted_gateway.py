"""A real HTTP server that speaks the chat API from a script."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "안녕하세요, 반갑습니다! ☕"
JSON_HEADERS = {
    "Content-Type": "application/json",
    "X-Model": "tiny",
    "X-Queue-Position": "2",
    "X-Queue-Wait": "1.5",
    "X-Request-ID": "request-1",
    "Server-Timing": "queue;dur=12.3, first_token;dur=80.1, total;dur=900.0",
}


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    accept: str
    body: dict[str, Any]
    at: float
    authorization: str = ""


@dataclass
class Step:
    """What to answer: portions are written one by one, flushed, with a pause between."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    portions: tuple[bytes, ...] = ()
    pause_s: float = 0.0
    announced_bytes: int | None = None


def answer(text: str = TEXT) -> Step:
    return Step(200, dict(JSON_HEADERS), (json.dumps(text, ensure_ascii=False).encode(),))


def refusal(
    status: int = 503,
    code: str = "busy",
    retry_after: str | None = "1",
    message: str = "나중에",
) -> Step:
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    body = {"error": {"code": code, "message": message, "request_id": "request-2"}}
    return Step(status, headers, (json.dumps(body, ensure_ascii=False).encode(),))


def event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


QUEUED = event("queued", {"position": 3, "wait_s": 4.5})
DONE = event(
    "done",
    {
        "finish_reason": "stop",
        "model": "tiny",
        "usage": {"prompt_tokens": 9, "cached_tokens": 0, "completion_tokens": 7},
        "timings": {"queue_ms": 250.0, "first_token_ms": 300.0, "total_ms": 900.0},
        "turn": 1,
    },
)


def stream(*events: bytes, portion_bytes: int = 10_000, pause_s: float = 0.0) -> Step:
    whole = b"".join(events)
    portions = tuple(whole[i : i + portion_bytes] for i in range(0, len(whole), portion_bytes))
    return Step(200, {"Content-Type": "text/event-stream"}, portions, pause_s)


def whole_stream(**how: Any) -> Step:
    deltas = [event("delta", {"text": piece}) for piece in (TEXT[:5], TEXT[5:])]
    return stream(QUEUED, b": keep-alive\n\n", *deltas, DONE, **how)


class Gateway(ThreadingHTTPServer):
    """Answers POST by `script(asked)`; `asked` and `answered` tell what came in and went out."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script: Callable[[Asked], Step]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[Asked] = []
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        asked = Asked(
            self.path,
            self.headers["Accept"],
            json.loads(raw),
            time.monotonic(),
            self.headers.get("Authorization", ""),
        )
        with self.server.lock:
            self.server.asked.append(asked)
            step = self.server.script(asked)
            self.server.statuses[step.status] += 1
        streamed = step.headers.get("Content-Type") == "text/event-stream"
        self.send_response(step.status)
        for name, value in step.headers.items():
            self.send_header(name, value)
        if streamed:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            size = step.announced_bytes or sum(len(p) for p in step.portions)
            self.send_header("Content-Length", str(size))
        self.end_headers()
        for index, portion in enumerate(step.portions):
            if index and step.pause_s:
                time.sleep(step.pause_s)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(portion), portion) if streamed else portion)
            self.wfile.flush()
        if streamed:
            self.wfile.write(b"0\r\n\r\n")
        if step.announced_bytes:
            self.close_connection = True


@contextmanager
def gateway(script: Callable[[Asked], Step]) -> Iterator[Gateway]:
    server = Gateway(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
