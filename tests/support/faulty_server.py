"""A real HTTP server that misbehaves as scripted."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

ANSWER = ("안녕", "하세요", "! 👋🏽")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `body` is its JSON, None where it had none."""

    path: str
    headers: dict[str, str]
    body: Any


Reply = Callable[[asyncio.StreamWriter, Asked], Awaitable[None]]


@dataclass
class FaultyServer:
    """Answers request after request with `script`; when it is used up, with `after`."""

    script: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    open_connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while asked := await _read(reader):
                self.asked.append(asked)
                reply = self.script.pop(0) if self.script else answer()
                watch = asyncio.create_task(_left(reader))
                work = asyncio.create_task(_ensure(reply(writer, asked)))
                try:
                    await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    watch.cancel()
                    work.cancel()
                    # also where the test ends first: what nobody awaits is told by the collector,
                    # in whichever test runs then
                    await asyncio.gather(watch, work, return_exceptions=True)
                with suppress(asyncio.CancelledError, ConnectionError):
                    await work
                break
        finally:
            self.open_connections -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def faulty_server(*script: Reply) -> AsyncIterator[FaultyServer]:
    served = FaultyServer(list(script))
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await server.wait_closed()


def respond(
    status: int, body: bytes = b"{}", content_type: str = "application/json", **headers: str
) -> Reply:
    """One whole response. Underscores in header names stand for hyphens."""

    async def reply(writer: asyncio.StreamWriter, _asked: Asked) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()

    return reply


def sse(*pieces: bytes, then: str = "end", compress: bool = False) -> Reply:
    """A chunked event stream of `pieces`.

    then  "end" closes it properly, "cut" breaks it off, "stall" says nothing more
    """

    async def reply(writer: asyncio.StreamWriter, asked: Asked) -> None:
        zipped = compress and "gzip" in asked.headers.get("accept-encoding", "")
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        )
        writer.write((head + ("Content-Encoding: gzip\r\n" if zipped else "") + "\r\n").encode())
        sent = (gzip.compress(b"".join(pieces)),) if zipped else pieces
        for piece in sent:
            if piece:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)
        if then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif then == "stall":
            await asyncio.sleep(3600)

    return reply


def stall() -> Reply:
    """Accept the request and never answer."""

    async def reply(_writer: asyncio.StreamWriter, _asked: Asked) -> None:
        await asyncio.sleep(3600)

    return reply


def hang_up() -> Reply:
    """Close the connection without a word."""

    async def reply(_writer: asyncio.StreamWriter, _asked: Asked) -> None:
        return

    return reply


def event(body: object) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def delta(text: str) -> bytes:
    return event(
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
    )


def finish(reason: str | None = "stop") -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return event(
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
    )


DONE = event("[DONE]")


def answer(*words: str) -> Reply:
    """A good stream."""
    return sse(*(delta(word) for word in words or ANSWER), finish(), DONE)


def whole_answer(text: str) -> Reply:
    """A good answer in one piece."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return respond(200, json.dumps({"choices": [choice], "usage": usage, "model": "m"}).encode())


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
    length = int(headers.get("content-length", "0"))
    body = await reader.readexactly(length) if length else b""
    return Asked(first.split(" ")[1], headers, json.loads(body) if body else None)


async def _left(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read()


async def _ensure(work: Awaitable[None]) -> None:
    await work
