"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.02


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> float:
    """Poll until `condition` holds; return the seconds it took, fail after `within_s`.

    The condition runs in a thread, as it may ask a server.
    """
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - began < within_s, "it did not become true in time"
        await asyncio.sleep(EVERY_S)
    return time.monotonic() - began
