"""Which providers rest: after a quota answer for as long as it asks, after repeated failures for a
moment, so that a dead provider does not cost every question part of its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from chatbot_ai.domain.errors import SearchQuotaExceeded, SearchUnavailable


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

    def rests(self, provider: str) -> bool:
        return self._clock() < self._until.get(provider, float("-inf"))

    def answered(self, provider: str) -> None:
        """Note an answer, an empty one included."""
        self._in_a_row.pop(provider, None)

    def failed(self, provider: str, error: BaseException) -> None:
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


def all_resting(cooldown: Cooldown, providers: tuple[str, ...]) -> SearchUnavailable:
    """Build the error for a search that no provider may be asked for."""
    return SearchUnavailable("every search provider rests", cooldown.wait_s(providers))
