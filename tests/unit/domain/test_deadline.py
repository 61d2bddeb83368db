"""Waiting no longer than a deadline allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from chatbot_ai.domain.deadline import SystemClock, within_deadline
from chatbot_ai.domain.errors import DeadlineExceeded


async def before(deadline: float, awaitable: Awaitable[str | None]) -> str | None:
    async with within_deadline(SystemClock(), deadline, "generation"):
        return await awaitable


async def value() -> str:
    await asyncio.sleep(0)
    return "x"


async def test_in_time() -> None:
    """What is ready before the deadline is returned."""
    assert await before(time.monotonic() + 5, value()) == "x"


@pytest.mark.parametrize("left_s", [0.02, 0.0, -5.0])
async def test_too_late(left_s: float) -> None:
    """What is not is ended, and its own clean-up runs."""
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded) as caught:
        await before(time.monotonic() + left_s, endless())
    assert caught.value.stage == "generation"
    assert ended.is_set()


async def test_other_failures_pass() -> None:
    """Only the deadline becomes DeadlineExceeded."""

    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await before(time.monotonic() + 5, broken())
    with pytest.raises(KeyError):
        async with within_deadline(SystemClock(), time.monotonic() + 5, "history"):
            await broken()


async def test_a_callers_own_cancellation_is_no_deadline() -> None:
    """A cancelled wait is cancelled."""
    task = asyncio.create_task(before(time.monotonic() + 5, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_names_its_stage() -> None:
    """The pipeline's own blocks say where the time ran out."""
    with pytest.raises(DeadlineExceeded) as caught:
        async with within_deadline(SystemClock(), time.monotonic() + 0.01, "history"):
            await asyncio.Event().wait()
    assert caught.value.stage == "history"
