"""Waiting for something to become true. How long it takes proves nothing: it ends, or it hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.02
#: Seconds after which a test counts as hung, on a machine that is busy with other things.
HANG_S = 180.0


async def until(condition: Callable[[], bool], *, within_s: float = HANG_S) -> None:
    """Poll until `condition` holds; fail after `within_s`.

    The condition runs in a thread, as it may ask a server.
    """
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - began < within_s, "it did not become true in time"
        await asyncio.sleep(EVERY_S)
