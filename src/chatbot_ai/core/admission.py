"""The waiting room: a bounded, fair, honest queue in front of the engine's slots.

Fairness is start-time fair queueing (Goyal, Vin, Cheng 1996): a ticket's tag is one more than the
larger of the queue's virtual time and its user's last tag, and the smallest tag is served next. A
user with one request therefore stands at most one round behind a user with fifty, a user's own
requests keep their order, and nobody starves, since later arrivals get later tags.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass

from chatbot_ai.core.estimate import RunningAnswer, ServiceEstimate, ServiceSample
from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited, DeadlineExceeded
from chatbot_ai.domain.ports import Clock

#: A waiting caller hears of a changed estimate at least this often, in seconds.
UPDATE_EVERY_S = 2.0
#: Seconds for which a forecast holds while nothing enters a slot or leaves one.
FORECAST_FOR_S = 0.2
#: Retry-After before anything was measured.
UNMEASURED_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """1 is next. `wait_s` is None until a first answer was measured."""

    position: int
    wait_s: float | None


class Ticket:
    """One request's place, from arrival to `release`. Made by `Admission.enter` only."""

    def __init__(
        self, admission: Admission, user: Hashable, deadline: float, conversation: Hashable | None
    ) -> None:
        self._admission = admission
        self.user = user
        self.deadline = deadline
        self.conversation = conversation
        self.tag = 0
        self.number = 0
        self.arrived = admission.clock.monotonic()
        self.started: float | None = None
        self._tokens = 0
        self._first_token_s: float | None = None
        self.at_arrival = QueuePosition(0, 0.0)
        self.closed = False
        self.changed = asyncio.Event()

    @property
    def order(self) -> tuple[int, int]:
        return self.tag, self.number

    @property
    def queue_s(self) -> float:
        """Seconds waited, so far or until the slot was given."""
        until = self.started if self.started is not None else self._admission.clock.monotonic()
        return until - self.arrived

    def progressed(self, tokens: int) -> None:
        """Say how many tokens the answer has by now."""
        if tokens and self._first_token_s is None:
            self._first_token_s = self._in_slot_s()
        self._tokens = tokens

    def progress(self) -> RunningAnswer:
        """How far the answer has come."""
        return RunningAnswer(self._in_slot_s(), self._first_token_s, self._tokens)

    def _in_slot_s(self) -> float:
        return self._admission.clock.monotonic() - (self.started or self.arrived)

    async def positions(self) -> AsyncIterator[QueuePosition]:
        """Yield the place whenever it changes; end when the slot is given.

        Raises DeadlineExceeded if the deadline passes first and AdmissionRejected if the service
        stops. The ticket must be released in every case.
        """
        last: QueuePosition | None = None
        while self.started is None:
            if self.closed:
                raise AdmissionRejected("the service is stopping")
            self.changed.clear()
            place = self._admission.position(self)
            if place != last:
                last = place
                yield place
                continue
            left = self.deadline - self._admission.clock.monotonic()
            if left <= 0:
                raise DeadlineExceeded("queue", self._admission.retry_after_s())
            try:
                async with asyncio.timeout(min(left, UPDATE_EVERY_S)):
                    await self.changed.wait()
            except TimeoutError:
                last = None if left > UPDATE_EVERY_S else last

    def release(self, sample: ServiceSample | None = None) -> None:
        """Give the place back; `sample` teaches the estimate. Safe to call twice."""
        self._admission.leave(self, sample)


class Admission:
    """At most `slots` run, at most `max_waiting` wait, in fair order.

    max_per_user limits what one user may have waiting and running together; 0 switches it off.
    Two requests of one conversation never run at once: the second waits for the first, so that it
    continues from its answer.
    """

    def __init__(
        self, *, slots: int, max_waiting: int, clock: Clock, max_per_user: int = 0
    ) -> None:
        self.slots, self.max_waiting, self.max_per_user = slots, max_waiting, max_per_user
        self.clock = clock
        self.estimate = ServiceEstimate()
        self.waiting: list[Ticket] = []
        self.running: set[Ticket] = set()
        self._virtual = 0
        self._last_tag: dict[Hashable, int] = {}
        self._per_user: Counter[Hashable] = Counter()
        self._numbers = itertools.count(1)
        self._closing = False
        self._forecast: tuple[float | None, list[float]] = (None, [])

    def enter(
        self, user: Hashable, deadline: float, conversation: Hashable | None = None
    ) -> Ticket:
        """Take a place, at once or never.

        Raises CallerLimited if `user` has too many requests here, AdmissionRejected if the room is
        full, the service stops, or the answer cannot be expected before `deadline`.
        """
        if self._closing:
            raise AdmissionRejected("the service is stopping")
        if self.max_per_user and self._per_user[user] >= self.max_per_user:
            raise CallerLimited("concurrent_requests", self.retry_after_s())
        ticket = Ticket(self, user, deadline, conversation)
        ticket.number = next(self._numbers)
        ticket.tag = max(self._virtual, self._last_tag.get(user, 0)) + 1
        place = QueuePosition(0, 0.0)
        if len(self.running) >= self.slots or not self._eligible(ticket):
            if len(self.waiting) >= self.max_waiting:
                raise AdmissionRejected("the waiting room is full", self.retry_after_s())
            place = self._place(ticket, [*self.waiting, ticket])
            if place.wait_s is not None:
                late = place.wait_s + self._whole_s() - (deadline - self.clock.monotonic())
                if late > 0:
                    raise AdmissionRejected("the wait would exceed the deadline", max(1.0, late))
        self._per_user[user] += 1
        self._last_tag[user] = ticket.tag
        self.waiting.append(ticket)
        ticket.at_arrival = place
        self._dispatch()
        return ticket

    def position(self, ticket: Ticket) -> QueuePosition:
        """Where a waiting ticket stands now."""
        return self._place(ticket, self.waiting)

    def expected_wait_s(self) -> float | None:
        """Seconds that a newcomer would wait for a slot; None before the first measurement."""
        if len(self.running) < self.slots:
            return 0.0
        newcomer = Ticket(self, object(), 0.0, None)
        newcomer.tag, newcomer.number = self._virtual + 1, next(self._numbers)
        return self._place(newcomer, self.waiting).wait_s

    def retry_after_s(self) -> float:
        """Seconds until a place is expected to come free; at least 1."""
        if not self.estimate.measured:
            return UNMEASURED_RETRY_S
        if not self.running:
            return 1.0
        token_s = self._token_s()
        return max(1.0, min(self._remaining(t, token_s) for t in self.running))

    def leave(self, ticket: Ticket, sample: ServiceSample | None) -> None:
        if ticket in self.running:
            self.running.remove(ticket)
        elif ticket in self.waiting:
            self.waiting.remove(ticket)
        else:
            return
        self._forecast = (None, [])
        if sample is not None:
            self.estimate.observe(sample)
        self._per_user[ticket.user] -= 1
        if self._per_user[ticket.user] <= 0:
            del self._per_user[ticket.user]
        if not self.waiting:
            # nobody waits: everyone starts level again, and the table of tags stays small
            self._last_tag.clear()
            self._virtual = 0
        self._dispatch()

    def close(self) -> None:
        """Refuse newcomers and send away those who wait; those who run may finish."""
        self._closing = True
        for ticket in self.waiting:
            ticket.closed = True
            ticket.changed.set()

    def _dispatch(self) -> None:
        while len(self.running) < self.slots:
            able = [t for t in self.waiting if self._eligible(t)]
            if not able:
                break
            chosen = min(able, key=lambda t: t.order)
            self.waiting.remove(chosen)
            self.running.add(chosen)
            chosen.started = self.clock.monotonic()
            self._forecast = (None, [])
            self._virtual = max(self._virtual, chosen.tag)
        for ticket in [*self.waiting, *self.running]:
            ticket.changed.set()

    def _eligible(self, ticket: Ticket) -> bool:
        if ticket.conversation is None:
            return True
        return not any(
            other.conversation == ticket.conversation
            for other in [*self.running, *(w for w in self.waiting if w.order < ticket.order)]
        )

    def _token_s(self) -> float:
        return self.estimate.token_s(ticket.progress() for ticket in self.running)

    def _whole_s(self) -> float:
        return self.estimate.whole_s(self._token_s())

    def _remaining(self, ticket: Ticket, token_s: float) -> float:
        return self.estimate.remaining_s(ticket.progress(), token_s)

    def _place(self, ticket: Ticket, waiting: list[Ticket]) -> QueuePosition:
        ahead = sorted((t for t in waiting if t.order < ticket.order), key=lambda t: t.order)
        position = len(ahead) + 1
        if not self.estimate.measured:
            return QueuePosition(position, None)
        wait = self._start_s(position)
        if ticket.conversation is not None:
            # behind its own conversation it waits for those answers one after the other
            token_s = self._token_s()
            own = [t for t in self.running if t.conversation == ticket.conversation]
            before = sum(t.conversation == ticket.conversation for t in ahead)
            behind = before * self.estimate.whole_s(token_s)
            wait = max(wait, sum(self._remaining(t, token_s) for t in own) + behind)
        return QueuePosition(position, round(wait, 1))

    def _start_s(self, position: int) -> float:
        """Seconds until `position` gets a slot. All who ask at one moment share one forecast."""
        now = self.clock.monotonic()
        made, starts = self._forecast
        if made is None or now - made > FORECAST_FOR_S or len(starts) < position:
            running = sorted(self.running, key=lambda t: t.number)
            places = max(position, len(self.waiting) + 1)
            starts = self.estimate.starts_s([t.progress() for t in running], self.slots, places)
            self._forecast = (now, starts)
        return starts[position - 1]
