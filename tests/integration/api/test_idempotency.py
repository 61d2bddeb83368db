"""Idempotency-Key: a repeated call is answered once and stored once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatbot_ai.domain.errors import BackendUnavailable
from support.api_lab import Lab, events_of, running_lab, until

A = {"user_id": "a"}
ONCE = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
STREAM = {"Accept": "text/event-stream"}


def said(lab: Lab, text: str = "안녕", **fields: Any) -> dict[str, Any]:
    return {"input_data": text, "user_id": "a", "db_id": "d", **lab.character, **fields}


async def turns_of(lab: Lab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await lab.http.get("/conversations/d/turns", params=A)).json()[
        "turns"
    ]
    return found


async def test_repeated_call_gets_the_first_answer(lab: Lab) -> None:
    """The second call says that it is a repetition; one turn, one generation."""
    first = await lab.http.post("/Llama", json=said(lab), headers=ONCE)
    second = await lab.http.post("/Llama", json=said(lab), headers=ONCE)
    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["X-Turn"] == "0"
    assert len(await turns_of(lab)) == 1
    assert len(lab.model.requests) == 1


async def test_stateless_calls_too(lab: Lab) -> None:
    """A call without memory is repeated from what this process remembers."""
    body = {"input_data": "안녕", **lab.character}
    first = await lab.http.post("/Llama", json=body, headers=ONCE)
    second = await lab.http.post("/Llama", json=body, headers=ONCE)
    assert first.json() == second.json()
    assert len(lab.model.requests) == 1


async def test_simultaneous_calls_wait_for_the_first(lab: Lab) -> None:
    """Five at once, some as streams, are one generation and get the same text."""
    lab.model.gate = asyncio.Event()
    calls = [
        asyncio.create_task(
            lab.http.post("/Llama", json=said(lab), headers={**ONCE, **(STREAM if n % 2 else {})})
        )
        for n in range(5)
    ]
    await until(lambda: lab.model.running == 1)
    await asyncio.sleep(0.1)
    lab.model.gate.set()
    texts = set()
    for answer in await asyncio.gather(*calls):
        if answer.headers["content-type"].startswith("text/event-stream"):
            deltas = [d["text"] for name, d in events_of(answer.text) if name == "delta"]
            texts.add("".join(deltas))
        else:
            texts.add(answer.json())
    assert len(texts) == 1
    assert len(lab.model.requests) == 1
    assert len(await turns_of(lab)) == 1


async def test_another_body_is_refused(lab: Lab) -> None:
    """The same key with another body, path or query is 422; another order of names is not."""
    body = said(lab)
    await lab.http.post("/Llama", json=body, headers=ONCE)
    other = await lab.http.post("/Llama", json=said(lab, "다른 말"), headers=ONCE)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    turned = dict(reversed(body.items()))
    assert (await lab.http.post("/Llama", json=turned, headers=ONCE)).status_code == 200
    path = await lab.http.post("/gpt4.1", json=body, headers=ONCE)
    assert path.status_code == 422


async def test_keys_belong_to_their_caller(lab: Lab) -> None:
    """Another user with the same key and text gets an answer of its own."""
    await lab.http.post("/Llama", json=said(lab), headers=ONCE)
    other = await lab.http.post("/Llama", json=said(lab, user_id="b"), headers=ONCE)
    assert other.status_code == 200
    assert "Idempotent-Replayed" not in other.headers
    assert len(lab.model.requests) == 2


async def test_failures_are_not_remembered(lab: Lab) -> None:
    """A call that failed may be made again with its key."""
    lab.model.faults.append(BackendUnavailable("scripted"))
    assert (await lab.http.post("/Llama", json=said(lab), headers=ONCE)).status_code == 503
    assert (await lab.http.post("/Llama", json=said(lab), headers=ONCE)).status_code == 200
    assert len(await turns_of(lab)) == 1


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    """After a restart the turn is found again: same answer, nothing stored or generated."""
    async with running_lab(tmp_path) as lab:
        first = await lab.http.post("/Llama", json=said(lab), headers=ONCE)
    async with running_lab(tmp_path) as lab:
        second = await lab.http.post("/Llama", json=said(lab), headers=ONCE)
        assert second.json() == first.json()
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(lab.model.requests) == 0
        assert len(await turns_of(lab)) == 1
    async with running_lab(tmp_path) as lab:
        other = await lab.http.post("/Llama", json=said(lab, "다른 말"), headers=ONCE)
        assert other.status_code == 422


async def test_lost_stream_is_answered_anew_in_its_place(lab: Lab) -> None:
    """A stream that broke off left an interrupted turn; the repeated call completes that turn."""
    lab.model.gate = asyncio.Event()
    headers = {**ONCE, **STREAM}
    async with lab.http.stream("POST", "/Llama", json=said(lab), headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event: delta"):
                break
    await until(lambda: lab.model.running == 0)
    lab.model.gate.set()
    again = await lab.http.post("/Llama", json=said(lab), headers=ONCE)
    assert again.status_code == 200
    turns = await turns_of(lab)
    assert [(t["output"], t["status"]) for t in turns] == [(again.json(), "complete")]


async def test_a_waiting_call_takes_over(lab: Lab) -> None:
    """When the first caller leaves, one of those who wait is answered instead."""
    lab.model.gate = asyncio.Event()
    first = asyncio.create_task(lab.http.post("/Llama", json=said(lab), headers=ONCE))
    await until(lambda: lab.model.running == 1)
    second = asyncio.create_task(lab.http.post("/Llama", json=said(lab), headers=ONCE))
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until(lambda: len(lab.model.requests) == 2)
    lab.model.gate.set()
    assert (await second).status_code == 200
    assert len(await turns_of(lab)) == 1


async def test_conversation_calls(lab: Lab) -> None:
    """Regenerating, continuing and editing with a key happen once each."""
    await lab.say("안녕")
    for way, extra in (
        ("regenerate", {}),
        ("continue", {}),
        ("turns/0/edit", {"input_data": "고침"}),
    ):
        body = {**lab.character, **extra}
        headers = {"Idempotency-Key": way}
        path = f"/conversations/d/{way}"
        before = len(lab.model.requests)
        first = await lab.http.post(path, params=A, json=body, headers=headers)
        second = await lab.http.post(path, params=A, json=body, headers=headers)
        assert (first.status_code, first.json()) == (200, second.json())
        assert len(lab.model.requests) == before + 1
    turns = await turns_of(lab)
    assert [(t["input"], len(t["outputs"])) for t in turns] == [("고침", 1)]


async def test_openai_calls(lab: Lab) -> None:
    """A completion is repeated too, in OpenAI's form; another body is refused in its shape."""
    body: dict[str, Any] = {
        "model": "Llama",
        "messages": [{"role": "user", "content": "안녕"}],
    }
    first = await lab.http.post("/v1/chat/completions", json=body, headers=ONCE)
    second = await lab.http.post("/v1/chat/completions", json=body, headers=ONCE)
    message = first.json()["choices"][0]["message"]
    assert second.json()["choices"][0]["message"] == message
    assert len(lab.model.requests) == 1
    body["temperature"] = 1
    other = await lab.http.post("/v1/chat/completions", json=body, headers=ONCE)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert other.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_keys_of_the_wrong_form(office: Lab, key: str) -> None:
    """A key that is empty, too long or has spaces is 422 and named."""
    answer = await office.http.post("/Llama", json=said(office), headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "Idempotency-Key"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running_lab(tmp_path, "character") as running:
        yield running


NAMED = {"name": "하늘", "greeting": "왔구나!", "context": "밝은 친구."}
CARD = json.dumps({"name": "하늘", "description": "친구", "personality": "", "scenario": "",
                   "first_mes": "왔구나!", "mes_example": ""}).encode()  # fmt: skip


async def made(lab: Lab, way: str, key: str = "k", user: str = "a", **changes: Any) -> Any:
    """One call that makes something."""
    sent: dict[str, Any] = {"json": NAMED | changes}
    if way == "/characters/import":
        sent = {"files": {"file": ("card.json", CARD)}}
    elif way.endswith("/branch"):
        sent = {"json": {"turn": 1, **changes}}
    headers = {"Idempotency-Key": key}
    return await lab.http.post(way, params={"user_id": user}, headers=headers, **sent)


WAYS = ("/characters", "/characters/import", "/conversations/d/branch")


async def count(lab: Lab, user: str = "a") -> int:
    """Characters and conversations of a user."""
    params = {"user_id": user}
    characters = (await lab.http.get("/characters", params=params)).json()["characters"]
    talks = (await lab.http.get("/conversations", params=params)).json()["conversations"]
    return len(characters) + len(talks)


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_made_is_made_once(tmp_path: Path, way: str) -> None:
    """Repeated, at once or after a restart, the call gives what it had made, and says so."""
    async with running_lab(tmp_path, "character") as lab:
        for text in ("하나", "둘", "셋"):
            await lab.say(text)
        before = await count(lab)
        answers = await asyncio.gather(*(made(lab, way) for _ in range(4)))
        bodies = [answer.json() for answer in answers]
        assert all(body == bodies[0] for body in bodies), bodies
        assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
        assert await count(lab) == before + 1
    async with running_lab(tmp_path, "character") as lab:
        again = await made(lab, way)
        assert again.json() == bodies[0]
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (await made(lab, way, key="other")).json() != bodies[0]
        assert await count(lab) == before + 2


async def test_a_named_copy_is_made_once(stage: Lab) -> None:
    """With a name of its own the repeated copy is that one, not a conflict; without the key it
    is one."""
    for text in ("하나", "둘"):
        await stage.say(text)
    first = await made(stage, WAYS[2], db_id="e")
    await stage.say("셋", db_id="e")
    second = await made(stage, WAYS[2], db_id="e")
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json()["turns"] == 3, "what was said in the copy since is still there"
    other = await made(stage, WAYS[2], key="other", db_id="e")
    assert other.status_code == 422


async def test_two_copies_of_one_name(stage: Lab) -> None:
    """Of two calls at once one makes it and the other is told; the copy stays whole."""
    for number in range(8):
        await stage.say(str(number))
    body = {"turn": 7, "db_id": "e"}
    path = WAYS[2]
    answers = await asyncio.gather(*(stage.http.post(path, params=A, json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 5
    found = await stage.http.get("/conversations/e", params=A)
    assert found.json()["turns"] == 8


@pytest.mark.parametrize("way", [WAYS[0], WAYS[2]])
async def test_another_wish_under_the_key_is_refused(stage: Lab, way: str) -> None:
    """Another body is 422, another user's call is its own, and a failed call is forgotten."""
    for user in ("a", "b"):
        for text in ("하나", "둘"):
            await stage.say(text, user_id=user)
    wrong = {"turn": 9} if "branch" in way else {"name": ""}
    assert (await made(stage, way, **wrong)).status_code in (404, 422)
    first = await made(stage, way)
    assert first.status_code in (200, 201)
    other = {"turn": 0} if "branch" in way else {"name": "바다"}
    refused = await made(stage, way, **other)
    assert refused.json()["error"]["code"] == "idempotency_key_reused"
    assert (await made(stage, way, user="b")).status_code == first.status_code
    assert await count(stage, "b") == 2


@pytest.mark.parametrize("way", ["regenerate", "continue"])
async def test_other_answers_survive_a_restart(tmp_path: Path, way: str) -> None:
    """A repeated regenerate or continue gives what it gave, whatever was said since: the very
    part, no further alternative, nothing generated; another body under the key is refused."""
    path = f"/conversations/d/{way}"

    async def again(lab: Lab, key: str = "k", **changes: Any) -> httpx2.Response:
        headers = {"Idempotency-Key": key}
        return await lab.http.post(path, params=A, json=changes, headers=headers)

    async with running_lab(tmp_path) as lab:
        await lab.say("안녕")
        first, other = await again(lab), await again(lab, "other")
        assert (first.status_code, other.status_code) == (200, 200)
        before = (await turns_of(lab))[0]["outputs"]
        await lab.say("또")
    async with running_lab(tmp_path) as lab:
        for key, given in (("k", first), ("other", other)):
            repeated = await again(lab, key)
            assert repeated.json() == given.json()
            assert repeated.headers["Idempotent-Replayed"] == "true"
            assert repeated.headers["X-Turn"] == "0"
        assert lab.model.requests == []
        assert (await turns_of(lab))[0]["outputs"] == before
    async with running_lab(tmp_path) as lab:
        refused = await again(lab, model="gpt4.1")
        assert refused.json()["error"]["code"] == "idempotency_key_reused"
