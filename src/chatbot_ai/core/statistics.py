"""What happened to requests: totals since the start, the last 15 minutes, and these as a series."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatbot_ai.core.record import RequestRecord
from chatbot_ai.domain.ports import Clock

#: Seconds between two looks at the load.
LOAD_EVERY_S = 1.0
WINDOW_S = 15 * 60
#: Admitted requests that the window remembers at most; at 20 a second they cover all of it.
WINDOW_REQUESTS = 20_000
#: Seconds for which a computed summary is given out again, so that polling costs nothing.
SUMMARY_FOR_S = 1.0
POINTS = 60
#: Seconds that one point stands for: 60 points are 15 minutes.
POINT_S = 15
#: Answers whose times one point remembers; at 20 a second it holds all of them.
POINT_ANSWERS = 300
#: Each bound is so many times the one before it: a percentile is told at most 5 % too high.
STEP = 1.05
SHORTEST_S = 0.001
#: What is counted of requests and of tokens, in the order of summaries.
ENDS = ("answered", "refused", "limited", "cancelled", "failed")
TOKENS = ("prompt_tokens", "completion_tokens", "wasted_tokens")
LONGEST_S = 3600.0


class Statistics:
    """Counts requests and summarises them. `success` is answered / (answered + failed + refused);
    what the caller did wrong, was limited for or left is no failure of the service.

    sinks  take each record too: metrics, the log
    """

    def __init__(self, clock: Clock, *sinks: Callable[[RequestRecord], None]) -> None:
        self._clock = clock
        self._sinks = sinks
        self.series = Series(clock)
        self.started_at = clock.now()
        self._started = clock.monotonic()
        self._window = Window(clock)
        self._total, self._queue, self._first_token = Histogram(), Histogram(), Histogram()
        self._generation_s = 0.0
        self._since_start: Counter[str] = Counter()
        self._answered_s = 0.0
        self._errors: deque[tuple[float, str]] = deque(maxlen=20)

    def observe(self, record: RequestRecord) -> None:
        """Count a request that has ended."""
        for sink in self._sinks:
            sink(record)
        self._window.observe(record)
        count = self._since_start
        count["total"] += 1
        count[record.outcome] += 1
        if record.outcome == "answered":
            self._answered_s += record.total_s
            self._generation_s += record.generation_s
            count["answered_tokens"] += record.completion_tokens
            self._total.observe(record.total_s)
        if record.waited:
            self._queue.observe(record.queue_s)
        if record.first_token_s is not None:
            self._first_token.observe(record.first_token_s)
        for name in (*TOKENS, "cached_tokens"):
            count[name] += getattr(record, name)
        count["backup_answers"] += record.backup
        self.series.observe(record)
        if record.error_code and record.outcome in ("failed", "refused", "limited"):
            self._errors.append((self._clock.now(), record.error_code))

    async def watch(self, load: Callable[[], tuple[int, int]]) -> None:
        """Note `load`, running and waiting, every LOAD_EVERY_S until cancelled."""
        while True:
            self.series.observe_load(*load())
            await asyncio.sleep(LOAD_EVERY_S)

    @property
    def uptime_s(self) -> float:
        return self._clock.monotonic() - self._started

    def recent_errors(self) -> list[dict[str, object]]:
        """The newest error codes with their Unix time, newest first."""
        return [{"at": round(at, 1), "code": code} for at, code in reversed(self._errors)]

    def since_start(self) -> dict[str, Any]:
        """Totals since the process started; percentiles within the 5 % of a histogram's bucket."""
        c, tokens = self._since_start, self._since_start["answered_tokens"]
        tried = c["answered"] + c["failed"] + c["refused"]
        return {
            "total_requests": c["total"],
            **{name: c[name] for name in (*ENDS, "invalid")},
            "avg_response_time": round(self._answered_s / c["answered"], 3)
            if c["answered"]
            else 0.0,
            "success_rate": round(100 * c["answered"] / tried, 2) if tried else 100.0,
            **{name: c[name] for name in (*TOKENS, "backup_answers")},
            "cache_hit_share": share(c["cached_tokens"], c["prompt_tokens"]),
            "total_s": self._total.percentiles(),
            "queue_s": self._queue.percentiles(),
            "first_token_s": self._first_token.percentiles(),
            "tokens_per_second": round(tokens / self._generation_s, 1)
            if self._generation_s
            else 0.0,
            "tokens_per_second_all": round(tokens / self.uptime_s, 2) if self.uptime_s > 1 else 0.0,
        }

    def window(self) -> dict[str, object]:
        """The same for the last 15 minutes; computed at most once a second."""
        return self._window.summary()


class Window:
    """Remembers each admitted request, and of those turned away only how many a second.

    So a flood of refusals pushes out nothing. Should the admitted ones alone be too many, the
    window is as long as they reach back, and says so.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._admitted: deque[tuple[float, RequestRecord]] = deque(maxlen=WINDOW_REQUESTS)
        self._refusals: deque[tuple[int, Counter[tuple[str, str | None]]]] = deque()
        self._summary: tuple[float, dict[str, object]] | None = None

    def observe(self, record: RequestRecord) -> None:
        now = self._clock.monotonic()
        if record.waited:
            self._admitted.append((now, record))
            return
        second = int(now)
        if not self._refusals or self._refusals[-1][0] != second:
            self._refusals.append((second, Counter()))
            self._forget(now - WINDOW_S)
        self._refusals[-1][1][record.outcome, record.error_code] += 1

    def summary(self) -> dict[str, object]:
        """Counts, percentiles and rates; computed at most once in SUMMARY_FOR_S."""
        now = self._clock.monotonic()
        if self._summary and now - self._summary[0] < SUMMARY_FOR_S:
            return self._summary[1]
        self._forget(now - WINDOW_S)
        span = min(WINDOW_S, now - self._started)
        if len(self._admitted) == self._admitted.maxlen:
            span = min(span, now - self._admitted[0][0])
        counts: Counter[tuple[str, str | None]] = Counter()
        for second, some in self._refusals:
            if second + 1 > now - span:
                counts.update(some)
        summary = _summarize([record for _, record in self._admitted], counts, span)
        self._summary = (now, summary)
        return summary

    def _forget(self, before: float) -> None:
        while self._admitted and self._admitted[0][0] < before:
            self._admitted.popleft()
        while self._refusals and self._refusals[0][0] + 1 <= before:
            self._refusals.popleft()


def _summarize(
    records: list[RequestRecord], counts: Counter[tuple[str, str | None]], span: float
) -> dict[str, object]:
    done = [r for r in records if r.outcome == "answered"]
    counts.update((r.outcome, r.error_code) for r in records)
    outcomes: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for (outcome, code), times in counts.items():
        outcomes[outcome] += times
        if code:
            causes[code] += times
    tried = outcomes["answered"] + outcomes["failed"] + outcomes["refused"]
    generation_s = sum(r.generation_s for r in done)
    tokens = sum(r.completion_tokens for r in done)
    return {
        "seconds": round(span, 1),
        "requests": outcomes.total(),
        **{name: outcomes[name] for name in ENDS},
        "causes": dict(causes.most_common(12)),
        "success_rate": round(100 * outcomes["answered"] / tried, 2) if tried else 100.0,
        "requests_per_hour": round(3600 * len(done) / span, 1) if span > 1 else 0.0,
        "total_s": _percentiles([r.total_s for r in done]),
        "queue_s": _percentiles([r.queue_s for r in records]),
        "first_token_s": _percentiles(
            [r.first_token_s for r in records if r.first_token_s is not None]
        ),
        "tokens_per_second": round(tokens / generation_s, 1) if generation_s else 0.0,
        "tokens_per_second_all": round(tokens / span, 2) if span > 1 else 0.0,
        "cache_hit_share": share(
            sum(r.cached_tokens for r in done), sum(r.prompt_tokens for r in done)
        ),
    }


@dataclass(slots=True)
class _Point:
    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    total_s: list[float] = field(default_factory=list)
    queue_s: list[float] = field(default_factory=list)
    running: int = 0
    waiting: int = 0

    def to_dict(self) -> dict[str, object]:
        return {
            "at": self.number * POINT_S,
            **{name: self.outcomes[name] for name in ENDS},
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

    def observe(self, record: RequestRecord) -> None:
        """Count a request where it ends; times count for answers only."""
        point = self._current()
        point.outcomes[record.outcome] += 1
        point.tokens += record.completion_tokens
        if record.outcome == "answered" and len(point.total_s) < POINT_ANSWERS:
            point.total_s.append(record.total_s)
            point.queue_s.append(record.queue_s)

    def observe_load(self, running: int, waiting: int) -> None:
        """Note the load of this moment; a point keeps the highest."""
        point = self._current()
        point.running = max(point.running, running)
        point.waiting = max(point.waiting, waiting)

    def points(self) -> list[dict[str, object]]:
        """Oldest first; `at` is the Unix time of a point's begin, the last one is still growing.

        Times are None where nothing was answered; running and waiting are the highest seen.
        """
        self._current()
        return [point.to_dict() for point in self._points]

    def _number(self) -> int:
        return int(self._clock.now() // POINT_S)

    def _current(self) -> _Point:
        number = self._number()
        last = self._points[-1]
        # a clock that was set back goes on in the last point, one set far ahead starts over
        if number - last.number > POINTS:
            self._points.clear()
            self._points.append(_Point(number))
        while self._points[-1].number < number:
            self._points.append(_Point(self._points[-1].number + 1))
        return self._points[-1]


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


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending values; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(percentile(sorted(values), share), 3) if values else None


def share(part: float, whole: float) -> float:
    """Between 0 and 1; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": round(percentile(ordered, p / 100), 3) for p in (50, 95, 99)}
