"""Where a key stands with its limits, and what is left of them."""

from __future__ import annotations

from dataclasses import dataclass

from chatbot_ai.access.key import Limits
from chatbot_ai.domain.errors import CallerLimited
from chatbot_ai.domain.limits import LimitName, LimitState

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
        states = self.states()
        for state in states:
            if state.remaining == 0:
                raise CallerLimited(state.name, state.reset_s, states)

    def states(self) -> tuple[LimitState, ...]:
        """What is left of each limit that there is."""
        limits = self.limits
        concurrent_reset_s = CONCURRENT_RETRY_S if self.running >= (limits.concurrent or 0) else 0.0
        table: tuple[tuple[LimitName, int | None, int, float], ...] = (
            (
                "requests_per_minute",
                limits.requests_per_minute,
                self.requests,
                self.requests_reset_s,
            ),
            ("tokens_per_day", limits.tokens_per_day, self.tokens, self.tokens_reset_s),
            ("concurrent_requests", limits.concurrent, self.running, concurrent_reset_s),
        )
        return tuple(
            LimitState(name, limit, max(0, limit - used), reset_s)
            for name, limit, used, reset_s in table
            if limit is not None
        )
