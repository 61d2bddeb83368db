"""The queue under every order of arriving, leaving, failing and finishing, on a clock of ours."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from chatbot_ai.core.estimate import ServiceSample
from chatbot_ai.core.queue import RequestQueue, Ticket
from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited
from support.clocks import FakeClock

USERS = st.sampled_from("ABCD")
SAMPLES = st.builds(
    ServiceSample,
    first_token_s=st.floats(0, 30),
    completion_tokens=st.integers(0, 500),
    generation_s=st.floats(0, 60),
)


class Queue(RuleBasedStateMachine):
    """A service with some slots, its callers, and what each caller may rely on."""

    @initialize(
        slots=st.integers(1, 4),
        max_waiting=st.integers(0, 16),
        max_per_user=st.sampled_from([0, 0, 3]),
        conversations=st.booleans(),
    )
    def open(self, slots: int, max_waiting: int, max_per_user: int, conversations: bool) -> None:
        self.clock = FakeClock()
        self.queue = RequestQueue(
            slots=slots, max_waiting=max_waiting, clock=self.clock, max_per_user=max_per_user
        )
        self.conversations = conversations
        self.accepted: list[Ticket] = []
        self.started: list[Ticket] = []
        self.left_waiting: set[Ticket] = set()
        self.ended: set[Ticket] = set()
        self.served_before: dict[Ticket, Counter[object]] = {}

    @rule(
        user=USERS,
        count=st.sampled_from([1, 1, 1, 6]),
        room=st.sampled_from([None, None, 0, 1]),
        patience_s=st.sampled_from([1.0, 20.0, 1e9, 1e9, 1e9]),
    )
    def arrive(self, user: str, count: int, room: int | None, patience_s: float) -> None:
        for _ in range(count):
            self._enter(user, room, patience_s)

    def _enter(self, user: str, room: int | None, patience_s: float) -> None:
        conversation = None if room is None or not self.conversations else (user, room)
        queue = self.queue
        had = sum(t.user == user for t in [*queue.waiting, *queue.running])
        waited = len(queue.waiting)
        try:
            ticket = queue.enter(user, self.clock.monotonic() + patience_s, conversation)
        except CallerLimited as error:
            assert 0 < queue.max_per_user <= had
            assert error.retry_after_s >= 1
            return
        except AdmissionRejected as error:
            assert error.retry_after_s >= 1
            assert waited >= queue.max_waiting or queue.estimate.measured
            assert waited >= queue.max_waiting or patience_s < 1e9
            assert patience_s < 1e9 or self._most_waiting() <= waiting_of(queue, user) + 1
            return
        assert queue.max_per_user == 0 or had < queue.max_per_user
        self._see_sent_away(ticket)
        if ticket.started is None:
            assert ticket.at_arrival.position == queue.position(ticket).position
        self.accepted.append(ticket)
        if had == 0 and ticket.started is None:
            self.served_before[ticket] = Counter()
        self._see()

    @precondition(lambda self: self.queue.running)
    @rule(which=st.integers(0, 3), sample=SAMPLES | st.none())
    def end(self, which: int, sample: ServiceSample | None) -> None:
        """An answer is finished, or fails and teaches nothing."""
        running = sorted(self.queue.running, key=lambda t: t.number)
        self._end(running[which % len(running)], sample)

    @precondition(lambda self: self.queue.running)
    @rule(times=st.integers(2, 12), sample=SAMPLES)
    def end_many(self, times: int, sample: ServiceSample) -> None:
        for _ in range(times):
            if self.queue.running:
                self._end(min(self.queue.running, key=lambda t: t.number), sample)
                self.a_newcomer_waits_one_round()

    @precondition(lambda self: self.queue.waiting)
    @rule(which=st.integers(0, 30))
    def leave(self, which: int) -> None:
        self._end(self.queue.waiting[which % len(self.queue.waiting)], None)

    @precondition(lambda self: self.ended)
    @rule(sample=SAMPLES)
    def leave_again(self, sample: ServiceSample) -> None:
        """Leaving a second time changes nothing."""
        before = (list(self.queue.waiting), set(self.queue.running), self.queue.estimate.whole_s(1))
        self.queue.leave(next(iter(self.ended)), sample)
        assert before == (
            self.queue.waiting,
            self.queue.running,
            self.queue.estimate.whole_s(1),
        )

    @rule(seconds=st.floats(0, 30), tokens=st.integers(0, 50))
    def time_passes(self, seconds: float, tokens: int) -> None:
        self.clock.advance(seconds)
        for ticket in self.queue.running:
            ticket.report_tokens(ticket.progress().tokens + tokens)

    def _end(self, ticket: Ticket, sample: ServiceSample | None) -> None:
        if ticket.started is None:
            self.left_waiting.add(ticket)
        self.ended.add(ticket)
        self.served_before.pop(ticket, None)
        self.queue.leave(ticket, sample)
        self._see()

    def _see(self) -> None:
        """Note who was given a slot since the last step, and check who had to stand behind."""
        fresh = [t for t in self.accepted if t.started is not None and t not in self.started]
        for ticket in sorted(fresh, key=lambda t: t.order):
            self.started.append(ticket)
            self.served_before.pop(ticket, None)
            for counts in self.served_before.values():
                counts[ticket.user] += 1
            passed_over = [
                t for t in self.queue.waiting if t.user == ticket.user and t.number < ticket.number
            ]
            assert all(self._blocked(t) for t in passed_over), "a user's own order was broken"

    def _see_sent_away(self, newcomer: Ticket) -> None:
        """Note who lost its place to a newcomer: the last request of who had two more waiting."""
        gone = {t for t in self.accepted if t.refusal is not None} - self.ended
        assert len(gone) <= 1
        for ticket in gone:
            held = Counter(t.user for t in self.queue.waiting)
            mine = held[newcomer.user] - (newcomer in self.queue.waiting)
            assert held[ticket.user] + 1 >= mine + 2
            assert held[ticket.user] + 1 >= max(held.values())
            own = [t for t in self.queue.waiting if t.user == ticket.user]
            assert all(t.number < ticket.number for t in own)
            self.left_waiting.add(ticket)
            self.ended.add(ticket)
            self.served_before.pop(ticket, None)
            self.queue.leave(ticket)

    def _most_waiting(self) -> int:
        return max(Counter(t.user for t in self.queue.waiting).values(), default=0)

    def _blocked(self, ticket: Ticket) -> bool:
        """Whether an earlier request of the same conversation runs or waits."""
        return ticket.conversation is not None and any(
            t.conversation == ticket.conversation and t.number < ticket.number
            for t in [*self.queue.running, *self.queue.waiting]
        )

    @invariant()
    def bounded(self) -> None:
        assert len(self.queue.running) <= self.queue.slots
        assert len(self.queue.waiting) <= self.queue.max_waiting

    @invariant()
    def no_ticket_is_lost(self) -> None:
        there = set(self.queue.waiting) | self.queue.running
        assert there == set(self.accepted) - self.ended
        assert not set(self.queue.waiting) & self.queue.running
        assert all(t.started is not None for t in self.queue.running)
        assert all(t.started is None for t in self.queue.waiting)

    @invariant()
    def no_slot_idles_while_somebody_could_run(self) -> None:
        if len(self.queue.running) < self.queue.slots:
            assert all(self._blocked(t) for t in self.queue.waiting)

    @invariant()
    def one_answer_at_a_time_in_a_conversation(self) -> None:
        held = [t.conversation for t in self.queue.running if t.conversation is not None]
        assert len(held) == len(set(held))

    @invariant()
    def a_newcomer_waits_one_round(self) -> None:
        """Behind the round under way and one more: at most two requests of any other user."""
        if not self.conversations:
            assert all(max(c.values(), default=0) <= 2 for c in self.served_before.values())

    @invariant()
    def more_ahead_is_never_a_shorter_wait(self) -> None:
        in_order = sorted(self.queue.waiting, key=lambda t: t.order)
        places = [(t, self.queue.position(t)) for t in in_order]
        assert [place.position for _, place in places] == list(range(1, len(places) + 1))
        waits = [place.wait_s for t, place in places if t.conversation is None]
        known = [wait for wait in waits if wait is not None]
        assert known == sorted(known)
        assert all(wait >= 0 for wait in known)
        assert len(known) in (0, len(waits))
        newcomer = self.queue.expected_wait_s()
        assert newcomer is None or newcomer >= 0

    def teardown(self) -> None:
        """Everybody who was accepted and stayed is served in the end."""
        if not hasattr(self, "queue"):
            return
        for _ in range(2 * len(self.accepted)):
            for ticket in list(self.queue.running):
                self._end(ticket, ServiceSample(1.0, 10, 1.0))
        assert not self.queue.waiting
        assert not self.queue.running
        assert set(self.started) == set(self.accepted) - self.left_waiting
        assert len(self.started) == len(set(self.started))


TestQueue = Queue.TestCase
# the same courses every time, so that a build does not depend on luck; to search for new ones, set
# derandomize to False and max_examples to 20,000
TestQueue.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)


def serve(queue: RequestQueue, times: int) -> None:
    """End the oldest running request, again and again."""
    for _ in range(times):
        if queue.running:
            queue.leave(min(queue.running, key=lambda t: t.number), ServiceSample(1.0, 10, 1.0))


@given(
    slots=st.integers(1, 4),
    past=st.lists(USERS, max_size=12),
    crowd=st.lists(USERS, min_size=6, max_size=40),
    served=st.integers(0, 10),
    later=st.lists(st.lists(USERS, max_size=4), max_size=40),
    newcomer=st.sampled_from("AE"),
)
def test_a_newcomer_is_served_within_one_round(  # noqa: PLR0917
    slots: int,
    past: list[str],
    crowd: list[str],
    served: int,
    later: list[list[str]],
    newcomer: str,
) -> None:
    """However many others wait, came before and keep coming: after the round under way and one
    more, a caller with one request has its slot. What it asked on an idle service counts not."""
    queue = RequestQueue(slots=slots, max_waiting=1000, clock=FakeClock())
    for user in past:
        queue.enter(user, 1e9)
        serve(queue, 1)
    others = [user for user in crowd if user != newcomer]
    for user in others:
        queue.enter(user, 1e9)
    serve(queue, served)
    ticket = queue.enter(newcomer, 1e9)
    seen = set(queue.running)
    before: Counter[object] = Counter()
    for arrivals in [*later, *([[]] * 100)]:
        if ticket.started is not None:
            break
        for user in arrivals:
            if user != newcomer:
                queue.enter(user, 1e9)
        serve(queue, 1)
        before.update(t.user for t in queue.running - seen if t is not ticket)
        seen |= queue.running
    assert ticket.started is not None
    assert max(before.values(), default=0) <= 2


@given(slots=st.integers(1, 4), own=st.integers(1, 8))
def test_a_stream_of_newcomers_starves_nobody(slots: int, own: int) -> None:
    """A user with several requests has the last one served after as many rounds, each by one
    longer than the one before, although somebody new arrives for every answer that ends."""
    queue = RequestQueue(slots=slots, max_waiting=1000, clock=FakeClock())
    for number in range(slots):
        queue.enter(f"first {number}", 1e9)
    last = [queue.enter("A", 1e9) for _ in range(own)][-1]
    for number in range((own + 1) ** 2 + slots):
        queue.enter(f"new {number}", 1e9)
        serve(queue, 1)
    assert last.started is not None


def waiting_of(queue: RequestQueue, user: object) -> int:
    return sum(ticket.user == user for ticket in queue.waiting)


def test_who_waits_in_the_round_under_way_counts_as_waiting() -> None:
    """C's first request is still of the round under way when C asks again: its second one would be
    served before A's third, but A has only one more waiting, and so keeps its place."""
    queue = RequestQueue(slots=2, max_waiting=3, clock=FakeClock())
    for user in "AAAAC":
        queue.enter(user, 1e9)
    serve(queue, 1)
    queue.enter("A", 1e9)
    with pytest.raises(AdmissionRejected, match="full"):
        queue.enter("C", 1e9)
    assert sorted(str(ticket.user) for ticket in queue.waiting) == ["A", "A", "C"]


def test_who_has_two_waiting_gives_way_to_who_has_none_whatever_the_round() -> None:
    """B's two requests are of the round under way and the next, which is the newcomer's too."""
    queue = RequestQueue(slots=1, max_waiting=2, clock=FakeClock())
    for user in "AAB":
        queue.enter(user, 1e9)
    serve(queue, 1)
    second = queue.enter("B", 1e9)
    newcomer = queue.enter("C", 1e9)
    assert second.refusal is not None
    assert [ticket.user for ticket in queue.waiting] == ["B", "C"]
    assert newcomer.at_arrival.position == 2


def test_who_waits_for_an_answer_of_its_conversation_counts_as_waiting() -> None:
    """A's requests wait for its conversation's answer while others pass: they are far behind the
    virtual time, and still take three places of four."""
    queue = RequestQueue(slots=2, max_waiting=4, clock=FakeClock())
    for _ in range(4):
        queue.enter("A", 1e9, "talk")
    for _ in range(6):
        queue.enter("B", 1e9)
        queue.leave(max(queue.running, key=lambda t: t.number))
    queue.enter("B", 1e9)
    queue.enter("B", 1e9)
    newcomer = queue.enter("C", 1e9)
    assert sorted(str(ticket.user) for ticket in queue.waiting) == ["A", "A", "B", "C"]
    assert newcomer.at_arrival == queue.position(newcomer)


class Flood(NamedTuple):
    """What happens to a full room: who asks, or how many are served or which gives up."""

    what: str
    number: int


FLOODS = st.lists(
    st.builds(
        Flood,
        st.sampled_from(["A", "A", "A", "B", "C", "gives up", "served"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(slots=st.integers(1, 3), room=st.integers(1, 6), steps=FLOODS, served=st.integers(0, 6))
def test_a_full_room_has_a_place_for_who_holds_less(
    slots: int, room: int, steps: list[Flood], served: int
) -> None:
    """One user asks fifty times and fills the room; a newcomer gets a place all the same, that of
    the flooder's last request. Nobody loses a place to somebody who holds as many, and every
    ticket is served, leaves or is told that it was refused."""
    queue = RequestQueue(slots=slots, max_waiting=room, clock=FakeClock())
    accepted: list[Ticket] = []

    def ask(user: str) -> bool:
        before = {ticket.user: waiting_of(queue, ticket.user) for ticket in queue.waiting}
        there = list(queue.waiting)
        try:
            ticket = queue.enter(user, 1e9)
        except AdmissionRejected:
            assert len(there) == room
            assert queue.waiting == there
            most = max(before.values(), default=0)
            assert most <= before.get(user, 0) + 1
            return False
        accepted.append(ticket)
        for gone in (t for t in there if t not in queue.waiting and t.started is None):
            assert gone.refusal is not None
            assert gone.refusal.retry_after_s >= 1
            assert before[gone.user] >= before.get(user, 0) + 2
            own = [t for t in queue.waiting if t.user == gone.user]
            assert all(t.number < gone.number for t in own)
        return True

    for _ in range(50):
        ask("A")
    serve(queue, served)
    for step in steps:
        if step.what == "served":
            serve(queue, step.number)
        elif step.what != "gives up":
            ask(step.what)
        elif queue.waiting:
            queue.leave(queue.waiting[step.number % len(queue.waiting)])
        assert len(queue.waiting) <= room
    if any(waiting_of(queue, user) > 1 for user in "ABC"):
        assert ask("newcomer")
    serve(queue, 100)
    assert not queue.waiting
    assert not queue.running
    left = {t for t in accepted if t.started is None and t.refusal is None}
    assert len(left) <= sum(step.what == "gives up" for step in steps)


@given(given_up=st.lists(st.booleans(), max_size=20), ahead=st.integers(0, 3))
def test_stopping_costs_no_later_rounds(given_up: list[bool], ahead: int) -> None:
    """Who asked and stopped, once or often, stands where a caller stands who asked only as often
    as it still waits."""
    queue = RequestQueue(slots=1, max_waiting=100, clock=FakeClock())
    queue.enter("running", 1e9)
    for number in range(ahead):
        queue.enter(f"other {number}", 1e9)
    for gives_up in given_up:
        ticket = queue.enter("A", 1e9)
        if gives_up:
            queue.leave(ticket)
    tags = [t.tag for t in queue.waiting if t.user == "A"]
    first = queue.enter("honest", 1e9).tag
    assert tags == [first + number for number in range(given_up.count(False))]
    assert queue.enter("A", 1e9).tag == first + given_up.count(False)


@given(stay=st.lists(st.booleans(), min_size=2, max_size=12))
def test_later_requests_move_up_when_an_earlier_one_is_stopped(stay: list[bool]) -> None:
    """Whichever of its requests a user stops, the others are served in the rounds of as many."""
    queue = RequestQueue(slots=1, max_waiting=100, clock=FakeClock())
    queue.enter("running", 1e9)
    tickets = [queue.enter("A", 1e9) for _ in stay]
    first = tickets[0].tag
    for ticket, stays in zip(tickets, stay, strict=True):
        if not stays:
            queue.leave(ticket)
    kept = [ticket for ticket, stays in zip(tickets, stay, strict=True) if stays]
    assert [ticket.tag for ticket in kept] == [first + number for number in range(len(kept))]
