"""The distribution of many times in little memory."""

from __future__ import annotations

from bisect import bisect_left

#: Each bound is so many times the one before it: a percentile is told at most 5 % too high.
STEP = 1.05
SHORTEST_S = 0.001
LONGEST_S = 3600.0


def _bounds() -> tuple[float, ...]:
    bounds = [SHORTEST_S]
    while bounds[-1] < LONGEST_S:
        bounds.append(bounds[-1] * STEP)
    return tuple(bounds)


_BOUNDS = _bounds()


class Histogram:
    """Counts seconds in fixed buckets; however many they are, it takes the same room."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._longest_s = 0.0
        self.total = 0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._longest_s = max(self._longest_s, seconds)
        self.total += 1

    def percentile(self, share: float) -> float:
        """Seconds that at least `share` of the values do not exceed; 0 for none.

        Never less than the nearest-rank percentile; up to LONGEST_S at most STEP times it, or
        SHORTEST_S.
        """
        passed = 0
        for bound, count in zip((*_BOUNDS, self._longest_s), self._counts, strict=True):
            passed += count
            if count and passed >= share * self.total:
                return min(bound, self._longest_s)
        return self._longest_s

    def percentiles(self) -> dict[str, float]:
        return {f"p{p}": round(self.percentile(p / 100), 3) for p in (50, 95, 99)}
