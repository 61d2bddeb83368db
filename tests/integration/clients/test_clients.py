"""Clients that people already use, unchanged: each streams a Korean conversation of three turns."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import pytest
from clients_check import CLIENTS, TURNS, converse, prepared

from support.api_lab import SpokenModel, running_lab

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def environment() -> Path:
    """The clients' own environments, made once for each change of their locks."""
    # package managers read their settings from the real home
    return prepared(home=Path(pwd.getpwuid(os.getuid()).pw_dir))


@pytest.mark.parametrize("assistant", ["office", "character"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_three_turns(environment: Path, client: str, assistant: str, tmp_path: Path) -> None:
    """Every answer streams in pieces and arrives whole, and the client sends what was said."""
    model = SpokenModel(pause_s=0.03)
    async with running_lab(tmp_path, assistant, model=model) as lab:  # type: ignore[arg-type]
        url = f"{lab.url}/v1"
        turns = await asyncio.to_thread(converse, client, environment, url, "none")
    assert [turn.text for turn in turns] == [
        f"{number}번째 대답입니다: {said} 끝" for number, said in enumerate(TURNS, 1)
    ]
    assert all(turn.pieces > 1 for turn in turns)
    last = model.requests[-1].messages
    assert [m.role for m in last[1:]] == ["user", "assistant", "user", "assistant", "user"]
    assert [m.content for m in last[1::2]] == list(TURNS)
