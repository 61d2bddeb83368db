"""Calls that end by themselves when their caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class HasRunning(Protocol):
    """What keeps the calls that are under way, so that `close` can wait for them."""

    _running: set[asyncio.Task[Any]]


S = TypeVar("S", bound=HasRunning)


def finish_when_cancelled(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Let a cancelled caller stop waiting while the call itself goes on to its end.

    PyMongo closes the connection of a cancelled operation, leaks the socket of a cancelled
    connect (4.20, seen in the contract tests), and cannot say what had happened by then.
    """

    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(self, *args, **kwargs))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_mark_as_seen)
        return await asyncio.shield(task)

    return call


async def wait_until_done(running: set[asyncio.Task[Any]]) -> None:
    """Wait until every call that is under way has ended."""
    if running:
        await asyncio.wait(running)


def _mark_as_seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
