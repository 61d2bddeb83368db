"""A clock that tests own."""

from __future__ import annotations


class FakeClock:
    """Time moves only through `advance`."""

    def __init__(self, monotonic_s: float = 1000.0, unix_s: float = 1_700_000_000.0) -> None:
        self._monotonic_s, self._unix_s = monotonic_s, unix_s

    def monotonic(self) -> float:
        return self._monotonic_s

    def now(self) -> float:
        return self._unix_s

    def advance(self, seconds: float) -> None:
        self._monotonic_s += seconds
        self._unix_s += seconds
