"""Planted texts, keys and passwords go through a running group, well, ill and into crashes; not one
of them is in a log or on the console afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.http_calls import body, events
from support.process_group import (
    HEAL_S,
    START_S,
    Group,
    Part,
    brief,
    environment,
    eventually,
    started,
)
from support.process_tree import Process
from support.waiting import HANG_S

HEADERS = {"Accept": "text/event-stream"}
OPENAI_KEY = "sk-proj-planted0123456789abcdefABCDEF"
HUB_TOKEN = "hf_plantedPLANTEDplantedPLANTED012345"
WRONG_KEY = "cbk_" + "w" * 40
MONGO_PASSWORD = "planted%21mongo-passw0rd"
ONCE = "planted-once-0123456789"
DEAD = "127.0.0.1:9"
#: One for each way a text takes, so that a leak says where it is.
TEXTS = {
    way: f"planted-{number}-심은 글 {way}"
    for number, way in enumerate(
        (
            "message", "stream", "invalid", "db_id", "user_id", "name", "greeting", "context",
            "openai", "v1", "system", "query", "engine", "service", "broken", "turn",
        )
    )
}  # fmt: skip
#: Where the fault below strikes. Real libraries quote what they could not handle, too.
CRASH = "planted-crash-심은 글"
#: A fault in every service: a function of the standard library that fails on one text and says so.
FAULT = f"""
import unicodedata
_normalize = unicodedata.normalize

def normalize(form, text):
    if {CRASH!r} in text:
        raise RuntimeError("cannot compose " + text)
    return _normalize(form, text)

unicodedata.normalize = normalize
"""


def written(group: Group) -> dict[str, str]:
    """Everything that was written down for operators: each log file, and the console."""
    files = {path.name: path for path in (group.folder / "logs").iterdir()}
    return {name: path.read_text("utf-8") for name, path in files.items()} | {
        "console": group.output
    }


def leaks(group: Group, secrets: dict[str, str]) -> list[tuple[str, str]]:
    """Which secret stands in which file, also as JSON or a URL would write it."""
    found = []
    for name, text in written(group).items():
        for what, secret in secrets.items():
            forms = {
                secret,
                secret.encode("unicode_escape").decode(),
                str(httpx2.URL(f"/{secret}")),
            }
            if any(form.strip("/") in text for form in forms):
                found.append((what, name))
    return found


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """A group with keys, operator's secrets and the fault."""
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "sitecustomize.py").write_text(FAULT, "utf-8")
    settings = brief(tmp_path) | {
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": f"http://user:planted-in-url@{DEAD}/v1",
        "HF_TOKEN": HUB_TOKEN,
        "CHATBOT_ANSWER_TOKENS": "64",
        "LOG_LEVEL": "debug",
    }
    paths = f"{faults}:{environment(tmp_path)['PYTHONPATH']}"
    with started(tmp_path, **settings, PYTHONPATH=paths) as running:
        yield running


def new_key(group: Group) -> str:
    """A key that the services know by now."""
    command = [sys.executable, "-m", "chatbot_ai.cli.main", "keys", "create"]
    done = subprocess.run(
        command, env=group.environment, capture_output=True, text=True, timeout=HANG_S, check=True
    )
    key = done.stdout.strip()
    check = {"X-API-Key": key}
    eventually(
        lambda: all(
            httpx2.get(f"{group.url}/{a}/performance").status_code == 401
            and httpx2.get(f"{group.url}/{a}/performance", headers=check).status_code == 200
            for a in ("office", "character")
        ),
        HEAL_S,
        "the key is known",
    )
    return key


def talk(http: httpx2.Client, key: str) -> list[int]:
    """Every kind of call with a text of its own; the statuses."""
    text = TEXTS
    character = {
        "character_name": text["name"],
        "greeting": text["greeting"],
        "context": text["context"],
    }
    conversation = {"user_id": "kim", "db_id": "planted"}
    v1: dict[str, Any] = {
        "model": "Llama",
        "messages": [
            {"role": "system", "content": text["system"]},
            {"role": "user", "content": text["v1"]},
        ],
    }
    posts: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("/office/Llama", body("office", input_data=text["message"]), {}),
        ("/office/Llama", body("office", input_data=text["turn"], **conversation), {}),
        ("/office/Llama", body("office", input_data=text["stream"]), HEADERS),
        ("/character/Llama", body("character", **character), HEADERS),
        ("/office/Llama", {"input_data": [text["invalid"]]}, {}),
        ("/office/Llama", body("office", db_id=text["db_id"]), {}),
        ("/office/Llama", body("office", user_id=text["user_id"]), {}),
        ("/office/gpt4.1", body("office", input_data=text["openai"]), {}),
        ("/office/gpt4.1", body("office", input_data=text["openai"]), HEADERS),
        ("/office/v1/chat/completions", v1, {}),
        ("/office/Llama", body("office"), {"X-API-Key": WRONG_KEY}),
        ("/office/Llama", body("office"), {"X-API-Key": OPENAI_KEY}),
        ("/office/Llama", body("office", input_data=key), {}),
        ("/office/Llama", body("office"), {"Idempotency-Key": ONCE}),
        (f"/office/{key}", body("office"), {}),
        (f"/office/{OPENAI_KEY}", body("office"), {}),
        (f"/office/{HUB_TOKEN}", body("office"), {}),
    ]
    statuses = [http.post(path, json=sent, headers=more).status_code for path, sent, more in posts]
    asked = {"q": text["query"], "api_key": key}
    statuses.append(http.get("/office/conversations", params=asked).status_code)
    statuses.append(http.post("/office/Llama", content=text["broken"].encode()).status_code)
    crashing = body("office", input_data=CRASH)
    statuses += [
        http.post("/office/Llama", json=crashing, headers=more).status_code
        for more in ({}, HEADERS)
    ]
    return statuses


def broken_off(http: httpx2.Client, group: Group, part: Part, text: str) -> None:
    """Kill `part` in the middle of a streamed answer to a message with `text`, and wait until it is
    back."""
    request = body("office", input_data=text)
    url = f"/office/Llama?note={TEXTS['query']}"
    victim: Process | None = None
    with (
        suppress(httpx2.TransportError),  # the connection may die with the part
        http.stream("POST", url, json=request, headers=HEADERS) as response,
    ):
        for event in events(response):
            if event.name == "delta" and victim is None:
                victim = group.kill(part)
    assert victim is not None
    group.wait_healed(victim, part)


def test_nothing_planted_is_ever_written_down(group: Group) -> None:
    """Messages, characters, keys right and wrong and in wrong places, through answers, refusals,
    unreachable models, a crash of our own and parts that are killed."""
    key = new_key(group)
    with httpx2.Client(base_url=group.url, headers={"X-API-Key": key}, timeout=HANG_S) as http:
        statuses = talk(http, key)
        assert {200, 401, 422, 500, 503} <= set(statuses)
        broken_off(http, group, "engine", TEXTS["engine"])
        broken_off(http, group, "office", TEXTS["service"])
    assert group.interrupt() == 0
    logs = written(group)
    assert any('"outcome": "answered"' in text for text in logs.values())
    assert any('"error": "model_unavailable"' in text for text in logs.values())
    assert any("request.crashed" in text and "RuntimeError" in text for text in logs.values())
    assert any('"event": "process.died"' in text for text in logs.values())
    secrets = TEXTS | {
        "crash": CRASH,
        "key": key,
        "key's secret part": key[12:],
        "wrong key": WRONG_KEY,
        "idempotency key": ONCE,
        "OpenAI key": OPENAI_KEY,
        "Hub token": HUB_TOKEN,
        "password in a URL": "planted-in-url",
    }
    assert leaks(group, secrets) == []


@contextmanager
def without_database(folder: Path) -> Iterator[Group]:
    """A group whose MongoDB is away: it answers what needs no memory, and is never ready."""
    url = f"mongodb://planted-user:{MONGO_PASSWORD}@{DEAD}/chat?authSource=admin"
    group = Group(folder, environment(folder, MONGODB_URL=url, LOG_LEVEL="debug", **brief(folder)))
    group.start()
    try:
        yield group
    finally:
        group.discard()


def test_the_database_password_is_never_written_down(tmp_path: Path) -> None:
    """With the database away its address is in the logs, its password is not, nor what people
    wrote meanwhile."""
    text = TEXTS["message"]
    with (
        without_database(tmp_path) as group,
        httpx2.Client(base_url=group.url, timeout=HANG_S) as http,
    ):

        def answered(**fields: str) -> int:
            try:
                sent = body("office", input_data=text, **fields)
                return http.post("/office/Llama", json=sent).status_code
            except httpx2.TransportError:
                return 0

        eventually(lambda: answered() == 200, START_S, "a message without memory is answered")
        assert answered(user_id="kim", db_id="planted") == 503
        assert http.get("/office/readyz").json()["store"] == "store_unavailable"
        assert group.interrupt() == 0
        logs = written(group)
        assert any('"error": "store_unavailable"' in text for text in logs.values())
        assert any(DEAD in text for text in logs.values())
        secrets = {"message": text, "password": MONGO_PASSWORD, "decoded": "planted!mongo-passw0rd"}
        assert leaks(group, secrets) == []
