"""Asking a local process whether it is ready: one GET, as cheap as it can be.

A supervisor asks every child many times while all of them want the processor to start. An HTTP
client that is made for one question builds a TLS context first, 80 ms of processor time here, which
was the largest part of the group's start; this costs a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

#: An answer longer than this is none that is asked for here.
_MOST_BYTES = 65_536
T = TypeVar("T")
#: Host and port, or a socket file.
Address = tuple[str, int] | Path


async def answers(address: Address, path: str, timeout_s: float = 5) -> bool:
    """Whether GET `path` is 200. False where nothing listens or no answer comes in time."""
    try:
        line = await _ask(address, path, timeout_s, lambda reader: reader.readline())
    except (OSError, TimeoutError, ValueError):
        return False
    return line.split()[1:2] == [b"200"]


async def fetch_body(
    address: Address, path: str, timeout_s: float = 5, api_key: str | None = None
) -> bytes:
    """The body that GET `path` answers with, whatever its status; OSError where none comes."""
    whole = await _ask(address, path, timeout_s, _to_the_end, api_key)
    return whole.partition(b"\r\n\r\n")[2]


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    parts = b""
    while len(parts) < _MOST_BYTES and (part := await reader.read(_MOST_BYTES)):
        parts += part
    return parts


async def _ask(
    address: Address,
    path: str,
    timeout_s: float,
    read: Callable[[asyncio.StreamReader], Awaitable[T]],
    api_key: str | None = None,
) -> T:
    host = "localhost" if isinstance(address, Path) else "{}:{}".format(*address)
    key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{key}Connection: close\r\n\r\n"
    async with asyncio.timeout(timeout_s):
        if isinstance(address, Path):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(request.encode())
            await writer.drain()
            return await read(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
