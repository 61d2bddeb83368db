"""Several providers as one: in the operator's order, within one time, asked once per question.

A provider rests after a quota answer for as long as it asks, and after repeated failures for a
moment, so that a dead provider does not cost every question part of its time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from cachetools import TLRUCache

from chatbot_ai.domain.errors import (
    ExchangeFailed,
    SearchQuotaExceeded,
    SearchUnavailable,
    trace_places,
)
from chatbot_ai.domain.ports import SearchResult, WebSearch
from chatbot_ai.domain.text import normalize
from chatbot_ai.search.shared_calls import SharedCalls


class Cooldown:
    """Keeps, per provider's name, until when it rests.

    quota_min_s, quota_max_s  bounds of the rest after a quota answer
    failures                  failures in a row until a provider rests for `failure_s`
    """

    def __init__(
        self,
        *,
        quota_min_s: float = 60.0,
        quota_max_s: float = 3600.0,
        failures: int = 3,
        failure_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quota_min_s = quota_min_s
        self._quota_max_s = quota_max_s
        self._failures = failures
        self._failure_s = failure_s
        self._clock = clock
        self._until: dict[str, float] = {}
        self._in_a_row: dict[str, int] = {}

    def is_resting(self, provider: str) -> bool:
        return self._clock() < self._until.get(provider, float("-inf"))

    def note_answer(self, provider: str) -> None:
        """Note an answer, an empty one included."""
        self._in_a_row.pop(provider, None)

    def note_failure(self, provider: str, error: BaseException) -> None:
        """Note a failure and put the provider to rest where that is due."""
        if isinstance(error, SearchQuotaExceeded):
            rest_s = min(max(error.retry_after_s, self._quota_min_s), self._quota_max_s)
            self._rest(provider, rest_s)
            return
        self._in_a_row[provider] = self._in_a_row.get(provider, 0) + 1
        if self._in_a_row[provider] >= self._failures:
            self._rest(provider, self._failure_s)

    def wait_s(self, providers: tuple[str, ...]) -> float:
        """Return the seconds until the first of `providers` may be asked again."""
        until = [self._until.get(name, 0.0) for name in providers]
        return max(0.0, min(until, default=0.0) - self._clock())

    def _rest(self, provider: str, rest_s: float) -> None:
        self._until[provider] = self._clock() + rest_s
        self._in_a_row.pop(provider, None)


_log = structlog.get_logger(__name__)
_EMPTY_TTL_S = 60.0
#: Of a search's time; the rest is for ending the calls that did not finish.
_OWN_SHARE = 0.95
#: A provider that was given less has not failed by being late: a question that came to it last, or
#: that had spent its time elsewhere, says nothing about it. Below the 1.7 s that the first provider
#: gets of the default budget, so that a dead one does come to rest.
_FAIR_S = 1.5
_Key = tuple[str, int]
#: Calls under way: the provider that was asked, and when on the monotonic clock.
_Running = dict[asyncio.Task[list[SearchResult]], tuple[WebSearch, float]]


@dataclass(frozen=True, slots=True)
class ProviderResults:
    """What a chain found, and which provider it is from. `results` is empty where all of those
    that answered found nothing."""

    provider: str
    results: tuple[SearchResult, ...]


class SearchChain:
    """A WebSearch over other ones.

    The first provider is asked first. The next one joins when a provider failed or found nothing,
    or when it took its share of the time (what remains, divided by the providers that are left);
    a slow provider may still answer meanwhile, and the first results win. Results stay in a
    bounded cache; the same question asked at the same time is asked once, and a caller that
    leaves does not end it for the others.

    cache_entries, cache_ttl_s  size and lifetime of the cache; empty answers stay a minute
    clock                       seconds that only move forward, for cache and rests
    """

    name = "chain"

    def __init__(
        self,
        providers: Sequence[WebSearch],
        *,
        cache_entries: int = 512,
        cache_ttl_s: float = 900.0,
        cooldown: Cooldown | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = tuple(providers)
        self._cooldown = cooldown or Cooldown(clock=clock)
        self._cache: TLRUCache[_Key, ProviderResults] = TLRUCache(
            cache_entries,
            lambda _, found, now: now + (cache_ttl_s if found.results else _EMPTY_TTL_S),
            timer=clock,
        )
        self._calls: SharedCalls[_Key, ProviderResults] = SharedCalls()

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(provider.name for provider in self._providers)

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        return list((await self.find(query, limit=limit, timeout_s=timeout_s)).results)

    async def find(self, query: str, *, limit: int, timeout_s: float) -> ProviderResults:
        """Search and tell the provider too. Raises SearchUnavailable where none answered."""
        key = (" ".join(normalize(query).casefold().split()), limit)
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        try:
            async with asyncio.timeout(timeout_s):
                return await self._calls.run(key, lambda: self._ask(key, query, limit, timeout_s))
        except TimeoutError as error:
            raise ExchangeFailed("timeout") from error

    async def close(self) -> None:
        await self._calls.close()
        for provider in self._providers:
            await provider.close()

    async def _ask(self, key: _Key, query: str, limit: int, timeout_s: float) -> ProviderResults:
        waiting = deque(p for p in self._providers if not self._cooldown.is_resting(p.name))
        if not waiting:
            wait_s = self._cooldown.wait_s(self.providers)
            raise SearchUnavailable("every search provider rests", wait_s)
        running: _Running = {}
        empty: ProviderResults | None = None
        end = time.monotonic() + timeout_s * _OWN_SHARE
        next_at = 0.0
        try:
            while (now := time.monotonic()) < end and (waiting or running):
                if waiting and (not running or now >= next_at):
                    provider = waiting.popleft()
                    call = provider.search(query, limit=limit, timeout_s=end - now)
                    running[asyncio.create_task(call)] = (provider, now)
                    next_at = now + (end - now) / (len(waiting) + 1)
                wait_until = next_at if waiting else end
                done, _ = await asyncio.wait(
                    running,
                    timeout=max(0.0, wait_until - time.monotonic()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    found = self._read_outcome(task, *running.pop(task))
                    if found is not None and found.results:
                        self._cache[key] = found
                        return found
                    empty = found or empty
                    next_at = 0.0
        finally:
            await self._abandon(running)
        if empty is None:
            raise SearchUnavailable("no search provider answered")
        self._cache[key] = empty
        return empty

    def _read_outcome(
        self, task: asyncio.Task[list[SearchResult]], provider: WebSearch, began: float
    ) -> ProviderResults | None:
        error = SearchUnavailable("cancelled") if task.cancelled() else task.exception()
        if error is None:
            self._cooldown.note_answer(provider.name)
            return ProviderResults(provider.name, tuple(task.result()))
        timed_out = isinstance(error, ExchangeFailed) and error.reason == "timeout"
        if not timed_out or time.monotonic() - began >= _FAIR_S:
            self._cooldown.note_failure(provider.name, error)
        kind = type(error).__name__
        if isinstance(error, SearchUnavailable):
            _log.warning("search.provider_failed", provider=provider.name, error=kind)
        else:  # a provider broke its contract; the chain goes on all the same
            _log.error(
                "search.provider_broken", provider=provider.name, error=kind, at=trace_places(error)
            )
        return None

    async def _abandon(self, running: _Running) -> None:
        now = time.monotonic()
        for task, (provider, began) in running.items():
            task.cancel()
            # one that was given hardly any time has not failed
            if now - began >= _FAIR_S:
                self._cooldown.note_failure(provider.name, ExchangeFailed("timeout"))
        await asyncio.gather(*running, return_exceptions=True)
