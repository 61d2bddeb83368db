"""Asking a local process whether it is ready: one GET, as cheap as it can be.

A supervisor asks every child many times while all of them want the processor to start. An HTTP
client that is made for one question builds a TLS context first, 80 ms of processor time here, which
was the largest part of the group's start; this costs a connection.
"""

from __future__ import annotations

import asyncio
import contextlib


async def answers(host: str, port: int, path: str, timeout_s: float = 5) -> bool:
    """Whether GET `path` is 200. False where nothing listens or no answer comes in time."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return False
    return line.split()[1:2] == [b"200"]
