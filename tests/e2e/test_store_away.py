"""MongoDB is away when everything starts: it starts, says so, and recovers when it comes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.http_calls import body
from support.mongodb_process import MongodbProcess
from support.process_group import HEAL_S, START_S, Group, brief, environment, eventually
from support.waiting import HANG_S


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongodbProcess]:
    """A server that is not running yet."""
    made = MongodbProcess(tmp_path / "mongodb")
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture
def group(tmp_path: Path, server: MongodbProcess, model_file: Path) -> Iterator[Group]:
    assert model_file.is_file()
    settings = brief(tmp_path) | {"MONGODB_URL": server.url, "LANG": "en_US.UTF-8"}
    made = Group(tmp_path, environment(tmp_path, **settings))
    made.start()
    yield made
    made.discard()


def test_everything_starts_without_its_database(group: Group, server: MongodbProcess) -> None:
    """`up` announces itself and names host and remedy; no process is killed for it. Calls without
    memory are answered, calls with memory get 503, until the database is there."""

    def announced() -> bool:
        assert group.process.poll() is None, group.output
        return "The conversation store cannot be reached" in group.output

    eventually(announced, START_S, "the announcement")
    assert f"MongoDB 127.0.0.1:{server.port}" in group.output
    assert "MONGODB_URL" in group.output
    states = json.loads((group.folder / "data/run/processes.json").read_text("utf-8"))
    found = {one["name"]: (one["state"], one["restarts"]) for one in states["processes"]}
    assert set(found.values()) == {("ready", 0)}, found
    assert httpx2.get(f"{group.url}/office/readyz", timeout=HANG_S).status_code == 503
    assert _asked(group) == 200
    assert _asked(group, user_id="kim", db_id="d") == 503

    server.start()
    eventually(group.is_ready, HEAL_S, "ready with the database")
    assert _asked(group, user_id="kim", db_id="d") == 200
    turns = httpx2.get(
        f"{group.url}/office/conversations/d/turns?user_id=kim", timeout=HANG_S
    ).json()
    assert len(turns["turns"]) == 1


def _asked(group: Group, **conversation: str) -> int:
    request = body("office", **conversation)
    return httpx2.post(f"{group.url}/office/Llama", json=request, timeout=HANG_S).status_code
