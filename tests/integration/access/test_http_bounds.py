"""What a service takes from a connection that does not behave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatbot_ai.server import http as service_http
from support.access_lab import Lab, serving
from support.waiting import HANG_S

LONGEST_WAIT_S = HANG_S


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """A service with short patience."""
    monkeypatch.setattr(service_http, "HEAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(service_http, "BODY_TIMEOUT_S", 0.6)
    async with serving(tmp_path) as running:
        yield running


async def connection(lab: Lab) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(lab.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the service closes the connection."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_an_endless_head_is_refused(lab: Lab) -> None:
    """One header that never ends, and ever more headers, are 431 and the end."""
    for piece in (b"a" * 4096, b"X-A: b\r\n" * 512):
        reader, writer = await connection(lab)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        sent = 0
        try:
            while sent < 4 << 20:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        assert sent < 4 << 20
        answer = await all_of(reader)
        assert answer.startswith(b"HTTP/1.1 431 ") or not answer
        writer.close()


async def test_a_large_head_within_bounds_is_served(lab: Lab) -> None:
    """What the gateway may pass on is not too large."""
    reader, writer = await connection(lab)
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 7900) for n in range(4))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers)
    writer.write(b"\r\n")
    assert (await all_of(reader)).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /healthz HTT", b"HTTP/1.1 408 "),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n", b"HTTP/1.1 408 "),
        (
            b"POST /Llama HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
            b"HTTP/1.1 408 ",
        ),
    ],
)
async def test_a_slow_caller_is_let_go(lab: Lab, sent: bytes, answer: bytes) -> None:
    """A head or a body that does not come ends the connection."""
    reader, writer = await connection(lab)
    writer.write(sent)
    received = await all_of(reader)
    assert received[: len(answer)] == answer
    assert bool(received) == bool(answer)
    writer.close()


async def test_a_head_that_trickles_is_not_patience(lab: Lab) -> None:
    """A byte now and then does not keep a connection."""
    reader, writer = await connection(lab)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    ended = asyncio.create_task(all_of(reader))
    try:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not ended.done():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.02)
    except ConnectionError:
        pass
    assert (await ended)[:13] in (b"HTTP/1.1 408 ", b"")
    writer.close()


async def test_patience_ends_with_what_is_received(lab: Lab) -> None:
    """An answer may take longer than a head or a body, and the connection serves again."""
    lab.model.pause_s = 0.1
    reader, writer = await connection(lab)
    body = b'{"input_data": "hello"}'
    for _ in range(2):
        head = b"POST /Llama HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(LONGEST_WAIT_S):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in answer.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
        assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()
