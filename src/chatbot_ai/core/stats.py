"""What happened to requests: counters since the start and a window of the last 15 minutes."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from chatbot_ai.core.histogram import Histogram
from chatbot_ai.core.record import RequestRecord
from chatbot_ai.core.series import Series
from chatbot_ai.core.window import Window, share
from chatbot_ai.domain.ports import Clock

#: Seconds between two looks at the load.
LOAD_EVERY_S = 1.0


class Stats:
    """Counts requests and summarises them. `success` is answered / (answered + failed + refused);
    what the caller did wrong, was limited for or left is no failure of the service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.series = Series(clock)
        self.started_at = clock.now()
        self._started = clock.monotonic()
        self._window = Window(clock)
        self._total, self._queue, self._first_token = Histogram(), Histogram(), Histogram()
        self._generation_s = 0.0
        self._since_start: Counter[str] = Counter()
        self._answered_s = 0.0
        self._errors: deque[tuple[float, str]] = deque(maxlen=20)

    def ended(self, record: RequestRecord) -> None:
        self._window.ended(record)
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

    def since_start(self) -> dict[str, Any]:
        """Totals since the process started; percentiles within the 5 % of a histogram's bucket."""
        c, tokens = self._since_start, self._since_start["answered_tokens"]
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
