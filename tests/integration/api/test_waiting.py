"""Waiting in a real service whose slot is taken: what callers hear, and what is counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from support.api_lab import Lab, SpokenModel, events_of, running_lab, until


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Lab]:
    """An office service with one slot, whose answers stop after the first word until the gate
    opens, and a room for two."""
    model = SpokenModel(gate=asyncio.Event())
    async with running_lab(tmp_path, slots=1, max_waiting=2, model=model) as lab:
        yield lab
        opened(lab)


def opened(lab: Lab) -> None:
    assert lab.model.gate is not None
    lab.model.gate.set()


def ask(lab: Lab, user: str, *, stream: bool = False) -> asyncio.Task[httpx2.Response]:
    headers = {"Accept": "text/event-stream"} if stream else {}
    body = {"input_data": "안녕", "user_id": user}
    return asyncio.create_task(lab.http.post("/Llama", json=body, headers=headers))


async def waiting(lab: Lab, count: int) -> None:
    await until(lambda: len(lab.services.chat.queue.waiting) == count)


async def taken(lab: Lab) -> asyncio.Task[httpx2.Response]:
    """The only slot, taken by somebody."""
    task = ask(lab, "first")
    await until(lambda: lab.model.running == 1)
    return task


def durations(response: httpx2.Response) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=([\d.]+)", response.headers["Server-Timing"])
    return {name: float(value) for name, value in found}


async def test_a_json_answer_tells_its_place_and_times(busy: Lab) -> None:
    """X-Queue-Position is the place at arrival, 0 where nobody waited; Server-Timing has what each
    part took, the wait for the slot among them."""
    first = await taken(busy)
    second = ask(busy, "second")
    await waiting(busy, 1)
    third = ask(busy, "third")
    await waiting(busy, 2)
    await asyncio.sleep(0.05)  # a wait that can be told from none
    opened(busy)
    answers = [await first, await second, await third]
    assert [a.status_code for a in answers] == [200, 200, 200]
    assert [a.headers["X-Queue-Position"] for a in answers] == ["0", "1", "2"]
    times = [durations(answer) for answer in answers]
    for each in times:
        assert each.keys() == {"queue", "search", "prefill", "first_token", "generation", "total"}
        assert each["queue"] <= each["first_token"] <= each["total"]
    assert times[0]["queue"] < 50
    assert times[1]["queue"] >= 50
    assert times[2]["queue"] >= 50


async def test_the_announced_wait_of_a_json_answer(busy: Lab) -> None:
    """Once an answer was measured, X-Queue-Wait tells the seconds that were expected."""
    opened(busy)
    assert (await ask(busy, "before")).headers.get("X-Queue-Wait") is None
    busy.model.gate = asyncio.Event()
    first = await taken(busy)
    second = ask(busy, "second")
    await waiting(busy, 1)
    opened(busy)
    await first
    assert float((await second).headers["X-Queue-Wait"]) >= 0


async def test_a_stream_hears_its_place_first(busy: Lab) -> None:
    """The first event of a stream that waits is `queued`, then its places as they change, and only
    then text."""
    first = await taken(busy)
    second = ask(busy, "second", stream=True)
    await waiting(busy, 1)
    third = ask(busy, "third", stream=True)
    await waiting(busy, 2)
    opened(busy)
    await first
    places: list[list[int]] = []
    for answer in (await second, await third):
        events = events_of(answer.text)
        names = [name for name, _ in events]
        queued = names.count("queued")
        assert names[:queued] == ["queued"] * queued
        assert names[queued] == "delta"
        assert names[-1] == "done"
        assert all(data.keys() == {"position", "wait_s"} for _, data in events[:queued])
        places.append([data["position"] for _, data in events[:queued]])
    assert places[0][0] == 1
    assert places[1][0] == 2
    assert all(heard == sorted(heard, reverse=True) for heard in places)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_flooders_last_request_gives_way(busy: Lab, stream: bool) -> None:
    """With the room full of one user's requests a newcomer is served; the last of them is refused,
    as 503 with Retry-After or, once its stream has begun, as an error event."""
    first = await taken(busy)
    flood = []
    for number in range(2):
        flood.append(ask(busy, "flooder", stream=stream))
        await waiting(busy, number + 1)
    refused = ask(busy, "flooder")
    assert (await refused).status_code == 503
    newcomer = ask(busy, "newcomer")
    answer = await flood[1]
    if stream:
        assert answer.status_code == 200
        name, error = events_of(answer.text)[-1]
        assert (name, error["code"]) == ("error", "busy")
        assert error["retry_after_s"] >= 1
    else:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "busy"
        assert int(answer.headers["Retry-After"]) >= 1
    opened(busy)
    assert [(await task).status_code for task in (first, flood[0], newcomer)] == [200] * 3
    totals = busy.services.statistics.since_start()
    assert (totals["answered"], totals["refused"]) == (3, 2)


async def lines(lab: Lab, *calls: asyncio.Task[httpx2.Response]) -> list[dict[str, Any]]:
    with capture_logs() as events:
        await asyncio.gather(*calls)
        await until(lambda: len(events) >= len(calls))
    return [dict(event) for event in events]


async def test_one_line_tells_all_of_a_request(busy: Lab) -> None:
    """An answer, a refusal and an error leave one event each, with status, times and outcome."""
    opened(busy)
    (answered,) = await lines(busy, ask(busy, "a"))
    assert answered["event"] == "request.finished"
    assert (answered["status"], answered["outcome"], answered["error"]) == (200, "answered", None)
    assert answered["assistant"] == "office"
    assert answered["model"] == "spoken-1"
    for name in ("queue_ms", "first_token_ms", "total_ms", "completion_tokens"):
        assert answered[name] >= 0
    busy.model.gate = asyncio.Event()
    first = await taken(busy)
    others = []
    for number in range(2):
        others.append(ask(busy, f"user {number}"))
        await waiting(busy, number + 1)
    (refused,) = await lines(busy, ask(busy, "late"))
    assert (refused["event"], refused["log_level"]) == ("request.finished", "warning")
    assert (refused["status"], refused["outcome"], refused["error"]) == (503, "refused", "busy")
    assert refused["detail"] == "the queue is full"
    opened(busy)
    await asyncio.gather(first, *others)
    (wrong,) = await lines(busy, asyncio.create_task(busy.http.post("/Llama", json={})))
    assert (wrong["status"], wrong["error"]) == (422, "validation_failed")
    assert "outcome" not in wrong


async def test_an_answer_that_outlives_its_request_has_its_own_line(busy: Lab) -> None:
    """A resumable stream whose caller has gone is written when it ends, under the request's id."""
    headers = {"Accept": "text/event-stream", "X-Resumable": "1", "X-Request-ID": "outlived-1"}
    body = {"input_data": "안녕", "user_id": "a"}
    with capture_logs() as events:
        async with busy.http.stream("POST", "/Llama", json=body, headers=headers) as answer:
            pieces = answer.aiter_text()  # held: one that is collected closes the stream
            await anext(pieces)
        await until(lambda: any(e["event"] == "request.finished" for e in events))
        assert not any(e["event"] == "answer.finished" for e in events)
        opened(busy)
        await until(lambda: any(e["event"] == "answer.finished" for e in events))
    (late,) = [e for e in events if e["event"] == "answer.finished"]
    assert late["outcome"] == "answered"
    (line,) = [e for e in events if e["event"] == "request.finished"]
    assert "outcome" not in line
