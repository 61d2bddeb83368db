"""A grounded answer as callers get it: a plain string, with its sources where they are wished."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.api_lab import running_lab
from support.grounders import FOUND, ScriptedGrounder

QUESTION = {"input_data": "2026년 서울특별시의 인구는 몇 명이야?", "google_access": True}
LIST = "\n\n출처:\n" + "\n".join(f"[{s.n}] {s.title} - {s.url}" for s in FOUND.sources)


@pytest.mark.parametrize(
    ("setting", "header", "is_listed"),
    [
        (False, None, False),
        (False, "true", True),
        (True, None, True),
        (True, "false", False),
        (True, "1", True),
    ],
)
async def test_the_sources_stand_at_the_end_where_they_are_wished(
    tmp_path: Path, setting: bool, header: str | None, is_listed: bool
) -> None:
    """The caller's header decides, without one the setting; the answer stays one JSON string."""
    headers = {"X-Include-Sources": header} if header else {}
    async with running_lab(tmp_path, grounder=ScriptedGrounder(), lists_sources=setting) as lab:
        answer = await lab.http.post("/Llama", json=QUESTION, headers=headers)
        plain = await lab.http.post(
            "/Llama", json=QUESTION | {"google_access": False}, headers=headers
        )
    assert answer.status_code == 200
    assert "X-Warnings" not in answer.headers
    assert answer.json().endswith(LIST) is is_listed
    assert "출처:" not in plain.json()


async def test_a_crashing_search_is_a_warning(tmp_path: Path) -> None:
    """A bug in the search is no 500: the answer comes, and a header says what is missing."""
    grounder = ScriptedGrounder(ZeroDivisionError())
    async with running_lab(tmp_path, grounder=grounder, lists_sources=True) as lab:
        answer = await lab.http.post("/Llama", json=QUESTION)
    assert (answer.status_code, answer.headers["X-Warnings"]) == (200, "search_unavailable")
    assert "출처:\n" not in answer.json()
