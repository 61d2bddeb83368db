"""How long answers take, learned from the answers before them: tokens, not whole requests."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

#: Answers whose speed counts: few, so that another load shows at once.
SPEEDS = 12
#: Answers whose time to the first token counts: fewer, as a prompt that no cache held yet takes
#: ten times as long (measured: 36 s against 2 s on a busy machine) and must be forgotten soon.
FIRST_TOKENS = 6
#: Answers whose length counts: many, as lengths depend on questions, not on the machine.
LENGTHS = 200
#: Tokens that a running answer must have before its own speed says something.
TELLING_TOKENS = 8
#: Possible courses of the queue that a forecast takes the median of.
COURSES = 25
#: Shares from 0 to 1 that pick the remembered answers of each course: the same ones every time, so
#: that a forecast changes only with what it is made of.
_DRAWS = tuple(
    tuple(draw.random() for _ in range(199)) for draw in map(random.Random, range(COURSES))
)


@dataclass(frozen=True, slots=True)
class ServiceSample:
    """One finished answer: seconds to its first token, then tokens and seconds of generation.

    Tokens are the pieces in which the answer came, the unit in which a running one is followed;
    in Korean a piece may be several tokens of the model's.
    """

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
    def tells(self) -> bool:
        """Whether it has enough tokens for its speed to say something."""
        return self.first_token_s is not None and self.tokens >= TELLING_TOKENS

    @property
    def generation_s(self) -> float:
        """Seconds since its first token."""
        return self.elapsed_s - (self.first_token_s or self.elapsed_s)

    @property
    def token_s(self) -> float | None:
        """Its own seconds per token, once there are enough to tell."""
        return self.generation_s / self.tokens if self.tells else None


class ServiceEstimate:
    """The expected time of an answer in a slot: time to first token + tokens x time per token.

    The number of tokens still to come is that of the remembered answers that were longer than
    what was generated so far, so the estimate of a running answer uses its real progress. The
    time per token is that of the answers which run now; without such, of the last ones.
    """

    def __init__(self) -> None:
        self._speeds: deque[ServiceSample] = deque(maxlen=SPEEDS)
        self._firsts_s: deque[float] = deque(maxlen=FIRST_TOKENS)
        self._order: deque[int] = deque()
        self._lengths: list[int] = []

    @property
    def measured(self) -> bool:
        return bool(self._speeds)

    def observe(self, sample: ServiceSample) -> None:
        tokens = max(sample.completion_tokens, 1)
        self._speeds.append(sample)
        self._firsts_s.append(sample.first_token_s)
        if len(self._order) == LENGTHS:
            self._lengths.remove(self._order.popleft())
        self._order.append(tokens)
        insort(self._lengths, tokens)

    def token_s(self, running: Iterable[RunningAnswer] = ()) -> float:
        """Seconds per token now."""
        live = [answer for answer in running if answer.tells]
        if live:
            return sum(a.generation_s for a in live) / sum(a.tokens for a in live)
        tokens = sum(max(s.completion_tokens, 1) for s in self._speeds)
        return sum(s.generation_s for s in self._speeds) / tokens if tokens else 0.0

    def whole_s(self, token_s: float) -> float:
        """Mean seconds of an answer that has not begun; 0 before the first measurement."""
        return self._first_token_s() + self._tokens_left(0) * token_s

    def remaining_s(self, answer: RunningAnswer, token_s: float) -> float:
        """Mean seconds left of a running answer."""
        if answer.tokens == 0:
            first = self._first_token_s()
            left = max(first - answer.elapsed_s, 0.1 * first)
            return left + self._tokens_left(0) * token_s
        return self._tokens_left(answer.tokens) * (answer.token_s or token_s)

    def starts_s(self, running: Sequence[RunningAnswer], slots: int, places: int) -> list[float]:
        """Seconds until each of `places` waiting answers, in their order, gets one of `slots`.

        Each is the median over many courses that the queue could take, in which every answer is
        as long as a remembered one. Expected lengths alone would not do: of four running answers
        the first to end is done long before each of them is expected to be. Never falls from one
        place to the next, and the same progress gives the same forecast.
        """
        if not self.measured:
            return [0.0] * places
        token_s = self.token_s(running)
        courses = [self._course(running, slots, places, token_s, cycle(d)) for d in _DRAWS]
        return [median(starts) for starts in zip(*courses, strict=True)]

    def _course(
        self,
        running: Sequence[RunningAnswer],
        slots: int,
        places: int,
        token_s: float,
        draws: Iterator[float],
    ) -> list[float]:
        free = [self._drawn_remaining_s(answer, token_s, draws) for answer in running]
        free += [0.0] * (slots - len(free))
        heapq.heapify(free)
        for _ in range(len(free) - slots):
            heapq.heappop(free)  # more run than there are slots by now: their ends free none
        firsts, lengths = self._firsts_s, self._lengths
        starts = []
        for _ in range(places):
            starts.append(free[0])
            first_s = firsts[int(next(draws) * len(firsts))]
            tokens = lengths[int(next(draws) * len(lengths))]
            heapq.heapreplace(free, free[0] + first_s + tokens * token_s)
        return starts

    def _drawn_remaining_s(
        self, answer: RunningAnswer, token_s: float, draws: Iterator[float]
    ) -> float:
        share, other = next(draws), next(draws)
        if answer.tokens == 0:
            later = [first_s for first_s in self._firsts_s if first_s > answer.elapsed_s]
            first_s = later[int(share * len(later))] - answer.elapsed_s if later else 0.0
            return first_s + self._lengths[int(other * len(self._lengths))] * token_s
        start = bisect_right(self._lengths, answer.tokens)
        if start == len(self._lengths):
            left = 0.5 * answer.tokens * share
        else:
            left = self._lengths[start + int(share * (len(self._lengths) - start))] - answer.tokens
        return left * (answer.token_s or token_s)

    def _first_token_s(self) -> float:
        return sum(self._firsts_s) / len(self._firsts_s) if self._firsts_s else 0.0

    def _tokens_left(self, done: int) -> float:
        start = bisect_right(self._lengths, done)
        longer = self._lengths[start:]
        if not longer:
            return 0.25 * done
        return sum(longer) / len(longer) - done
