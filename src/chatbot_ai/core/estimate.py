"""How long an answer takes, learned from the answers before it: tokens, not whole requests."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass

#: Weight of the newest measurement in the running averages: half the weight is gone after
#: about seven answers, so a changed model or load shows within a minute.
SMOOTHING = 0.1
#: Answer lengths that are remembered.
SAMPLES = 200


@dataclass(frozen=True, slots=True)
class ServiceSample:
    """One finished answer: seconds to its first token, then tokens and seconds of generation."""

    first_token_s: float
    completion_tokens: int
    generation_s: float


class ServiceEstimate:
    """The expected time of an answer in a slot: time to first token + tokens x time per token.

    The number of tokens still to come is the mean of those remembered answers that were longer
    than what was generated so far, so the estimate of a running answer uses its real progress.
    """

    def __init__(self) -> None:
        self._first_token_s = 0.0
        self._token_s = 0.0
        self._count = 0
        self._order: deque[int] = deque()
        self._lengths: list[int] = []

    @property
    def measured(self) -> bool:
        return self._count > 0

    def observe(self, sample: ServiceSample) -> None:
        tokens = max(sample.completion_tokens, 1)
        self._count += 1
        # the first few count in full, so that the average does not start at zero
        weight = max(SMOOTHING, 1 / self._count)
        self._first_token_s += weight * (sample.first_token_s - self._first_token_s)
        self._token_s += weight * (sample.generation_s / tokens - self._token_s)
        if len(self._order) == SAMPLES:
            self._lengths.remove(self._order.popleft())
        self._order.append(tokens)
        insort(self._lengths, tokens)

    def whole_s(self) -> float:
        """Expected seconds of an answer that has not begun; 0 before the first measurement."""
        return self._first_token_s + self._tokens_left(0) * self._token_s

    def remaining_s(self, elapsed_s: float, tokens_done: int) -> float:
        """Expected seconds left of an answer that runs for `elapsed_s` and has `tokens_done`."""
        if tokens_done == 0:
            generation = self._tokens_left(0) * self._token_s
            return max(self._first_token_s - elapsed_s, 0.1 * self._first_token_s) + generation
        return self._tokens_left(tokens_done) * self._token_s

    def _tokens_left(self, done: int) -> float:
        start = bisect_right(self._lengths, done)
        longer = self._lengths[start:]
        if not longer:
            return 0.25 * done
        return sum(longer) / len(longer) - done
