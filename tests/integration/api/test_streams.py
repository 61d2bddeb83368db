"""Resumable streams over HTTP, and that all others end with their connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatbot_ai.core.streams import ResumableStreams, StreamLimits
from support.api_lab import Lab, events_of, running_lab, until

STREAM = {"Accept": "text/event-stream"}
RESUMABLE = {**STREAM, "X-Resumable": "true"}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """An office service whose streams have a grace of three seconds."""

    def short_grace(arguments: dict[str, Any]) -> None:
        arguments["streams"] = ResumableStreams(StreamLimits(grace_s=3, keep_s=300))

    async with running_lab(tmp_path, "office", prepare=short_grace) as running:
        yield running


def body(text: str = "안녕", **fields: Any) -> dict[str, Any]:
    return {"input_data": text, "user_id": "a", "db_id": "d", **fields}


async def first_words(lab: Lab, path: str = "/Llama", **changes: Any) -> tuple[str, str, str]:
    """Begin a stream, read up to its first delta and lose the connection: (stream id, id of the
    last event, text so far)."""
    lab.model.gate = asyncio.Event()
    sent = changes.get("body") or body()
    async with lab.http.stream("POST", path, json=sent, headers=RESUMABLE) as answer:
        assert answer.status_code == 200
        last = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                last = line.removeprefix("id: ")
            if line.startswith("data: ") and ("text" in line or '"content": "' in line):
                found = json.loads(line.removeprefix("data: "))
                text = found.get("text") or found["choices"][0]["delta"].get("content")
                if text:
                    return answer.headers["X-Stream-Id"], last, text
    raise AssertionError("the stream ended before its first word")


async def test_dropped_stream_is_taken_up_again(lab: Lab) -> None:
    """The rest follows behind Last-Event-ID; both parts are the stored answer, generated once."""
    stream_id, last, text = await first_words(lab)
    assert lab.model.gate is not None
    lab.model.gate.set()
    rest = await lab.http.get(
        f"/streams/{stream_id}", params={"user_id": "a"}, headers={"Last-Event-ID": last}
    )
    assert rest.status_code == 200
    assert rest.headers["content-type"].startswith("text/event-stream")
    events = events_of(rest.text)
    text += "".join(data["text"] for name, data in events if name == "delta")
    assert events[-1][0] == "done"
    turns = (await lab.http.get("/conversations/d/turns", params={"user_id": "a"})).json()["turns"]
    assert [(t["output"], t["status"]) for t in turns] == [(text, "complete")]
    assert len(lab.model.requests) == 1


async def test_whole_stream_can_be_read_again(lab: Lab) -> None:
    """Without Last-Event-ID everything comes again, with the same numbers."""
    answer = await lab.http.post("/Llama", json=body(), headers=RESUMABLE)
    stream_id = answer.headers["X-Stream-Id"]
    assert answer.text.startswith(f": stream {stream_id}\n")
    again = await lab.http.get(f"/streams/{stream_id}", params={"user_id": "a"})
    assert again.text == answer.text
    numbers = [line for line in answer.text.split("\n") if line.startswith("id: ")]
    assert numbers == [f"id: {n + 1}" for n in range(len(events_of(answer.text)))]


async def test_nobody_else_takes_it_up(lab: Lab) -> None:
    """Another user, no user, another name: 404, and the stream goes on."""
    stream_id, _, _ = await first_words(lab)
    for path, user in ((stream_id, "b"), (stream_id, None), (stream_id + "x", "a")):
        params = {"user_id": user} if user else {}
        for method in ("GET", "DELETE"):
            answer = await lab.http.request(method, f"/streams/{path}", params=params)
            assert answer.status_code == 404
    assert lab.model.running == 1


async def test_unclaimed_stream_stops_after_its_grace(lab: Lab) -> None:
    """Nobody comes back: the generation goes on for the grace, then stops, stored as far as it
    came; the owner still learns how it ended."""
    stream_id, last, text = await first_words(lab)
    await asyncio.sleep(0.2)
    assert lab.model.running == 1
    await until(lambda: lab.model.running == 0)
    rest = await lab.http.get(
        f"/streams/{stream_id}", params={"user_id": "a"}, headers={"Last-Event-ID": last}
    )
    assert [(name, data["code"]) for name, data in events_of(rest.text)] == [
        ("error", "stream_cancelled")
    ]
    await lab.services.chat.memory.settle(10)  # it is stored behind the caller's back
    turns = (await lab.http.get("/conversations/d/turns", params={"user_id": "a"})).json()["turns"]
    assert [(t["output"], t["status"]) for t in turns] == [(text, "interrupted")]


async def test_unclaimed_stream_goes_on_to_its_end(tmp_path: Path) -> None:
    """With the grace of a real installation an answer that nobody waits for is finished, stored
    and read later."""
    async with running_lab(tmp_path, "office") as lab:
        assert lab.services.streams.limits.grace_s >= 120
        stream_id, _, _ = await first_words(lab)
        assert lab.model.gate is not None
        lab.model.gate.set()
        await until(lambda: lab.model.running == 0)
        whole = await lab.http.get(f"/streams/{stream_id}", params={"user_id": "a"})
        assert events_of(whole.text)[-1][0] == "done"


async def test_other_streams_end_with_their_connection(lab: Lab) -> None:
    """Without X-Resumable there is no stream id and leaving frees the model."""
    lab.model.gate = asyncio.Event()
    async with lab.http.stream("POST", "/Llama", json=body(), headers=STREAM) as answer:
        assert "X-Stream-Id" not in answer.headers
        async for line in answer.aiter_lines():
            if line.startswith("event: delta"):
                break
    await until(lambda: lab.model.running == 0)
    assert len(lab.services.streams) == 0


async def test_a_stream_has_its_name_before_its_first_word(lab: Lab) -> None:
    """While a long prompt is still being read the caller can already lose its connection."""
    lab.model.prefill = asyncio.Event()
    async with lab.http.stream("POST", "/Llama", json=body(), headers=RESUMABLE) as answer:
        stream_id = answer.headers["X-Stream-Id"]
    lab.model.prefill.set()
    rest = await lab.http.get(f"/streams/{stream_id}", params={"user_id": "a"})
    assert events_of(rest.text)[-1][0] == "done"


async def test_leaving_before_the_name_is_known_ends_the_generation(lab: Lab) -> None:
    """Nobody can take such a stream up, so it does not go on for its grace."""
    lab.services.streams.limits = StreamLimits(grace_s=60, keep_s=300)
    lab.model.prefill = asyncio.Event()
    call = asyncio.create_task(lab.http.post("/Llama", json=body(), headers=RESUMABLE))
    await until(lambda: lab.model.running == 1)
    call.cancel()
    await until(lambda: lab.model.running == 0)
    assert len(lab.services.streams) == 0


async def test_delete_ends_a_stream(lab: Lab) -> None:
    """DELETE stops the generation at once and says whether there was anything to stop."""
    stream_id, _, _ = await first_words(lab)
    ended = await lab.http.delete(f"/streams/{stream_id}", params={"user_id": "a"})
    assert ended.json() == {"cancelled": True}
    await until(lambda: lab.model.running == 0)
    again = await lab.http.delete(f"/streams/{stream_id}", params={"user_id": "a"})
    assert again.json() == {"cancelled": False}


async def test_openai_streams_resume_in_their_form(lab: Lab) -> None:
    """Chunks go on under the same completion id, without a second role, up to [DONE]."""
    sent = {"model": "Llama", "messages": [{"role": "user", "content": "안녕"}], "stream": True}
    stream_id, last, _ = await first_words(lab, "/v1/chat/completions", body=sent)
    assert lab.model.gate is not None
    lab.model.gate.set()
    rest = await lab.http.get(f"/streams/{stream_id}", headers={"Last-Event-ID": last})
    assert rest.text.endswith("data: [DONE]\n\n")
    whole = await lab.http.get(f"/streams/{stream_id}")
    assert whole.text.count('"role": "assistant"') == 1
    assert '"role"' not in rest.text
    ids = {json.loads(line[6:])["id"] for line in whole.text.split("\n") if '"id"' in line}
    assert len(ids) == 1


@pytest.mark.parametrize("number", ["99", "-1", "x"])
async def test_impossible_numbers(lab: Lab, number: str) -> None:
    """A number that was never given is 410, one that is none 422."""
    answer = await lab.http.post("/Llama", json=body(), headers=RESUMABLE)
    path = f"/streams/{answer.headers['X-Stream-Id']}"
    again = await lab.http.get(path, params={"user_id": "a"}, headers={"Last-Event-ID": number})
    assert again.status_code == (410 if number == "99" else 422)


async def test_refusals_keep_their_status(lab: Lab) -> None:
    """An error before the first event is no stream, and leaves no stream behind."""
    answer = await lab.http.post("/nobody", json=body(), headers=RESUMABLE)
    assert answer.status_code == 400
    await until(lambda: len(lab.services.streams) == 0)


async def test_several_may_follow_at_once(lab: Lab) -> None:
    """Two connections to one stream get the same; the model answers once."""
    stream_id, _, _ = await first_words(lab)
    assert lab.model.gate is not None

    async def follow() -> httpx2.Response:
        return await lab.http.get(f"/streams/{stream_id}", params={"user_id": "a"})

    followers = [asyncio.create_task(follow()) for _ in range(2)]
    await asyncio.sleep(0.05)
    lab.model.gate.set()
    first, second = await asyncio.gather(*followers)
    assert first.text == second.text
    assert len(lab.model.requests) == 1
