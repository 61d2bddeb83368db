"""The last 15 minutes as a short series of points, kept as they happen."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from chatbot_ai.domain.ports import Clock

POINTS = 60
#: Seconds that one point stands for: 60 points are 15 minutes.
POINT_S = 15
#: Answers whose times one point remembers; at 20 a second it holds all of them.
POINT_ANSWERS = 300


@dataclass(slots=True)
class _Point:
    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    total_s: list[float] = field(default_factory=list)
    queue_s: list[float] = field(default_factory=list)
    running: int = 0
    waiting: int = 0

    def told(self) -> dict[str, object]:
        named = ("answered", "refused", "limited", "cancelled", "failed")
        return {
            "at": self.number * POINT_S,
            **{name: self.outcomes[name] for name in named},
            "tokens": self.tokens,
            "p50_s": _percentile(self.total_s, 0.5),
            "p95_s": _percentile(self.total_s, 0.95),
            "queue_p50_s": _percentile(self.queue_s, 0.5),
            "running": self.running,
            "waiting": self.waiting,
        }


class Series:
    """Counts, times and load in steps of POINT_S, aligned to the wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._points: deque[_Point] = deque([_Point(self._number())], maxlen=POINTS)

    def ended(self, outcome: str, *, tokens: int, total_s: float, queue_s: float) -> None:
        """Count a request where it ends; times count for answers only."""
        point = self._now()
        point.outcomes[outcome] += 1
        point.tokens += tokens
        if outcome == "answered" and len(point.total_s) < POINT_ANSWERS:
            point.total_s.append(total_s)
            point.queue_s.append(queue_s)

    def loaded(self, running: int, waiting: int) -> None:
        """Note the load of this moment; a point keeps the highest."""
        point = self._now()
        point.running = max(point.running, running)
        point.waiting = max(point.waiting, waiting)

    def points(self) -> list[dict[str, object]]:
        """Oldest first; `at` is the Unix time of a point's begin, the last one is still growing.

        Times are None where nothing was answered; running and waiting are the highest seen.
        """
        self._now()
        return [point.told() for point in self._points]

    def _number(self) -> int:
        return int(self._clock.now() // POINT_S)

    def _now(self) -> _Point:
        number = self._number()
        last = self._points[-1]
        # a clock that was set back goes on in the last point, one set far ahead begins anew
        if number - last.number > POINTS:
            self._points.clear()
            self._points.append(_Point(number))
        while self._points[-1].number < number:
            self._points.append(_Point(self._points[-1].number + 1))
        return self._points[-1]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending values; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(percentile(sorted(values), share), 3) if values else None
