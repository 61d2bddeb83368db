"""What one user may keep is bounded in bytes, as stored; deleting makes room again."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.api_lab import CHARACTER, Lab, running_lab

MINA = {"user_id": "mina"}
#: Of each kind, in the labs of these tests.
USER_BYTES = 1 << 20
CARD = b'{"name": "\xed\x95\x98\xeb\x8a\x98", "first_mes": "hi", "description": "x"}'


def charx(size: int) -> bytes:
    """A small archive that is `size` bytes unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", CARD)
        archive.writestr("assets/a.bin", bytes(size))
    return buffer.getvalue()


async def send_card(lab: Lab, content: bytes, user: str = "mina", **params: str) -> httpx2.Response:
    headers = {"Content-Type": "application/octet-stream", "Accept-Language": "en"}
    params = {"user_id": user, **params}
    return await lab.http.post(
        "/characters/import", params=params, content=content, headers=headers
    )


def is_full(answer: httpx2.Response, limit: str = "1") -> bool:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (413, "storage_full"), answer.text
    assert f"of {limit} MiB" in error["message"]
    assert "Delete" in error["message"]
    return True


async def test_an_archive_counts_as_unpacked(tmp_path: Path) -> None:
    """Few bytes sent that are many stored fill what a user may keep; another user has room."""
    async with running_lab(tmp_path, "character", user_bytes=USER_BYTES) as lab:
        small = charx(600_000)
        assert len(small) < 2000
        first = await send_card(lab, small)
        assert first.status_code == 201
        assert is_full(await send_card(lab, small))
        assert len((await lab.http.get("/characters", params=MINA)).json()["characters"]) == 1
        assert (await send_card(lab, small, user="jun")).status_code == 201
        path = f"/characters/{first.json()['id']}"
        assert (await lab.http.delete(path, params=MINA)).status_code == 204
        assert (await send_card(lab, small)).status_code == 201


async def test_imports_at_once_share_what_is_left(tmp_path: Path) -> None:
    """Of ten that come together as many are kept as fit, and no more."""
    async with running_lab(tmp_path, "character", user_bytes=USER_BYTES) as lab:
        answers = await asyncio.gather(*(send_card(lab, charx(300_000)) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [413] * 7


async def test_a_full_user_may_shrink_and_not_grow(tmp_path: Path) -> None:
    """A change that adds is refused and changes nothing; one that takes away is not, even where
    the limit was lowered below what is there."""
    async with running_lab(tmp_path, "character", user_bytes=USER_BYTES) as lab:
        made = (await send_card(lab, charx(1_040_000))).json()
    async with running_lab(tmp_path, "character", user_bytes=USER_BYTES // 2) as lab:
        path = f"/characters/{made['id']}"
        english = {"Accept-Language": "en"}
        more = {"context": "가" * 5000}
        answer = await lab.http.patch(path, params=MINA, json=more, headers=english)
        assert is_full(answer, "0.5")
        assert (await lab.http.get(path, params=MINA)).json()["context"] == "x"
        less = await lab.http.patch(path, params=MINA, json={"name": "달", "context": ""})
        assert less.status_code == 200, less.text
        assert less.json()["name"] == "달"


async def test_conversations_are_counted_with_both_assistants(tmp_path: Path) -> None:
    """Full by one, full for the other; calls without memory and other users are answered."""
    body: dict[str, Any] = {"input_data": "x" * 500, "user_id": "mina", "db_id": "d"}
    english = {"Accept-Language": "en"}
    async with running_lab(tmp_path, "office", user_bytes=10_000) as lab:
        statuses = [
            (await lab.http.post("/Llama", json=body, headers=english)).status_code
            for _ in range(12)
        ]
        kept = statuses.index(413)
        assert statuses == [200] * kept + [413] * (12 - kept)
        assert 4 < kept < 12
        for call, more in (
            ("/Llama", {"db_id": "another"}),
            ("/conversations/d/regenerate", {}),
            ("/conversations/d/continue", {}),
            ("/conversations/d/turns/0/edit", {}),
        ):
            answer = await lab.http.post(call, params=MINA, json={**body, **more}, headers=english)
            assert is_full(answer, "0.00954"), call
        answer = await lab.http.post(
            "/Llama", json=body, headers={**english, "Accept": "text/event-stream"}
        )
        assert "storage_full" in answer.text
        asked = len(lab.model.requests)
        branch = await lab.http.post(
            "/conversations/d/branch", params=MINA, json={"turn": 0}, headers=english
        )
        assert is_full(branch, "0.00954")
        assert len((await lab.http.get("/conversations", params=MINA)).json()["conversations"]) == 1
        assert (await lab.http.post("/Llama", json={"input_data": "x"})).status_code == 200
        assert (await lab.http.post("/Llama", json={**body, "user_id": "jun"})).status_code == 200
        assert len(lab.model.requests) == asked + 2, "a refused message costs no answer"
    async with running_lab(tmp_path, "character", user_bytes=10_000) as lab:
        assert is_full(
            await lab.http.post("/Llama", json={**body, **CHARACTER}, headers=english), "0.00954"
        )
    async with running_lab(tmp_path, "office", user_bytes=10_000) as lab:
        await lab.http.delete("/conversations/d", params=MINA)
        assert (await lab.http.post("/Llama", json=body)).status_code == 200


async def test_a_copy_that_does_not_fit_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch is looked at as it grows, and nothing of one that is refused stays."""
    monkeypatch.setattr("chatbot_ai.core.conversation_library.TURNS_AT_ONCE", 2)
    async with running_lab(tmp_path, user_bytes=20_000) as lab:
        for _ in range(6):
            await lab.say("x" * 500, user_id="mina")
        answer = await lab.http.post(
            "/conversations/d/branch",
            params=MINA,
            json={"turn": 5},
            headers={"Accept-Language": "en"},
        )
        assert is_full(answer, "0.0191")
        assert len((await lab.http.get("/conversations", params=MINA)).json()["conversations"]) == 1
        await lab.say("still room", user_id="mina")


async def test_limits_say_what_one_user_may_keep(tmp_path: Path) -> None:
    """GET /limits has both; without a limit they are null."""
    for user_bytes in (USER_BYTES, None):
        async with running_lab(tmp_path, user_bytes=user_bytes) as lab:
            limits = (await lab.http.get("/limits")).json()
            assert limits["user_characters_bytes"] == user_bytes
            assert limits["user_conversations_bytes"] == user_bytes
