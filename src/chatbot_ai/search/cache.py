"""A bounded cache whose entries expire, and calls that identical requests share."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from chatbot_ai.domain.errors import SearchUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """At most `max_entries` values, each for `ttl_s` seconds; the least recently used goes first.

    `clock` counts seconds forward. Not thread-safe; used from one event loop.
    """

    def __init__(
        self, max_entries: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if self._clock() >= expires_at:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V, ttl_s: float | None = None) -> None:
        self._entries[key] = (self._clock() + (self._ttl_s if ttl_s is None else ttl_s), value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


class SharedCalls(Generic[K, V]):
    """Runs one call per key at a time; whoever asks for the same key meanwhile gets its result.

    A waiter that is cancelled leaves the call running for the others. The call itself must be
    bounded in time, for nobody but `close` ends it.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """Return what `call` returns, or what the one that is running already will.

        Raises SearchUnavailable when `close` ended the call.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(_awaited(call))
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


async def _awaited(call: Callable[[], Awaitable[V]]) -> V:
    return await call()
