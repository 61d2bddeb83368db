"""kill -9 of every part while people talk: honest refusals, healing, no turn lost or doubled."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.http_calls import Event, body, events, text_of
from support.load import Load, Outcome, check_stored
from support.process_group import HEAL_S, STOP_S, Group, Part, brief, eventually, started
from support.process_tree import children, descendants
from support.waiting import HANG_S

#: What callers may meet beside answers and 503. A service that dies takes the streams it was
#: sending with it, and nginx's death every connection.
ALLOWED: dict[Part, set[Outcome]] = {
    "engine": {"failed in stream"},
    "office": {"cut"},
    "character": {"cut"},
    "gateway": {"no connection", "cut"},
}


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """A group to break things in."""
    folder = tmp_path_factory.mktemp("faults")
    with started(folder, **brief(folder)) as running:
        yield running
        assert running.interrupt() == 0


@pytest.mark.parametrize("part", ["engine", "office", "character", "gateway"])
def test_a_killed_part_comes_back_and_no_turn_is_lost(group: Group, part: Part) -> None:
    """While `part` is away callers get 503 with Retry-After; afterwards all goes on, and every
    answered turn is stored exactly once and in order. Of nginx the master is killed, and its
    workers stay behind."""
    with Load(group, part) as load:
        load.wait_for_answers(HEAL_S)
        victim = group.kill(part)
        group.wait_healed(victim, part)
        load.wait_for_answers(HEAL_S)
    assert load.outcomes() <= {"answered", "unavailable"} | ALLOWED[part]
    for speaker in load.speakers:
        check_stored(group, speaker)


def test_a_stream_that_the_engine_leaves_ends_with_an_error(group: Group) -> None:
    """The stream ends with an `error` event, and what was shown is stored as interrupted."""
    db_id = str(uuid.uuid4())
    request = body("office", user_id="kim", db_id=db_id)
    received: list[Event] = []
    with httpx2.stream(
        "POST",
        f"{group.url}/office/Llama",
        json=request,
        headers={"Accept": "text/event-stream"},
        timeout=HANG_S,
    ) as response:
        for event in events(response):
            if event.name == "delta" and not text_of(received):
                victim = group.kill("engine")
            received.append(event)
    assert received[-1].name == "error"
    assert received[-1].data["code"] == "model_unavailable"
    assert received[-1].data["retry_after_s"] >= 1
    eventually(lambda: group.turns("office", "kim", db_id), HANG_S, "the part is stored")
    [turn] = group.turns("office", "kim", db_id)
    assert (turn.status, turn.output) == ("interrupted", text_of(received))
    group.wait_healed(victim, "engine")


def test_a_request_without_a_service_is_503(group: Group) -> None:
    """While the office service is away the gateway says so in JSON, and when to come again."""
    pid = group.pid("office")
    assert pid is not None
    victim = group.kill("office")
    response = httpx2.post(f"{group.url}/office/Llama", json=body("office"), timeout=HANG_S)
    group.wait_healed(victim, "office")
    if response.status_code != 200:  # it may be back before the request arrives
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "service_unavailable"
        assert int(response.headers["Retry-After"]) >= 1


def test_the_supervisors_death_leaves_no_orphan(tmp_path: Path) -> None:
    """kill -9 of `up` itself ends everything it had started, and a new start works."""
    with started(tmp_path) as first:
        everything = descendants(first.process.pid)
        assert len(everything) >= 5
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        eventually(
            lambda: not any(p.is_alive for p in everything), STOP_S, "no orphan stays behind"
        )
        again = Group(first.folder, first.environment)
        again.start()
        try:
            again.wait_ready()
            assert again.interrupt() == 0
        finally:
            again.discard()


def test_an_engine_that_hangs_is_restarted_and_counted(tmp_path: Path) -> None:
    """It answers our probes no more and does not end: /readyz says so, and /performance of a
    service that did not start it counts the restart."""
    settings = brief(tmp_path) | {"CHATBOT_ENGINE_STALL_TIMEOUT_S": "8"}

    with started(tmp_path, **settings) as hanging:

        def asked(path: str) -> httpx2.Response:
            return httpx2.get(f"{hanging.url}/office/{path}", timeout=HANG_S)

        victim = next(c for c in children(hanging.process.pid) if c.pid == hanging.pid("engine"))
        os.kill(victim.pid, signal.SIGSTOP)
        eventually(
            lambda: asked("readyz").status_code == 503, HEAL_S, "readiness tells that it hangs"
        )
        hanging.wait_healed(victim, "engine")
        eventually(lambda: asked("readyz").status_code == 200, HEAL_S, "it serves again")
        engine = asked("performance").json()["engine"]
        assert (engine["managed"], engine["stalls"]) == (True, 1)
