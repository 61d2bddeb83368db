"""What those who wait are told, and when they are refused."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from chatbot_ai.core import queue as queue_module
from chatbot_ai.core.estimate import ServiceSample
from chatbot_ai.core.queue import UNMEASURED_RETRY_S, QueuePosition, RequestQueue, Ticket
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited, DeadlineExceeded
from support.clocks import FakeClock

FAR = 1e9
TEN_SECONDS = ServiceSample(first_token_s=1.0, completion_tokens=90, generation_s=9.0)


def queue(clock: FakeClock | None = None, **limits: int) -> RequestQueue:
    values: dict[str, Any] = {"slots": 1, "max_waiting": 8} | limits
    return RequestQueue(clock=clock or FakeClock(), **values)


def measured(made: RequestQueue) -> RequestQueue:
    made.leave(made.enter("warm-up", FAR), TEN_SECONDS)
    return made


async def heard(room: RequestQueue, ticket: Ticket) -> list[QueuePosition]:
    return [place async for place in room.follow(ticket)]


def test_a_free_slot_is_given_at_once() -> None:
    """Where nobody waits there is no queue to hear of."""
    ticket = queue().enter("a", FAR)
    assert (ticket.started, ticket.at_arrival, ticket.queue_s) == (1000.0, QueuePosition(0, 0.0), 0)


def test_positions_and_waits_add_up() -> None:
    """Each further place waits one more answer; two slots halve it."""
    one = measured(queue())
    one.enter("x", FAR)
    assert [one.enter(user, FAR).at_arrival for user in "abc"] == [
        QueuePosition(1, 10.0),
        QueuePosition(2, 20.0),
        QueuePosition(3, 30.0),
    ]
    two = measured(queue(slots=2))
    two.enter("x", FAR)
    two.enter("y", FAR)
    assert [two.enter(user, FAR).at_arrival.wait_s for user in "abcd"] == [10.0, 10.0, 20.0, 20.0]


def test_progress_shortens_the_wait() -> None:
    """The running answer's real progress is in what the next one is told."""
    clock = FakeClock()
    made = measured(queue(clock))
    running = made.enter("x", FAR)
    waiting = made.enter("a", FAR)
    clock.advance(1)
    running.report_tokens(1)
    clock.advance(7)
    running.report_tokens(80)
    assert made.position(waiting).wait_s == pytest.approx(0.9, abs=0.1)


def test_who_cannot_be_served_in_time_is_refused_at_once() -> None:
    """Ten seconds of waiting and ten of answering do not fit into fifteen; the refusal says by how
    much."""
    clock = FakeClock()
    made = measured(queue(clock))
    made.enter("x", FAR)
    with pytest.raises(AdmissionRejected) as caught:
        made.enter("a", clock.monotonic() + 15)
    assert caught.value.retry_after_s == pytest.approx(5.0)
    made.enter("a", clock.monotonic() + 21)


def test_a_full_room() -> None:
    """The bound holds for those who wait; the refusal tells when a place is expected."""
    made = measured(queue(max_waiting=1))
    made.enter("x", FAR)
    made.enter("y", FAR)
    with pytest.raises(AdmissionRejected) as caught:
        made.enter("z", FAR)
    assert caught.value.retry_after_s == pytest.approx(10.0)
    unmeasured = queue(max_waiting=0)
    unmeasured.enter("x", FAR)
    with pytest.raises(AdmissionRejected) as caught:
        unmeasured.enter("y", FAR)
    assert caught.value.retry_after_s == UNMEASURED_RETRY_S


def test_the_refused_are_told_different_moments() -> None:
    """One place comes free every ten seconds, so each refused caller is told ten more; who comes
    after a told moment has passed is told of the place that is free next. One turn of all places
    is the most that anybody is told."""
    clock = FakeClock()
    made = measured(queue(clock, max_waiting=3))
    for user in "wxyz":
        made.enter(user, FAR)

    def told() -> float:
        with pytest.raises(AdmissionRejected) as caught:
            made.enter("late", FAR)
        return caught.value.retry_after_s

    assert [told() for _ in range(6)] == pytest.approx([10.0, 20.0, 30.0, 40.0, 40.0, 40.0])
    clock.advance(10.1)
    made.leave(next(iter(made.running)), TEN_SECONDS)
    made.enter("first to come back", FAR)
    assert told() >= 20.0


def test_those_who_come_too_late_are_told_different_moments() -> None:
    """With time for a wait of ten seconds and two waiting before them, the first that is refused
    may come in ten, when one of the two has gone, and each other ten later."""
    clock = FakeClock()
    made = measured(queue(clock, max_waiting=4))
    for user in "xyz":
        made.enter(user, FAR)
    told = []
    for _ in range(3):
        with pytest.raises(AdmissionRejected) as caught:
            made.enter("late", clock.monotonic() + 30)
        told.append(caught.value.retry_after_s)
    assert told == pytest.approx([10.0, 20.0, 30.0])


async def test_who_loses_its_place_is_told() -> None:
    """A flooder's last request makes room for a newcomer: its caller hears of it at once."""
    made = measured(queue(max_waiting=2))
    flood = [made.enter("flooder", FAR) for _ in range(3)]
    listening = asyncio.create_task(heard(made, flood[-1]))
    await asyncio.sleep(0)
    newcomer = made.enter("newcomer", FAR)
    with pytest.raises(AdmissionRejected) as caught:
        await listening
    assert caught.value.retry_after_s == pytest.approx(10.0)
    assert made.waiting == [flood[1], newcomer]
    made.leave(flood[-1])
    assert made.waiting == [flood[1], newcomer]
    assert made.position(newcomer).position == 2


def test_a_users_own_limit_tells_its_own_end() -> None:
    """Another user's answer that ends sooner frees nothing for who is over its own limit."""
    clock = FakeClock()
    made = measured(queue(clock, slots=2, max_per_user=1))
    other = made.enter("other", FAR)
    clock.advance(1)
    other.report_tokens(1)
    clock.advance(8)
    other.report_tokens(81)
    made.enter("a", FAR)
    with pytest.raises(CallerLimited) as caught:
        made.enter("a", FAR)
    assert caught.value.retry_after_s == pytest.approx(10.0, abs=0.2)
    made.enter("b", FAR)
    with pytest.raises(CallerLimited) as caught:
        made.enter("b", FAR)
    assert caught.value.retry_after_s == pytest.approx(10.8, abs=0.2)


def test_two_rooms_of_the_same_callers() -> None:
    """Slots and estimates are each room's own; conversations and a user's limit span both."""
    own = measured(queue(max_per_user=3))
    remote = RequestQueue(slots=2, max_waiting=8, max_per_user=3, clock=own.clock, beside=own)
    own.enter("x", FAR)
    waiting = own.enter("a", FAR, "room")
    second = remote.enter("a", FAR, "room")
    third = remote.enter("a", FAR, "other room")
    assert (waiting.started, second.started) == (None, None)
    assert third.started is not None
    assert not remote.estimate.measured
    for room in (own, remote):
        with pytest.raises(CallerLimited):
            room.enter("a", FAR)
    own.leave(waiting)
    assert second.started is not None
    fourth = own.enter("a", FAR, "room")
    own.leave(next(ticket for ticket in own.running if ticket.user == "x"))
    assert fourth.started is None
    remote.leave(second)
    assert fourth.started is not None


def test_a_users_own_limit() -> None:
    """It counts what waits and runs, and comes before the room's."""
    made = queue(max_waiting=1, max_per_user=2)
    tickets = [made.enter("a", FAR) for _ in range(2)]
    with pytest.raises(CallerLimited):
        made.enter("a", FAR)
    with pytest.raises(AdmissionRejected):
        made.enter("b", FAR)
    made.leave(tickets[0])
    made.enter("a", FAR)


def test_one_conversation_after_the_other() -> None:
    """The second message of a conversation waits for the first even beside a free slot, and is
    told the time of what is left of it."""
    made = measured(queue(slots=2))
    first = made.enter("a", FAR, "room")
    second = made.enter("a", FAR, "room")
    third = made.enter("a", FAR, "room")
    other = made.enter("b", FAR, "else")
    assert (second.started, third.started) == (None, None)
    assert other.started is not None
    assert (second.at_arrival.wait_s, third.at_arrival.wait_s) == (10.0, 20.0)
    made.leave(first, TEN_SECONDS)
    assert second.started is not None
    assert third.started is None


async def test_places_are_told_when_they_change() -> None:
    """A waiting caller hears 2, then 1, then its slot is there."""
    made = queue()
    running, ahead, ticket = (made.enter(user, FAR) for user in "abc")
    listening = asyncio.create_task(heard(made, ticket))
    await asyncio.sleep(0)
    made.leave(running)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    made.leave(ahead)
    assert [place.position for place in await listening] == [2, 1]


async def test_an_unchanged_place_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is broken now and then, so that a caller sees that it still waits."""
    monkeypatch.setattr(queue_module, "UPDATE_EVERY_S", 0.01)
    made = RequestQueue(slots=1, max_waiting=2, clock=SystemClock())
    made.enter("a", FAR)
    ticket = made.enter("b", FAR)
    async with aclosing(made.follow(ticket)) as places:
        assert [await anext(places) for _ in range(3)] == [QueuePosition(1, None)] * 3


async def test_a_deadline_in_the_queue() -> None:
    """Who has waited until its deadline is sent away; its place is free once it has left."""
    clock = SystemClock()
    made = RequestQueue(slots=1, max_waiting=1, clock=clock)
    made.enter("a", FAR)
    late = made.enter("b", clock.monotonic() + 0.03)
    with pytest.raises(DeadlineExceeded) as caught:
        await heard(made, late)
    assert caught.value.stage == "queue"
    made.leave(late)
    made.enter("c", FAR)


async def test_closing_sends_the_waiting_away() -> None:
    """Waiting and new callers are refused; who runs is left alone."""
    made = queue()
    running, waiting = made.enter("a", FAR), made.enter("b", FAR)
    listening = asyncio.create_task(heard(made, waiting))
    await asyncio.sleep(0)
    made.close()
    with pytest.raises(AdmissionRejected):
        await listening
    with pytest.raises(AdmissionRejected):
        made.enter("c", FAR)
    assert running in made.running


def test_a_newcomers_expected_wait() -> None:
    """What /performance tells: nothing while a slot is free, else the time of those ahead."""
    made = measured(queue())
    assert made.expected_wait_s() == 0.0
    made.enter("x", FAR)
    assert made.expected_wait_s() == 10.0
    unknown = queue()
    unknown.enter("x", FAR)
    assert unknown.expected_wait_s() is None


def test_another_number_of_slots_counts_at_once() -> None:
    """More slots let those in who wait; fewer let the running finish and nobody in before."""
    made = measured(queue())
    tickets = [made.enter(user, FAR) for user in "abcd"]
    made.resize(3)
    assert [ticket.started is not None for ticket in tickets] == [True, True, True, False]
    made.resize(1)
    assert made.position(tickets[3]).wait_s == 10.0
    made.leave(tickets[0])
    made.leave(tickets[1])
    assert tickets[3].started is None
    made.leave(tickets[2])
    assert tickets[3].started is not None


def test_progress_changes_the_waits_of_all_places_together() -> None:
    """When somebody comes after tokens were seen, every place is told from the new state: none of
    those in front waits longer than the newcomer behind them."""
    made = measured(queue())
    made.enter("x", FAR)
    for user in "abc":
        made.enter(user, FAR)
    waiting = sorted(made.waiting, key=lambda t: t.order)
    assert [made.position(t).wait_s for t in waiting] == [10.0, 20.0, 30.0]
    for ticket in made.running:
        ticket.report_tokens(90)
    last = made.enter("d", FAR)
    waits = [made.position(t).wait_s or 0.0 for t in [*waiting, last]]
    assert waits == sorted(waits)
    assert waits[0] < 10.0
