"""One await, no later than the request's deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from chatbot_ai.domain.errors import DeadlineExceeded

Result = TypeVar("Result")


async def before(deadline: float, awaitable: Awaitable[Result]) -> Result:
    """Await it; raise DeadlineExceeded once the monotonic clock passes `deadline`."""
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await awaitable
    except TimeoutError as error:
        raise DeadlineExceeded("generation") from error
