"""Several providers as one: in the operator's order, within one time, asked once per question."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from chatbot_ai.domain.errors import ExchangeFailed, SearchUnavailable, places_of
from chatbot_ai.domain.ports import SearchResult, WebSearch
from chatbot_ai.domain.text import normalize
from chatbot_ai.search.cache import ExpiringCache, SharedCalls
from chatbot_ai.search.cooldown import Cooldown, all_resting

_log = structlog.get_logger(__name__)
_EMPTY_TTL_S = 60.0
#: Of a search's time; the rest is for ending the calls that did not finish.
_OWN_SHARE = 0.95
#: A provider that was given less has not failed by being late: a question that came to it last, or
#: that had spent its time elsewhere, says nothing about it. Below the 1.7 s that the first provider
#: gets of the default budget, so that a dead one does come to rest.
_FAIR_S = 1.5
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Call:
    """A provider that was asked, and when on the monotonic clock."""

    provider: WebSearch
    began: float


@dataclass(frozen=True, slots=True)
class Found:
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
        self._cache: ExpiringCache[_Key, Found] = ExpiringCache(cache_entries, cache_ttl_s, clock)
        self._calls: SharedCalls[_Key, Found] = SharedCalls()

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(provider.name for provider in self._providers)

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        return list((await self.find(query, limit=limit, timeout_s=timeout_s)).results)

    async def find(self, query: str, *, limit: int, timeout_s: float) -> Found:
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

    async def _ask(self, key: _Key, query: str, limit: int, timeout_s: float) -> Found:
        waiting = deque(p for p in self._providers if not self._cooldown.rests(p.name))
        if not waiting:
            raise all_resting(self._cooldown, self.providers)
        running: dict[asyncio.Task[list[SearchResult]], _Call] = {}
        empty: Found | None = None
        end = time.monotonic() + timeout_s * _OWN_SHARE
        next_at = 0.0
        try:
            while (now := time.monotonic()) < end and (waiting or running):
                if waiting and (not running or now >= next_at):
                    provider = waiting.popleft()
                    call = provider.search(query, limit=limit, timeout_s=end - now)
                    running[asyncio.create_task(call)] = _Call(provider, now)
                    next_at = now + (end - now) / (len(waiting) + 1)
                wait_until = next_at if waiting else end
                done, _ = await asyncio.wait(
                    running,
                    timeout=max(0.0, wait_until - time.monotonic()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    found = self._outcome(running.pop(task), task)
                    if found is not None and found.results:
                        self._cache.put(key, found)
                        return found
                    empty = found or empty
                    next_at = 0.0
        finally:
            await self._abandon(running)
        if empty is None:
            raise SearchUnavailable("no search provider answered")
        self._cache.put(key, empty, _EMPTY_TTL_S)
        return empty

    def _outcome(self, call: _Call, task: asyncio.Task[list[SearchResult]]) -> Found | None:
        provider = call.provider
        error = SearchUnavailable("cancelled") if task.cancelled() else task.exception()
        if error is None:
            self._cooldown.answered(provider.name)
            return Found(provider.name, tuple(task.result()))
        timed_out = isinstance(error, ExchangeFailed) and error.reason == "timeout"
        if not timed_out or time.monotonic() - call.began >= _FAIR_S:
            self._cooldown.failed(provider.name, error)
        kind = type(error).__name__
        if isinstance(error, SearchUnavailable):
            _log.warning("search.provider_failed", provider=provider.name, error=kind)
        else:  # a provider broke its contract; the chain goes on all the same
            _log.error(
                "search.provider_broken", provider=provider.name, error=kind, at=places_of(error)
            )
        return None

    async def _abandon(self, running: dict[asyncio.Task[list[SearchResult]], _Call]) -> None:
        now = time.monotonic()
        for task, call in running.items():
            task.cancel()
            # one that was given hardly any time has not failed
            if now - call.began >= _FAIR_S:
                self._cooldown.failed(call.provider.name, ExchangeFailed("timeout"))
        await asyncio.gather(*running, return_exceptions=True)
