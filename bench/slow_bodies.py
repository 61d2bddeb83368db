"""An attack: many callers of one address that send their bodies slowly, and what it costs.

`bench.worst_case` runs it against a whole installation; a test runs it against a real nginx.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

#: Seconds that the bodies are given to arrive as far as they are sent.
SETTLE_S = 1.0


@asynccontextmanager
async def sent_slowly(
    port: int,
    path: str,
    *,
    callers: int,
    body_bytes: int = 1 << 20,
    sent_bytes: int = 1 << 19,
    headers: str = "",
) -> AsyncIterator[Callable[[], Counter[str]]]:
    """Within the block so many requests to 127.0.0.1 have sent a part of their body and no more.

    What it yields tells how many of them have been answered, by status, or `closed`; `none` for the others.
    """
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {body_bytes}\r\n{headers}\r\n"
    ).encode()
    answers = ["none"] * callers

    async def send(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head)
            listening = asyncio.create_task(reader.readline())
            for _ in range(sent_bytes // 16_384):
                if listening.done() or writer.transport.is_closing():
                    break
                writer.write(b" " * 16_384)
                await asyncio.sleep(0)
            with suppress(ConnectionError):
                line = await listening
                answers[number] = line.split()[1].decode() if line else "closed"
            await asyncio.Event().wait()  # holds the connection, as an attacker would
        finally:
            writer.transport.abort()

    sending = [asyncio.create_task(send(number)) for number in range(callers)]
    try:
        await asyncio.sleep(SETTLE_S)
        yield lambda: Counter(answers)
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


def memory_bytes(*pids: int) -> int:
    """Memory that these processes have for themselves alone."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1]) * 1024
    return total
