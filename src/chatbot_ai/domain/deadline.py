"""Time: the system's clock, blocks that end at a deadline, and how long a write may take."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from types import TracebackType

from chatbot_ai.domain.errors import DeadlineExceeded
from chatbot_ai.domain.ports import Clock

#: Seconds for what is written now, where a caller waits for it; None leaves it to the store's own
#: limit, which it never exceeds. Tasks inherit it from where they are created.
WRITE_LIMIT_S: ContextVar[float | None] = ContextVar("WRITE_LIMIT_S", default=None)


class SystemClock:
    """Time as the operating system tells it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()


class within_deadline:  # noqa: N801 - used like a function, as contextlib's context managers are
    """An async context manager that raises DeadlineExceeded, naming `stage`, once `clock` passes
    `deadline`.

    For plain awaits only: a block that yields events would cancel their consumer.
    """

    def __init__(self, clock: Clock, deadline: float, stage: str) -> None:
        self._timeout = asyncio.timeout(max(0.0, deadline - clock.monotonic()))
        self._stage = stage

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as expired:
            raise DeadlineExceeded(self._stage) from expired
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded(self._stage) from error
