"""What happened to requests: counters since the start and a window of the last 15 minutes."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from chatbot_ai.core.series import Series, percentile
from chatbot_ai.domain.ports import Clock

Outcome = Literal["answered", "refused", "limited", "cancelled", "failed", "invalid"]

WINDOW_S = 15 * 60
#: Requests the window remembers at most; at 20 a second it covers the whole window.
WINDOW_REQUESTS = 20_000
#: Seconds for which a computed summary is given out again, so that polling costs nothing.
SUMMARY_FOR_S = 1.0
#: Seconds between two looks at the load.
LOAD_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that has ended. Times in seconds; `first_token_s` is None if none came.

    wasted_tokens were generated for a caller that had gone.
    """

    outcome: Outcome
    model: str
    total_s: float
    queue_s: float
    first_token_s: float | None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    generation_s: float = 0.0
    wasted_tokens: int = 0
    error_code: str | None = None
    backup: bool = False
    ended_at: float = 0.0

    def log_fields(self) -> dict[str, object]:
        """The record for a log line: times in milliseconds, no content."""
        first = self.first_token_s
        return {
            "model": self.model,
            "outcome": self.outcome,
            "error": self.error_code,
            "queue_ms": round(self.queue_s * 1000, 1),
            "first_token_ms": None if first is None else round(first * 1000, 1),
            "total_ms": round(self.total_s * 1000, 1),
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "wasted_tokens": self.wasted_tokens,
            "backup": self.backup,
        }


class Observer(Protocol):
    """Somebody who wants to know of every ended request."""

    def ended(self, record: RequestRecord) -> None: ...


class Stats:
    """Counts requests and summarises them. `success` is answered / (answered + failed + refused);
    what the caller did wrong, was limited for or left is no failure of the service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.series = Series(clock)
        self.started_at = clock.now()
        self._started = clock.monotonic()
        self._window: deque[tuple[float, RequestRecord]] = deque(maxlen=WINDOW_REQUESTS)
        self._since_start: Counter[str] = Counter()
        self._answered_s = 0.0
        self._errors: deque[tuple[float, str]] = deque(maxlen=20)
        self._summary: tuple[float, dict[str, object]] | None = None

    def ended(self, record: RequestRecord) -> None:
        self._window.append((self._clock.monotonic(), record))
        count = self._since_start
        count["total"] += 1
        count[record.outcome] += 1
        if record.outcome == "answered":
            self._answered_s += record.total_s
        count["prompt_tokens"] += record.prompt_tokens
        count["cached_tokens"] += record.cached_tokens
        count["completion_tokens"] += record.completion_tokens
        count["wasted_tokens"] += record.wasted_tokens
        count["backup_answers"] += record.backup
        self.series.ended(
            record.outcome,
            tokens=record.completion_tokens,
            total_s=record.total_s,
            queue_s=record.queue_s,
        )
        if record.error_code and record.outcome in ("failed", "refused", "limited"):
            self._errors.append((self._clock.now(), record.error_code))

    async def follow(self, load: Callable[[], tuple[int, int]]) -> None:
        """Note `load`, running and waiting, every LOAD_EVERY_S until cancelled."""
        while True:
            self.series.loaded(*load())
            await asyncio.sleep(LOAD_EVERY_S)

    @property
    def uptime_s(self) -> float:
        return self._clock.monotonic() - self._started

    def recent_errors(self) -> list[dict[str, object]]:
        """The newest error codes with their Unix time, newest first."""
        return [{"at": round(at, 1), "code": code} for at, code in reversed(self._errors)]

    def since_start(self) -> dict[str, float]:
        """Totals since the process started, and the share of prompts that came from the cache."""
        c = self._since_start
        tried = c["answered"] + c["failed"] + c["refused"]
        return {
            "total_requests": c["total"],
            "answered": c["answered"],
            "refused": c["refused"],
            "limited": c["limited"],
            "cancelled": c["cancelled"],
            "failed": c["failed"],
            "invalid": c["invalid"],
            "avg_response_time": round(self._answered_s / c["answered"], 3)
            if c["answered"]
            else 0.0,
            "success_rate": round(100 * c["answered"] / tried, 2) if tried else 100.0,
            "prompt_tokens": c["prompt_tokens"],
            "completion_tokens": c["completion_tokens"],
            "wasted_tokens": c["wasted_tokens"],
            "backup_answers": c["backup_answers"],
            "cache_hit_share": _share(c["cached_tokens"], c["prompt_tokens"]),
        }

    def window(self) -> dict[str, object]:
        """The same for the last 15 minutes, with percentiles; computed at most once a second."""
        now = self._clock.monotonic()
        if self._summary and now - self._summary[0] < SUMMARY_FOR_S:
            return self._summary[1]
        while self._window and self._window[0][0] < now - WINDOW_S:
            self._window.popleft()
        records = [r for _, r in self._window]
        done = [r for r in records if r.outcome == "answered"]
        outcomes = Counter(r.outcome for r in records)
        tried = outcomes["answered"] + outcomes["failed"] + outcomes["refused"]
        generation_s = sum(r.generation_s for r in done)
        tokens = sum(r.completion_tokens for r in done)
        span = min(WINDOW_S, self.uptime_s)
        summary: dict[str, object] = {
            "seconds": round(span, 1),
            "requests": len(records),
            **{
                name: outcomes[name]
                for name in ("answered", "refused", "limited", "cancelled", "failed")
            },
            "causes": dict(Counter(r.error_code for r in records if r.error_code).most_common(12)),
            "success_rate": round(100 * outcomes["answered"] / tried, 2) if tried else 100.0,
            "requests_per_hour": round(3600 * len(done) / span, 1) if span > 1 else 0.0,
            "total_s": _percentiles([r.total_s for r in done]),
            "queue_s": _percentiles([r.queue_s for r in done]),
            "first_token_s": _percentiles(
                [r.first_token_s for r in done if r.first_token_s is not None]
            ),
            "tokens_per_second": round(tokens / generation_s, 1) if generation_s else 0.0,
            "tokens_per_second_all": round(tokens / span, 2) if span > 1 else 0.0,
            "cache_hit_share": _share(
                sum(r.cached_tokens for r in done), sum(r.prompt_tokens for r in done)
            ),
        }
        self._summary = (now, summary)
        return summary


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": round(percentile(ordered, p / 100), 3) for p in (50, 95, 99)}


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
