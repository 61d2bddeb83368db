"""The queue of requests: a bounded, fair queue in front of the engine's slots.

Fairness is start-time fair queueing (Goyal, Vin, Cheng 1996): a ticket's tag is one more than the
larger of the queue's virtual time and its user's last tag, and the smallest tag is served next. A
user with one request therefore stands at most one round behind a user with fifty, a user's own
requests keep their order, and nobody starves, since later arrivals get later tags. A request that
is given up takes its tag along: those behind it move up, and nobody pays for what it stopped.

The places are shared by counting, not by tags: where the queue is full, a newcomer takes the place
of the last request of the user with most waiting, if the newcomer's user has at least two fewer.
Tags cannot tell that, since some who wait stand at the virtual time or behind it: those whose round
is under way, and those whose conversation is still being answered.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncGenerator, Hashable, Iterator
from dataclasses import dataclass

from chatbot_ai.core.estimate import RunningAnswer, ServiceEstimate, ServiceSample
from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited, DeadlineExceeded
from chatbot_ai.domain.ports import Clock

#: Seconds for which a forecast holds while nothing enters a slot or leaves one.
FORECAST_FOR_S = 0.2
#: Retry-After before anything was measured.
UNMEASURED_RETRY_S = 5.0
#: A waiting caller hears of a changed estimate at least this often, in seconds.
UPDATE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """1 is next. `wait_s` is None until a first answer was measured."""

    position: int
    wait_s: float | None


class Ticket:
    """One request's place, from `RequestQueue.enter`, which makes it, to `RequestQueue.leave`."""

    def __init__(
        self, clock: Clock, user: Hashable, deadline: float, conversation: Hashable | None
    ) -> None:
        self._clock = clock
        self.user = user
        self.deadline = deadline
        self.conversation = conversation
        self.tag = 0
        self.number = 0
        self.arrived = clock.monotonic()
        self.started: float | None = None
        self._tokens = 0
        self._first_token_s: float | None = None
        self.at_arrival = QueuePosition(0, 0.0)
        self.refusal: AdmissionRejected | None = None
        self.changed = asyncio.Event()

    @property
    def order(self) -> tuple[int, int]:
        return self.tag, self.number

    @property
    def queue_s(self) -> float:
        """Seconds waited, so far or until the slot was given."""
        until = self.started if self.started is not None else self._clock.monotonic()
        return until - self.arrived

    def report_tokens(self, tokens: int) -> None:
        """Say how many tokens the answer has by now."""
        if tokens and self._first_token_s is None:
            self._first_token_s = self._in_slot_s()
        self._tokens = tokens

    def progress(self) -> RunningAnswer:
        """How far the answer has come."""
        return RunningAnswer(self._in_slot_s(), self._first_token_s, self._tokens)

    def _in_slot_s(self) -> float:
        return self._clock.monotonic() - (self.started or self.arrived)


class RequestQueue:
    """At most `slots` run, at most `max_waiting` wait, in fair order.

    max_per_user limits what one user may have waiting and running together; 0 switches it off.
    Two requests of one conversation never run at once: the second waits for the first, so that it
    continues from its answer. Both hold across this queue and the one `beside` it, which is for the
    same callers but for another model with slots of its own.
    """

    def __init__(
        self,
        *,
        slots: int,
        max_waiting: int,
        clock: Clock,
        max_per_user: int = 0,
        beside: RequestQueue | None = None,
    ) -> None:
        self.slots, self.max_waiting, self.max_per_user = slots, max_waiting, max_per_user
        self.clock = clock
        self.estimate = ServiceEstimate()
        self.waiting: list[Ticket] = []
        self.running: set[Ticket] = set()
        self._virtual = 0
        self._per_user: Counter[Hashable] = beside._per_user if beside else Counter()
        self._numbers: Iterator[int] = beside._numbers if beside else itertools.count(1)
        self._queues: list[RequestQueue] = beside._queues if beside else []
        self._queues.append(self)
        self._closing = False
        self._forecast: tuple[float | None, list[float]] = (None, [])
        #: when those who found the queue full were told to come again, for one turn of all places
        self._promised: deque[float] = deque(maxlen=max(1, slots + max_waiting))

    def enter(
        self, user: Hashable, deadline: float, conversation: Hashable | None = None
    ) -> Ticket:
        """Take a place, at once or never.

        Raises CallerLimited if `user` has too many requests here, AdmissionRejected if the queue is
        full, the service stops, or the answer cannot be expected before `deadline`.
        """
        if self._closing:
            raise AdmissionRejected("the service is stopping")
        if self.max_per_user and self._per_user[user] >= self.max_per_user:
            raise CallerLimited("concurrent_requests", self._user_retry_after_s(user))
        ticket = Ticket(self.clock, user, deadline, conversation)
        ticket.number = next(self._numbers)
        own = (other.tag for other in self.waiting if other.user == user)
        ticket.tag = max(self._virtual, *own, 0) + 1
        place = QueuePosition(0, 0.0)
        last: Ticket | None = None
        if len(self.running) >= self.slots or not self._is_eligible(ticket):
            if len(self.waiting) >= self.max_waiting:
                last = self._find_displaced(user)
                if last is None:
                    raise AdmissionRejected("the queue is full", self._reserve_retry_s())
            place = self._place(ticket, [*(t for t in self.waiting if t is not last), ticket])
            if place.wait_s is not None:
                spare_s = deadline - self.clock.monotonic() - self._whole_s()
                if place.wait_s > spare_s:
                    late_s = self._reserve_retry_s(place.position, spare_s)
                    late_s = max(late_s, place.wait_s - spare_s)
                    raise AdmissionRejected("the wait would exceed the deadline", late_s)
        if last is not None:
            self._displace(last, "the place went to a user with fewer requests")
        self._per_user[user] += 1
        self.waiting.append(ticket)
        ticket.at_arrival = place
        self._dispatch_all()
        return ticket

    def position(self, ticket: Ticket) -> QueuePosition:
        """Where a waiting ticket stands now."""
        return self._place(ticket, self.waiting)

    async def follow(self, ticket: Ticket) -> AsyncGenerator[QueuePosition, None]:
        """Yield the ticket's place whenever it changes; end when the slot is given.

        Raises DeadlineExceeded if the deadline passes first and AdmissionRejected if the service
        stops or the place goes to a user who has fewer. The ticket must leave the queue in every
        case.
        """
        last: QueuePosition | None = None
        while ticket.started is None:
            if ticket.refusal is not None:
                raise ticket.refusal
            ticket.changed.clear()
            place = self.position(ticket)
            if place != last:
                last = place
                yield place
                continue
            left = ticket.deadline - self.clock.monotonic()
            if left <= 0:
                raise DeadlineExceeded("queue", self.retry_after_s())
            try:
                async with asyncio.timeout(min(left, UPDATE_EVERY_S)):
                    await ticket.changed.wait()
            except TimeoutError:
                last = None if left > UPDATE_EVERY_S else last

    def expected_wait_s(self) -> float | None:
        """Seconds that a newcomer would wait for a slot; None before the first measurement."""
        if len(self.running) < self.slots:
            return 0.0
        newcomer = Ticket(self.clock, object(), 0.0, None)
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

    def _user_retry_after_s(self, user: Hashable) -> float:
        """Seconds until the first of `user`'s own requests is expected to end; at least 1."""
        if not self.estimate.measured:
            return UNMEASURED_RETRY_S
        token_s, whole_s = self._token_s(), self._whole_s()
        ends = [self._remaining(t, token_s) for t in self.running if t.user == user]
        if not ends:
            waits = (self.position(t).wait_s for t in self.waiting if t.user == user)
            ends = [wait + whole_s for wait in waits if wait is not None]
        return max(1.0, min(ends, default=UNMEASURED_RETRY_S))

    def _reserve_retry_s(self, position: int = 1, spare_s: float = 0.0) -> float:
        """Seconds until a place is free that nobody was told to come back for; at least 1.

        position  the place in the queue that must have been passed: 1 frees a place of the queue
        spare_s   so long before that the caller may already come, and wait

        The next free place is for the first who was refused, and so on: were all told the same
        moment, all but one would come in vain.
        """
        if not self.estimate.measured:
            return UNMEASURED_RETRY_S
        now = self.clock.monotonic()
        kept = sorted(moment for moment in self._promised if moment > now)
        self._promised = deque(kept, self._promised.maxlen)
        before = min(len(kept), self._promised.maxlen - 1 if self._promised.maxlen else 0)
        free_s = max(1.0, self._start_s(position + before) - spare_s)
        self._promised.append(now + free_s)
        return free_s

    def leave(self, ticket: Ticket, sample: ServiceSample | None = None) -> None:
        """Give the place back; `sample` teaches the estimate. Safe to call twice."""
        if ticket in self.running:
            self.running.remove(ticket)
        elif ticket in self.waiting:
            self.waiting.remove(ticket)
            self._close_gap(ticket.user)
        else:
            return
        self._forecast = (None, [])
        if sample is not None:
            self.estimate.observe(sample)
        self._count_down(ticket.user)
        if not self.waiting:
            self._virtual = 0  # nobody waits: everyone starts level again
        self._dispatch_all()

    def resize(self, slots: int) -> None:
        """Go on with another number of slots; those who run beyond it may finish."""
        if slots != self.slots:
            self.slots = slots
            self._forecast = (None, [])
            self._dispatch()

    def close(self) -> None:
        """Refuse newcomers and send away those who wait; those who run may finish."""
        self._closing = True
        for ticket in self.waiting:
            ticket.refusal = AdmissionRejected("the service is stopping")
            ticket.changed.set()

    def _find_displaced(self, user: Hashable) -> Ticket | None:
        """The last request of who has most waiting, where `user` has at least two fewer."""
        held = Counter(ticket.user for ticket in self.waiting)
        most = max(held.values(), default=0)
        if most < held[user] + 2:
            return None
        return max((t for t in self.waiting if held[t.user] == most), key=lambda t: t.order)

    def _displace(self, ticket: Ticket, why: str) -> None:
        ticket.refusal = AdmissionRejected(why, self._reserve_retry_s())
        self.waiting.remove(ticket)
        self._count_down(ticket.user)
        ticket.changed.set()

    def _count_down(self, user: Hashable) -> None:
        self._per_user[user] -= 1
        if self._per_user[user] <= 0:
            del self._per_user[user]

    def _close_gap(self, user: Hashable) -> None:
        """Close the gap that a request of `user` has left in its tags."""
        before = 0
        for ticket in self.waiting:  # a user's own stand in their order
            if ticket.user == user:
                ticket.tag = min(ticket.tag, max(self._virtual, before) + 1)
                before = ticket.tag

    def _dispatch_all(self) -> None:
        for queue in self._queues:
            queue._dispatch()

    def _dispatch(self) -> None:
        while len(self.running) < self.slots:
            able = [t for t in self.waiting if self._is_eligible(t)]
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

    def _is_eligible(self, ticket: Ticket) -> bool:
        if ticket.conversation is None:
            return True
        return not any(
            other.conversation == ticket.conversation
            for queue in self._queues
            for other in [*queue.running, *(w for w in queue.waiting if w.number < ticket.number)]
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
            before = sum(
                t.conversation == ticket.conversation and t.number < ticket.number for t in waiting
            )
            behind = before * self.estimate.whole_s(token_s)
            wait = max(wait, sum(self._remaining(t, token_s) for t in own) + behind)
        return QueuePosition(position, round(wait, 1))

    def _start_s(self, position: int) -> float:
        """Seconds until `position` gets a slot. All who ask at one moment share one forecast."""
        now = self.clock.monotonic()
        made, starts = self._forecast
        # for all places at once: a longer forecast made in between would mix two states of affairs
        places = max(position, len(self.waiting) + 1)
        if made is None or now - made > FORECAST_FOR_S or len(starts) < places:
            running = sorted(self.running, key=lambda t: t.number)
            starts = self.estimate.starts_s([t.progress() for t in running], self.slots, places)
            self._forecast = (now, starts)
        return starts[position - 1]
