"""Requests that were made to be dear are bounded before they are worked on.

`bench/worst_case.py` measures how long each kind holds a service; here each is answered, and what
is done for it is counted.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from bench.worst_case import KINDS, MARKS, Call, card

from chatbot_ai.domain import text
from chatbot_ai.domain.limits import JSON_NODES, MESSAGES, STOP_STRINGS
from support.api_lab import Lab, running_lab

#: Longest error; what the caller sent does not come back to it.
ERROR_CHARS = 20_000


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How many characters were normalised, and how many looked at one by one."""
    text._compile_marks()
    seen = SimpleNamespace(normalized=0, single=0)

    def normalize(form: Any, value: str) -> str:
        seen.normalized += len(value)
        return unicodedata.normalize(form, value)

    def combining(mark: str) -> int:
        seen.single += 1
        return unicodedata.combining(mark)

    counting = SimpleNamespace(normalize=normalize, combining=combining)
    monkeypatch.setattr("chatbot_ai.domain.text.unicodedata", counting)
    return seen


async def send(lab: Lab, call: Call, answers: list[httpx2.Response]) -> None:
    answer = await lab.http.request(
        call.method, call.path, content=call.content, headers=call.headers
    )
    answers.append(answer)
    if call.then is not None and answer.status_code == 201:
        for following in call.then(answer.json()["id"]):
            await send(lab, following, answers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_answered(tmp_path: Path, kind: str, worked: SimpleNamespace) -> None:
    """No kind is our fault, none's answer repeats what it sent, none is normalised over and
    over."""
    answers: list[httpx2.Response] = []
    calls = KINDS[kind]()
    async with running_lab(tmp_path, "character") as lab:
        for at, call in enumerate(calls):
            # the first of a kind is played and exported; the others are like it
            await send(lab, call if at == 0 else replace(call, then=None), answers)
        assert (await lab.http.get("/healthz")).status_code == 200
    assert answers
    for answer in answers:
        assert answer.status_code < 500, answer.text[:500]
        assert answer.status_code < 400 or len(answer.text) < ERROR_CHARS
    assert worked.normalized < 8 * sum(len(c.content) for c in calls) + 100_000
    assert worked.single == 0


async def test_marks_are_cut_before_they_are_put_in_order(
    tmp_path: Path, worked: SimpleNamespace
) -> None:
    """Of half a million marks thirty are normalised, and none is looked at by itself."""
    async with running_lab(tmp_path) as lab:
        body = {"model": "Llama", "messages": [{"role": "user", "content": MARKS}]}
        content = json.dumps(body, ensure_ascii=False).encode()
        answer = await lab.http.post(
            "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 200
    assert worked.normalized < 10_000
    assert worked.single == 0


@pytest.mark.parametrize(
    ("field", "most", "item"),
    [
        ("messages", MESSAGES, {"role": "user", "content": "x"}),
        ("messages", MESSAGES, {}),
        ("messages", MESSAGES, 0),
        ("stop", STOP_STRINGS, "a"),
        ("stop", STOP_STRINGS, 0),
        ("content", MESSAGES, {"type": "text", "text": "x"}),
        ("content", MESSAGES, 0),
    ],
)
async def test_lists_are_counted_before_their_items_are_read(
    tmp_path: Path, field: str, most: int, item: Any, worked: SimpleNamespace
) -> None:
    """One item too many is one error, which names the field and the limit, whatever the items."""
    body: dict[str, Any] = {"model": "Llama", "messages": [{"role": "user", "content": "x"}]}
    if field == "content":
        body["messages"][0]["content"] = [item] * (most + 1)
    else:
        body[field] = [item] * (most + 1)
    async with running_lab(tmp_path) as lab:
        answer = await lab.http.post("/v1/chat/completions", json=body)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert field in str(error["param"])
        assert str(most) in error["message"]
        assert worked.normalized < 1000
        assert (await lab.http.get("/limits")).json()["messages"] == MESSAGES


@pytest.mark.parametrize("path", ["/Llama", "/v1/chat/completions", "/conversations/d/branch"])
async def test_a_body_of_too_many_parts_is_not_parsed(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted as it came; the same number of brackets less one is read."""
    parsed: list[int] = []
    loads = json.loads

    def note(text: Any, *args: Any, **options: Any) -> Any:
        parsed.append(len(text))
        return loads(text, *args, **options)

    body = b'{"input_data":[' + b"[]," * (JSON_NODES - 2) + b"%s0]}"
    headers = {"Content-Type": "application/json"}
    async with running_lab(tmp_path) as lab:
        monkeypatch.setattr("json.loads", note)
        answer = await lab.http.post(
            path, params={"user_id": "u"}, content=body % b"[],", headers=headers
        )
        assert not [size for size in parsed if size > 50_000]
        assert answer.status_code == 400
        error = loads(answer.text)["error"]
        assert error.get("code") in ("bad_request", None, "invalid_request")
        assert str(JSON_NODES) in error["message"]
        answer = await lab.http.post(
            path, params={"user_id": "u"}, content=body % b"", headers=headers
        )
        assert [size for size in parsed if size > 50_000]
        assert str(JSON_NODES) not in answer.text


async def test_many_wrong_messages_are_one_error(tmp_path: Path) -> None:
    """The first wrong one is named, and the rest is not read."""
    body = {"model": "Llama", "messages": [{}] * MESSAGES}
    async with running_lab(tmp_path) as lab:
        answer = await lab.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert len(answer.text) < 1000


async def test_a_long_name_is_cut_in_the_name_of_a_file(tmp_path: Path) -> None:
    """A header holds a name of a megabyte only in part, so that the file arrives."""
    async with running_lab(tmp_path, "character") as lab:
        made = await lab.http.post(
            "/characters/import",
            params={"user_id": "u"},
            content=card({"name": "가" * 300_000}),
            headers={"Content-Type": "application/octet-stream"},
        )
        path = f"/characters/{made.json()['id']}/export"
        file = await lab.http.get(path, params={"user_id": "u", "format": "json"})
    assert file.status_code == 200
    assert len(file.headers["content-disposition"]) < 3000
    assert len(json.loads(file.content)["data"]["name"]) == 300_000
