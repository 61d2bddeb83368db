"""The requests of the last 15 minutes, summed up."""

from __future__ import annotations

from collections import Counter, deque

from chatbot_ai.core.record import RequestRecord
from chatbot_ai.core.series import percentile
from chatbot_ai.domain.ports import Clock

WINDOW_S = 15 * 60
#: Admitted requests that the window remembers at most; at 20 a second they cover all of it.
WINDOW_REQUESTS = 20_000
#: Seconds for which a computed summary is given out again, so that polling costs nothing.
SUMMARY_FOR_S = 1.0


class Window:
    """Remembers each admitted request, and of those turned away only how many a second.

    So a flood of refusals pushes out nothing. Should the admitted ones alone be too many, the
    window is as long as they reach back, and says so.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._admitted: deque[tuple[float, RequestRecord]] = deque(maxlen=WINDOW_REQUESTS)
        self._turned_away: deque[tuple[int, Counter[tuple[str, str | None]]]] = deque()
        self._summary: tuple[float, dict[str, object]] | None = None

    def ended(self, record: RequestRecord) -> None:
        now = self._clock.monotonic()
        if record.waited:
            self._admitted.append((now, record))
            return
        second = int(now)
        if not self._turned_away or self._turned_away[-1][0] != second:
            self._turned_away.append((second, Counter()))
            self._forget(now - WINDOW_S)
        self._turned_away[-1][1][record.outcome, record.error_code] += 1

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
        for second, some in self._turned_away:
            if second + 1 > now - span:
                counts.update(some)
        summary = _summed_up([record for _, record in self._admitted], counts, span)
        self._summary = (now, summary)
        return summary

    def _forget(self, before: float) -> None:
        while self._admitted and self._admitted[0][0] < before:
            self._admitted.popleft()
        while self._turned_away and self._turned_away[0][0] + 1 <= before:
            self._turned_away.popleft()


def _summed_up(
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
        **{
            name: outcomes[name]
            for name in ("answered", "refused", "limited", "cancelled", "failed")
        },
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


def share(part: float, whole: float) -> float:
    """Between 0 and 1; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": round(percentile(ordered, p / 100), 3) for p in (50, 95, 99)}
