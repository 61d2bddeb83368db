"""A small real HTTP server on loopback that answers as a script says, faults included."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus, urlsplit

Handler = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote_plus(urlsplit(self.target).path)

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Answer:
    """A plain answer; Content-Length is right unless `headers` says otherwise."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        head = {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        head.update(self.headers)
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{k}: {v}" for k, v in head.items())]
        writer.write("\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + self.body)
        await writer.drain()


async def cut(request: Request, writer: asyncio.StreamWriter) -> None:
    """Announce more than is sent, then close."""
    await Answer(b"short", headers={"Content-Length": "999"})(request, writer)
    writer.close()


def answer_json(content: object, status: int = 200, **headers: str) -> Answer:
    body = json.dumps(content, ensure_ascii=False).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body, status, "application/json", named)


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(b"", status, headers={"Location": location})


@dataclass
class ScriptedWeb:
    """`pages` maps a path, or a host name and path ("a.test/x"), to its handler; 404 otherwise."""

    port: int = 0
    pages: dict[str, Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                host = request.headers.get("host", "").partition(":")[0]
                handler = self.pages.get(host + request.path) or self.pages.get(request.path)
                await (handler or Answer(b"", 404))(request, writer)
                if writer.is_closing():
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left, as many of these tests make it
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    first = (await reader.readline()).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(first[0], first[1], headers, body)


@asynccontextmanager
async def scripted_web(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedWeb]:
    web = ScriptedWeb()
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await web.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            connections.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ssl_context)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
