"""A block of awaits, no later than the request's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatbot_ai.domain.errors import DeadlineExceeded
from chatbot_ai.domain.ports import Clock


@asynccontextmanager
async def bounded(clock: Clock, deadline: float, stage: str) -> AsyncIterator[None]:
    """Raise DeadlineExceeded, naming `stage`, once `clock` passes `deadline`.

    For plain awaits only: a block that yields events would cancel their consumer.
    """
    try:
        async with asyncio.timeout(max(0.0, deadline - clock.monotonic())):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(stage) from error
