"""A stored character plays: its card is the persona, its lorebook speaks up where it is called."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.conversation import Message
from support.api_lab import CHARACTER, Lab, running_lab

MINA = {"user_id": "mina"}
ENTRIES = [
    {"keys": ["등대"], "content": "등대는 삼백 년 되었다.", "enabled": True, "insertion_order": 2},
    {"keys": ["고양이"], "content": "고양이 이름은 {{char}}의 벗 나비.", "enabled": True,
     "insertion_order": 1},
    {"keys": [], "content": "이곳은 섬이다.", "constant": True, "enabled": True,
     "insertion_order": 0},
]  # fmt: skip


def card(**book: Any) -> bytes:
    data = {
        "name": "하늘", "description": "섬의 등대지기. {{user}}의 친구.", "first_mes": "왔구나!",
        "alternate_greetings": ["또 왔네, {{user}}!"], "personality": "", "scenario": "",
        "mes_example": "", "character_book": {"entries": ENTRIES, "extensions": {}, **book},
        "extensions": {}, "tags": [], "creator": "", "character_version": "", "creator_notes": "",
        "system_prompt": "", "post_history_instructions": "", "group_only_greetings": [],
    }  # fmt: skip
    return json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}).encode()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running_lab(tmp_path, "character") as running:
        yield running


async def stored(lab: Lab, user: str = "mina", **book: Any) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    answer = await lab.http.post(
        "/characters/import", params={"user_id": user}, content=card(**book), headers=headers
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def say(lab: Lab, character_id: str, text: str, **fields: Any) -> tuple[Message, ...]:
    """One answer; returns what the model saw."""
    body = {"input_data": text, "character_id": character_id, **MINA, **fields}
    answer = await lab.http.post("/Llama", json=body)
    assert answer.status_code == 200, answer.text
    return lab.model.requests[-1].messages


async def test_the_card_is_the_persona(lab: Lab) -> None:
    """Name, description, the chosen greeting and what always stands are in the system prompt."""
    seen = await say(lab, await stored(lab), "안녕", greeting_index=1, user_name="미나")
    system = seen[0].content
    for part in ("하늘", "섬의 등대지기. 미나의 친구.", "또 왔네, 미나!", "이곳은 섬이다."):
        assert part in system
    assert "등대는" not in system
    assert seen[-1].content == "안녕"


async def test_lore_stands_beside_the_newest_input(lab: Lab) -> None:
    """A matched entry stands beside the input that called it up, and the prefix stays the same."""
    character = await stored(lab)
    first = await say(lab, character, "등대가 있나요?", db_id="d")
    assert first[-1].content.startswith("등대가 있나요?")
    assert "등대는 삼백 년 되었다." in first[-1].content
    second = await say(lab, character, "고양이는요?", db_id="d")
    assert second[: len(first)] == first
    assert "하늘의 벗 나비" in second[-1].content
    assert "삼백 년" not in second[-1].content, "what stands in the prompt is not repeated"
    third = await say(lab, character, "고마워요", db_id="d")
    assert third[: len(second)] == second
    assert third[-1].content == "고마워요"


async def test_lore_keeps_its_budget(lab: Lab) -> None:
    """What the book's token budget has no room for is left out; what always stands goes first."""
    character = await stored(lab, token_budget=9)
    seen = await say(lab, character, "등대와 고양이")
    assert "이곳은 섬이다." in seen[0].content
    assert seen[-1].content == "등대와 고양이"


async def test_clients_of_openai_choose_one_too(lab: Lab) -> None:
    """`character_id` beside the messages: the card first, then the caller's own system message;
    lore beside the last message; streaming as well."""
    character = await stored(lab)
    messages = [
        {"role": "system", "content": "짧게 말해."},
        {"role": "user", "content": "등대는 어때?"},
    ]
    body = {"model": "Llama", "messages": messages, "user": "mina", "character_id": character}
    for stream in (False, True):
        answer = await lab.http.post("/v1/chat/completions", json=body | {"stream": stream})
        assert answer.status_code == 200, answer.text
        system, *_, last = lab.model.requests[-1].messages
        assert system.content.index("섬의 등대지기") < system.content.index("짧게 말해.")
        assert "등대는 삼백 년 되었다." in last.content


async def test_every_other_answer_is_the_characters(lab: Lab) -> None:
    """Regenerated, continued and edited answers come from the same card, with the same prefix."""
    character = await stored(lab)
    first = await say(lab, character, "등대가 있나요?", db_id="d")
    body = {"character_id": character}
    for path, fields in (
        ("regenerate", {}), ("continue", {}), ("turns/0/edit", {"input_data": "등대?"})
    ):  # fmt: skip
        answer = await lab.http.post(
            f"/conversations/d/{path}", params=MINA, json={**body, **fields}
        )
        assert answer.status_code == 200, answer.text
        assert lab.model.requests[-1].messages[0] == first[0]
        assert "삼백 년" in lab.model.requests[-1].messages[1].content


async def test_another_users_character_is_404(lab: Lab) -> None:
    """Whoever else names it learns nothing, on every route that takes one."""
    minas = await stored(lab)
    await lab.say("안녕", user_id="bob", db_id="d")
    before = len(lab.model.requests)
    for character in (minas, "0" * 32):
        calls: list[tuple[str, dict[str, Any]]] = [
            ("/Llama", {"input_data": "안녕", "user_id": "bob"}),
            ("/conversations/d/regenerate", {}),
            ("/conversations/d/continue", {}),
            ("/conversations/d/turns/0/edit", {"input_data": "안녕"}),
            ("/v1/chat/completions",
             {"model": "Llama", "user": "bob", "messages": [{"role": "user", "content": "안녕"}]}),
        ]  # fmt: skip
        for path, fields in calls:
            params = {"user_id": "bob"} if path.startswith("/conv") else {}
            body = {"character_id": character, **fields}
            answer = await lab.http.post(path, params=params, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
            assert "하늘" not in answer.text
    assert len(lab.model.requests) == before


@pytest.mark.parametrize("path", ["/Llama", "/v1/chat/completions"])
async def test_whose_it_is_must_be_said(lab: Lab, path: str) -> None:
    """Without a user there is no stored character; the field is named."""
    body = {"character_id": await stored(lab), "input_data": "안녕", "model": "Llama",
            "messages": [{"role": "user", "content": "안녕"}]}  # fmt: skip
    answer = await lab.http.post(path, json=body)
    if path == "/Llama":
        assert answer.status_code == 422
        assert answer.json()["error"]["fields"][0]["field"] == "user_id"
    else:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "user")


@pytest.mark.parametrize("wrong", ["x", "A" * 32, 5, "../" * 10])
async def test_what_is_no_id_is_422(lab: Lab, wrong: object) -> None:
    """An id of another form is a wrong value of that field; null is none."""
    body = {"input_data": "안녕", "character_id": wrong, **MINA}
    answer = await lab.http.post("/Llama", json=body)
    assert answer.status_code == 422
    assert [f["field"] for f in answer.json()["error"]["fields"]] == ["character_id"]
    answer = await lab.http.post("/Llama", json={**body, **CHARACTER, "character_id": None})
    assert answer.status_code == 200


async def test_a_greeting_that_is_not_there_is_the_first_one(lab: Lab) -> None:
    """Taken out of the card since the conversation began, which goes on all the same."""
    character = await stored(lab)
    prompts = []
    for index in (9, 0):
        body = {"character_id": character, "greeting_index": index, "input_data": "안녕", **MINA}
        answer = await lab.http.post("/Llama", json=body)
        assert answer.status_code == 200
        prompts.append(lab.model.requests[-1].messages)
    assert prompts[0] == prompts[1]


async def test_a_card_that_cannot_be_played_is_refused(lab: Lab) -> None:
    """The card's own refusal, also in OpenAI's shape."""
    long = {"name": "하늘", "description": "가" * 40_001, "first_mes": "안녕"}
    text = json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": long})
    made = await lab.http.post(
        "/characters/import",
        params={"user_id": "mina"},
        content=text.encode(),
        headers={"Content-Type": "application/octet-stream"},
    )
    body = {"character_id": made.json()["id"], "input_data": "안녕", **MINA}
    answer = await lab.http.post("/Llama", json=body)
    assert answer.json()["error"]["reason"] == "text_too_long"
    sent = {"model": "Llama", "user": "mina", "messages": [{"role": "user", "content": "안녕"}]}
    answer = await lab.http.post("/v1/chat/completions", json=sent | body)
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_the_office_plays_nobody(tmp_path: Path) -> None:
    """There `character_id` is refused by name, not passed over."""
    async with running_lab(tmp_path, "office") as lab:
        body = {"model": "Llama", "user": "mina", "character_id": "0" * 32,
                "messages": [{"role": "user", "content": "안녕"}]}  # fmt: skip
        answer = await lab.http.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "character_id")
