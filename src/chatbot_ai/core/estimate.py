"""How long an answer takes, learned from the answers before it: tokens, not whole requests."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

#: Answers whose speed counts: few, so that another load or a warmed-up engine shows at once.
SPEEDS = 12
#: Answers whose length counts: many, as lengths depend on questions, not on the machine.
LENGTHS = 200
#: Tokens that a running answer must have before its own speed says something.
TELLING_TOKENS = 8


@dataclass(frozen=True, slots=True)
class ServiceSample:
    """One finished answer: seconds to its first token, then tokens and seconds of generation."""

    first_token_s: float
    completion_tokens: int
    generation_s: float


@dataclass(frozen=True, slots=True)
class RunningAnswer:
    """How far an answer has come: seconds in its slot, seconds to its first token, tokens."""

    elapsed_s: float
    first_token_s: float | None
    tokens: int

    @property
    def token_s(self) -> float | None:
        """Its own seconds per token, once there are enough to tell."""
        if self.first_token_s is None or self.tokens < TELLING_TOKENS:
            return None
        return (self.elapsed_s - self.first_token_s) / self.tokens


class ServiceEstimate:
    """The expected time of an answer in a slot: time to first token + tokens x time per token.

    The number of tokens still to come is the mean of those remembered answers that were longer
    than what was generated so far, so the estimate of a running answer uses its real progress.
    The time per token is that of the answers which run now; without such, of the last ones.
    """

    def __init__(self) -> None:
        self._speeds: deque[ServiceSample] = deque(maxlen=SPEEDS)
        self._order: deque[int] = deque()
        self._lengths: list[int] = []

    @property
    def measured(self) -> bool:
        return bool(self._speeds)

    def observe(self, sample: ServiceSample) -> None:
        tokens = max(sample.completion_tokens, 1)
        self._speeds.append(sample)
        if len(self._order) == LENGTHS:
            self._lengths.remove(self._order.popleft())
        self._order.append(tokens)
        insort(self._lengths, tokens)

    def token_s(self, running: Iterable[RunningAnswer] = ()) -> float:
        """Seconds per token now."""
        live = [speed for answer in running if (speed := answer.token_s) is not None]
        if live:
            return sum(live) / len(live)
        tokens = sum(max(s.completion_tokens, 1) for s in self._speeds)
        return sum(s.generation_s for s in self._speeds) / tokens if tokens else 0.0

    def whole_s(self, token_s: float) -> float:
        """Expected seconds of an answer that has not begun; 0 before the first measurement."""
        return self._first_token_s() + self._tokens_left(0) * token_s

    def remaining_s(self, answer: RunningAnswer, token_s: float) -> float:
        """Expected seconds left of a running answer."""
        if answer.tokens == 0:
            first = self._first_token_s()
            left = max(first - answer.elapsed_s, 0.1 * first)
            return left + self._tokens_left(0) * token_s
        return self._tokens_left(answer.tokens) * (answer.token_s or token_s)

    def _first_token_s(self) -> float:
        if not self._speeds:
            return 0.0
        return sum(s.first_token_s for s in self._speeds) / len(self._speeds)

    def _tokens_left(self, done: int) -> float:
        start = bisect_right(self._lengths, done)
        longer = self._lengths[start:]
        if not longer:
            return 0.25 * done
        return sum(longer) / len(longer) - done
