"""The load test's client and people against a real HTTP server that speaks the chat API."""

from __future__ import annotations

import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from chatbot_ai.tools.loadtest.client import ChatClient, Reply
from chatbot_ai.tools.loadtest.record import Mode, Record
from chatbot_ai.tools.loadtest.visitor import Patience, Visitor
from support.scripted_gateway import (
    DONE,
    QUEUED,
    TEXT,
    Asked,
    Gateway,
    Step,
    answer,
    event,
    gateway,
    refusal,
    stream,
    whole_stream,
)

BODY = {"input_data": "안녕하세요!"}


def ask(step: Step, mode: Mode = "json", timeout_s: float = 10.0) -> Reply:
    reply = Reply()
    with gateway(lambda _: step) as server:
        ChatClient(server.url, timeout_s).ask("/office/Llama", BODY, mode, reply)
    return reply


def test_json_answer_is_measured_from_its_headers() -> None:
    """A JSON answer carries the server's own times, the place in the queue and the request id."""
    reply = ask(answer())
    assert (reply.outcome, reply.status, reply.cause) == ("answered", 200, "")
    assert reply.text == TEXT
    assert reply.queue_s == pytest.approx(0.0123)
    assert reply.first_token_s == pytest.approx(0.0801)
    assert reply.server_s == pytest.approx(0.9)
    assert (reply.queue_position, reply.announced_wait_s) == (2, 1.5)
    assert (reply.request_id, reply.model) == ("request-1", "tiny")
    assert reply.total_s > 0
    assert reply.response_bytes > len(TEXT)
    assert reply.request_bytes == len('{"input_data": "안녕하세요!"}'.encode())


@pytest.mark.parametrize("portion_bytes", [1, 3, 7, 64, 10_000])
def test_stream_is_read_whole_however_it_is_cut(portion_bytes: int) -> None:
    """A stream cut at any byte, inside a Korean letter too, gives the same answer."""
    reply = ask(whole_stream(portion_bytes=portion_bytes), "stream")
    assert (reply.outcome, reply.text, reply.model) == ("answered", TEXT, "tiny")
    assert (reply.announced_wait_s, reply.queue_position) == (4.5, 3)
    assert (reply.queue_s, reply.server_s) == (0.25, 0.9)
    assert reply.completion_tokens == 7
    assert reply.first_token_s is not None
    assert reply.first_token_s <= reply.total_s


def test_first_text_is_timed_when_it_arrives() -> None:
    """The time until the first text is taken when its portion came, before the stream's end."""
    step = stream(QUEUED, event("delta", {"text": "가"}), DONE, portion_bytes=40)
    ticks = itertools.count()
    reply = Reply()
    with gateway(lambda _: step) as server:
        client = ChatClient(server.url, 1000.0, clock=lambda: next(ticks))
        client.ask("/office/Llama", BODY, "stream", reply)
    before = len(QUEUED) // 40
    assert reply.first_token_s is not None
    assert before < reply.first_token_s < reply.total_s - 2


def test_only_the_first_queued_event_foretells_the_whole_wait() -> None:
    """A first event without an estimate is not replaced by a later, smaller one."""
    first = event("queued", {"position": 5, "wait_s": None})
    reply = ask(stream(first, QUEUED, event("delta", {"text": "가"}), DONE), "stream")
    assert (reply.queue_position, reply.announced_wait_s) == (5, None)


@pytest.mark.parametrize(
    ("step", "mode", "outcome", "cause"),
    [
        (refusal(503), "json", "refused", "busy"),
        (refusal(429, "rate_limited"), "stream", "refused", "rate_limited"),
        (refusal(422, "validation_failed", None), "json", "failed", "validation_failed"),
        (Step(502, {"Content-Type": "text/html"}, (b"<h1>",)), "json", "failed", "http_502"),
        (Step(503, {}, (b"[1]",)), "json", "refused", "http_503"),
        (Step(200, {"Content-Type": "application/json"}, (b'{"a": 1}',)), "json", "failed",
         "unreadable_answer"),
        (Step(200, {"Content-Type": "application/json"}, (b'"',)), "json", "failed",
         "unreadable_answer"),
        (answer(""), "json", "failed", "empty_answer"),
        (answer(), "stream", "failed", "unreadable_answer"),
        (Step(200, {"Content-Type": "application/json"}, (b'"ab',), announced_bytes=90), "json",
         "failed", "connection_cut"),
        (stream(QUEUED), "stream", "failed", "stream_cut"),
        (stream(event("delta", {"text": "가"})), "stream", "interrupted", "stream_cut"),
        (stream(DONE), "stream", "failed", "empty_answer"),
        (stream(event("error", {"code": "busy", "retry_after_s": 4})), "stream", "refused", "busy"),
        (stream(event("error", {"code": "internal_error"})), "stream", "failed", "internal_error"),
        (stream(event("delta", {"text": "가"}),
                event("error", {"code": "model_unavailable", "retry_after_s": 4})), "stream",
         "interrupted", "model_unavailable"),
        (stream(b"event: done\ndata: not json\n\n"), "stream", "failed", "empty_answer"),
    ],
)  # fmt: skip
def test_every_way_to_fail_has_an_outcome_and_a_cause(
    step: Step, mode: Mode, outcome: str, cause: str
) -> None:
    """Whatever a server answers becomes an outcome with a cause, never an exception."""
    reply = ask(step, mode)
    assert (reply.outcome, reply.cause) == (outcome, cause)


def test_silence_ends_with_a_timeout() -> None:
    """A server that says nothing, or only keeps the line alive, is given up in time."""
    silent = stream(QUEUED, event("delta", {"text": "가"}), portion_bytes=30, pause_s=5)
    reply = ask(silent, "stream", timeout_s=0.2)
    assert (reply.outcome, reply.cause) == ("failed", "timeout")
    alive = stream(*[b": keep-alive\n\n"] * 60, portion_bytes=14, pause_s=0.05)
    reply = ask(alive, "stream", timeout_s=0.2)
    assert (reply.outcome, reply.cause) == ("failed", "timeout")


def test_nobody_at_the_door_is_a_refused_connection() -> None:
    """A port where nobody listens gives a failure with its cause and no status."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        reply = Reply()
        host = f"http://127.0.0.1:{held.getsockname()[1]}"
        ChatClient(host, 2.0).ask("/office/Llama", BODY, "json", reply)
    assert (reply.status, reply.outcome, reply.cause) == (0, "failed", "connection_refused")


class Person:
    """A visitor with its records and the waits it was asked to make, which pass at once."""

    def __init__(self, server: Gateway, stream_share: float = 0.0, **patience: float) -> None:
        self.records: list[Record] = []
        self.waited: list[float] = []
        self.stays = True
        self.visitor = Visitor(
            assistant="character",
            number=0,
            run_id="test",
            client=ChatClient(server.url, 5.0),
            chance=random.Random(1),
            sink=lambda record, _: self.records.append(record),
            sleep=self._sleep,
            clock=time.perf_counter,
            count_users=lambda: 3,
            stream_share=stream_share,
            patience=Patience(**patience),  # type: ignore[arg-type]
            label="시험",
        )

    def _sleep(self, wait_s: float) -> bool:
        self.waited.append(wait_s)
        return self.stays


def scripted(*steps: Step) -> Callable[[Asked], Step]:
    rest: Iterator[Step] = iter(steps)
    return lambda _: next(rest)


def test_a_refused_question_is_repeated_after_the_time_asked_for() -> None:
    """429 and 503 are repeated after at least Retry-After; each request is one record."""
    script = scripted(refusal(429, "rate_limited", "7"), refusal(503, "busy", "2"), answer())
    with gateway(script) as server:
        person = Person(server)
        reply = person.visitor.ask_next()
        bodies = [asked.body for asked in server.asked]
    assert reply.outcome == "answered"
    assert [(r.status, r.retries, r.is_final) for r in person.records] == [
        (429, 0, False),
        (503, 1, False),
        (200, 2, True),
    ]
    assert 7 <= person.waited[0] <= 7 * 1.2
    assert 2 <= person.waited[1] <= 2 * 1.2
    assert bodies[0] == bodies[1] == bodies[2]
    assert {(r.question, r.users, r.label, r.character) for r in person.records} == {
        ("1", 3, "시험", "Rachel")
    }
    assert person.records[-1].elapsed_s is not None


def test_patience_has_an_end() -> None:
    """A question is given up after the allowed repetitions, or at once for a too long wait."""
    with gateway(lambda _: refusal()) as server:
        person = Person(server, max_retries=2)
        assert person.visitor.ask_next().outcome == "refused"
        assert [r.is_final for r in person.records] == [False, False, True]
    with gateway(lambda _: refusal(503, "busy", "999")) as server:
        person = Person(server, max_wait_s=60.0)
        person.visitor.ask_next()
        assert ([r.is_final for r in person.records], person.waited) == ([True], [])
    with gateway(lambda _: refusal(422, "validation_failed", None)) as server:
        person = Person(server)
        person.visitor.ask_next()
        assert [r.outcome for r in person.records] == ["failed"]


def test_a_refusal_in_a_stream_is_repeated_too() -> None:
    """An error event that names a time to wait counts like 503 with Retry-After."""
    script = scripted(stream(event("error", {"code": "busy", "retry_after_s": 3})), whole_stream())
    with gateway(script) as server:
        person = Person(server, stream_share=1.0)
        assert person.visitor.ask_next().outcome == "answered"
    assert 3 <= person.waited[0] <= 3.6
    assert [r.mode for r in person.records] == ["stream", "stream"]


def test_nobody_asks_again_when_the_test_is_over() -> None:
    """When waiting tells that the test ended, the question is not repeated."""
    with gateway(lambda _: refusal()) as server:
        person = Person(server)
        person.stays = False
        assert person.visitor.ask_next().outcome == "refused"
        assert len(server.asked) == 1


def test_a_person_keeps_one_conversation_until_the_scene_ends() -> None:
    """Turns of a scene share user and conversation; the next scene begins a new conversation."""
    with gateway(lambda _: answer()) as server:
        person = Person(server)
        for _ in range(9):
            person.visitor.ask_next()
        bodies = [asked.body for asked in server.asked]
    rachel, other = bodies[:8], bodies[8]
    assert {b["character_name"] for b in rachel} == {"Rachel"}
    assert len({b["db_id"] for b in rachel}) == 1
    assert other["character_name"] != "Rachel"
    assert other["db_id"] != rachel[0]["db_id"]
    assert {b["user_id"] for b in bodies} == {person.visitor.user}
