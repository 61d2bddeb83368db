"""Where a key stands with its limits, and the headers that tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from chatbot_ai.access.key import Limits
from chatbot_ai.domain.errors import CallerLimited

LimitName = Literal["requests_per_minute", "tokens_per_day", "concurrent_requests"]

#: The requests of so many seconds count, whenever one asks: no minute admits more than the limit.
WINDOW_S = 60.0
#: Nobody knows when a running answer ends; a short pause costs little.
CONCURRENT_RETRY_S = 2.0


@dataclass(slots=True)
class Standing:
    """What a key has used: requests of the last minute, tokens of the day, calls under way.

    requests_reset_s  until the oldest request of the window no longer counts
    tokens_reset_s    until the day ends
    """

    limits: Limits
    requests: int = 0
    requests_reset_s: float = 0.0
    tokens: int = 0
    tokens_reset_s: float = 0.0
    running: int = 0

    def check(self) -> None:
        """Raise CallerLimited where one more call would be over a limit."""
        limits = self.limits
        checks: tuple[tuple[LimitName, int | None, int, float], ...] = (
            (
                "requests_per_minute",
                limits.requests_per_minute,
                self.requests,
                self.requests_reset_s,
            ),
            ("tokens_per_day", limits.tokens_per_day, self.tokens, self.tokens_reset_s),
            ("concurrent_requests", limits.concurrent, self.running, CONCURRENT_RETRY_S),
        )
        for name, limit, used, reset_s in checks:
            if limit is not None and used >= limit:
                raise CallerLimited(name, reset_s, self.headers())

    def headers(self) -> Mapping[str, str]:
        """`X-RateLimit-Limit-…`, `-Remaining-…` and `-Reset-…` (whole seconds) of each limit."""
        limits, found = self.limits, {}
        concurrent_reset_s = CONCURRENT_RETRY_S if self.running >= (limits.concurrent or 0) else 0
        for name, limit, used, reset_s in (
            ("Requests", limits.requests_per_minute, self.requests, self.requests_reset_s),
            ("Tokens", limits.tokens_per_day, self.tokens, self.tokens_reset_s),
            ("Concurrent", limits.concurrent, self.running, concurrent_reset_s),
        ):
            if limit is not None:
                found[f"X-RateLimit-Limit-{name}"] = str(limit)
                found[f"X-RateLimit-Remaining-{name}"] = str(max(0, limit - used))
                found[f"X-RateLimit-Reset-{name}"] = str(math.ceil(reset_s))
        return found
