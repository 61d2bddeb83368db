"""Calls that identical requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from chatbot_ai.domain.errors import SearchUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCalls(Generic[K, V]):
    """Runs one call per key at a time; callers that ask for the same key meanwhile get its result.

    A waiter that is cancelled leaves the call running for the others. The call itself must be
    bounded in time, for nobody but `close` ends it.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, call: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what `call` returns, or what the one that is running already will.

        Raises SearchUnavailable when `close` ended the call.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(call())
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        await asyncio.wait([task])
        if task.cancelled():
            raise SearchUnavailable("search was shut down")
        return task.result()

    async def close(self) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _forget(self, key: K, done: asyncio.Task[V]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # marks it as seen where every waiter has left
