"""Nobody reaches another user's things: every route, with another's ids and keys."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from chatbot_ai.api import (
    characters,
    chat,
    conversation_answers,
    conversations,
    openai_compat,
    operations,
    streaming,
)
from chatbot_ai.api.caller import principal_of
from chatbot_ai.api.services import ApiOptions
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.conversation import ASSISTANTS
from support.api_lab import CHARACTER, Lab, TableAccess, running_lab

#: Every route about a conversation or stream that exists: method, path, body.
NAMED: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/conversations/{db_id}", None),
    ("PATCH", "/conversations/{db_id}", {"title": "내 것"}),
    ("DELETE", "/conversations/{db_id}", None),
    ("GET", "/conversations/{db_id}/turns", None),
    ("POST", "/conversations/{db_id}/turns/{index}/select", {"selected": 0}),
    ("POST", "/conversations/{db_id}/turns/{index}/edit", {"input_data": "x", **CHARACTER}),
    ("POST", "/conversations/{db_id}/regenerate", CHARACTER),
    ("POST", "/conversations/{db_id}/continue", CHARACTER),
    ("POST", "/conversations/{db_id}/branch", {"turn": 0}),
    ("GET", "/conversations/{db_id}/export", None),
    ("GET", "/streams/{stream_id}", None),
    ("DELETE", "/streams/{stream_id}", None),
)
#: The same of a character that exists; only the character service has them.
CHARACTERS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/characters/{character_id}", None),
    ("PATCH", "/characters/{character_id}", {"name": "내 것"}),
    ("DELETE", "/characters/{character_id}", None),
    ("GET", "/characters/{character_id}/prompt", None),
    ("GET", "/characters/{character_id}/picture", None),
    ("GET", "/characters/{character_id}/export", None),
    ("POST", "/characters/{character_id}/export", {}),
)
#: Routes whose user is in the body, or that are about nobody.
OTHERS = {
    ("POST", "/Llama"),
    ("POST", "/{model}"),
    ("GET", "/conversations"),
    ("DELETE", "/conversations"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model:path}"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/performance"),
    ("GET", "/limits"),
    ("GET", "/model"),
    ("GET", "/status"),
    ("GET", "/status/access"),
}
CHARACTER_OTHERS = {
    ("GET", "/characters"),
    ("POST", "/characters"),
    ("POST", "/characters/import"),
}
#: Routes without the dependency: what monitors ask, and no content.
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}


def routes_of(assistant: Any) -> Iterator[APIRoute]:
    options = ApiOptions(
        assistant, "ko", 60, 1000, cors_origins=(), lists_sources=False, ai_notice=True
    )
    for router in (
        chat.OWN[assistant],
        chat.OTHERS[assistant],
        conversations.router,
        conversation_answers.ROUTERS[options.assistant],
        openai_compat.router,
        operations.router,
        streaming.router,
        *([characters.router] if assistant == "character" else []),
    ):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def depends_on_caller(dependant: Dependant) -> bool:
    return dependant.call is principal_of or any(map(depends_on_caller, dependant.dependencies))


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_every_route_asks_who_calls(assistant: str) -> None:
    """No route but the open ones lacks the dependency, and the tables above know every route."""
    known = {(method, path) for method, path, _ in NAMED} | OTHERS | OPEN
    if assistant == "character":
        known |= {(method, path) for method, path, _ in CHARACTERS} | CHARACTER_OTHERS
    found = set()
    for route in routes_of(assistant):
        for method in route.methods or ():
            found.add((method, route.path))
            asks = depends_on_caller(route.dependant)
            assert asks == ((method, route.path) not in OPEN), route.path
    assert found == known


def functions_of(dependant: Dependant) -> Iterator[Any]:
    """The functions that FastAPI calls before the route's own."""
    for inner in dependant.dependencies:
        if inspect.isfunction(inner.call):
            yield inner.call
        yield from functions_of(inner)


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_no_dependency_costs_a_thread(assistant: str) -> None:
    """A plain function would be called in a thread, for every request."""
    found = {
        function for route in routes_of(assistant) for function in functions_of(route.dependant)
    }
    assert principal_of in found
    assert [f.__name__ for f in found if not inspect.iscoroutinefunction(f)] == []


@pytest.fixture(params=["office", "character"])
async def keyed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    """A service with user keys of a and b and a backend's key; a has a conversation and a
    stream that is going on."""
    access = TableAccess(
        {
            "key-a": Principal("user", "ka", "a"),
            "key-b": Principal("user", "kb", "b"),
            "key-backend": Principal("backend", "kx"),
            "key-backend-2": Principal("backend", "ky"),
        }
    )
    async with running_lab(tmp_path, request.param, access=access) as lab:
        yield lab


async def begin(lab: Lab, client: httpx2.AsyncClient) -> str:
    """One turn of a's conversation, then a stream that waits for its second word."""
    said = {"input_data": "비밀", "db_id": "d", "user_id": "a", **lab.character}
    assert (await client.post("/Llama", json=said)).status_code == 200
    lab.model.gate = asyncio.Event()
    headers = {"Accept": "text/event-stream", "X-Resumable": "true"}
    async with client.stream("POST", "/Llama", json=said | {"db_id": "e"}, headers=headers) as one:
        async for line in one.aiter_lines():
            if line.startswith("event: delta"):
                break
        return one.headers["X-Stream-Id"]


async def walk(
    client: httpx2.AsyncClient, stream_id: str, params: dict[str, str]
) -> list[tuple[str, int, str]]:
    """Call every named route with a's ids: (route, status, error code)."""
    seen = []
    for method, path, body in NAMED:
        url = path.format(db_id="d", index=0, stream_id=stream_id)
        answer = await client.request(method, url, params=params, json=body)
        error = answer.json().get("error", {}) if answer.status_code >= 400 else {}
        seen.append((f"{method} {path}", answer.status_code, error.get("code", "")))
        assert "비밀" not in answer.text
    return seen


async def unharmed(lab: Lab, client: httpx2.AsyncClient) -> None:
    """a's conversation is as it was and a's stream goes on."""
    read = (await client.get("/conversations/d", params={"user_id": "a"})).json()
    assert (read["turns"], read["title"]) == (1, None)
    turns = (await client.get("/conversations/d/turns", params={"user_id": "a"})).json()["turns"]
    assert len(turns[0]["outputs"]) == 1
    assert lab.model.running == 1


async def test_another_users_key(keyed: Lab) -> None:
    """b's key finds none of a's things, with a's ids or by naming a."""
    async with keyed.as_caller("key-a") as a, keyed.as_caller("key-b") as b:
        stream_id = await begin(keyed, a)
        for _, status, code in await walk(b, stream_id, {}):
            assert (status, code) == (404, "not_found")
        for _, status, code in await walk(b, stream_id, {"user_id": "a"}):
            assert (status, code) == (403, "forbidden")
        for method in ("GET", "DELETE"):
            answer = await b.request(method, "/conversations", params={"user_id": "a"})
            assert answer.status_code == 403
        assert (await b.get("/conversations")).json()["conversations"] == []
        assert (await b.delete("/conversations")).json() == {"deleted_turns": 0}
        said = {"input_data": "x", "db_id": "d", "user_id": "a", **keyed.character}
        assert (await b.post("/Llama", json=said)).status_code == 403
        assert (await b.post("/gpt4.1", json=said)).status_code == 403
        await unharmed(keyed, a)


async def test_another_users_thing_looks_like_none(keyed: Lab) -> None:
    """What a has and what nobody has give b the same answer, to the last word."""
    async with keyed.as_caller("key-a") as a, keyed.as_caller("key-b") as b:
        await begin(keyed, a)
        ids = {"X-Request-ID": "the-same-request-id"}
        for method, path, body in NAMED:
            answers = []
            for db_id in ("d", "never-was"):
                url = path.format(db_id=db_id, index=0, stream_id=db_id)
                answer = await b.request(method, url, json=body, headers=ids)
                answers.append((answer.status_code, answer.text))
            assert answers[0] == answers[1], path


async def test_characters_of_another_user(tmp_path: Path) -> None:
    """b's key finds none of a's characters, changes none, and cannot tell that they exist."""
    access = TableAccess(
        {"key-a": Principal("user", "ka", "a"), "key-b": Principal("user", "kb", "b")}
    )
    async with (
        running_lab(tmp_path, "character", access=access) as lab,
        lab.as_caller("key-a") as a,
        lab.as_caller("key-b") as b,
    ):
        made = (await a.post("/characters", json={"name": "비밀", "context": "비밀"})).json()
        ids = {"X-Request-ID": "the-same-request-id"}
        for method, path, body in CHARACTERS:
            answers = []
            for character_id in (made["id"], "0" * 32):
                url = path.format(character_id=character_id)
                answer = await b.request(method, url, json=body, headers=ids)
                answers.append((answer.status_code, answer.text))
            assert answers[0] == answers[1], path
            assert answers[0][0] == 404, path
            named = path.format(character_id=made["id"])
            answer = await b.request(method, named, params={"user_id": "a"}, json=body)
            assert answer.status_code == 403, path
        for method, path in CHARACTER_OTHERS:
            answer = await b.request(method, path, params={"user_id": "a"}, json={"name": "x"})
            assert answer.status_code == 403, path
            assert (await lab.http.request(method, path)).status_code == 401
        assert (await b.get("/characters")).json()["characters"] == []
        assert (await a.get(f"/characters/{made['id']}")).json() == made


async def test_backend_speaks_for_whom_it_names(keyed: Lab) -> None:
    """A backend's key reaches a's things as a and none of them as b."""
    async with keyed.as_caller("key-backend") as backend:
        stream_id = await begin(keyed, backend)
        for _, status, code in await walk(backend, stream_id, {"user_id": "b"}):
            assert (status, code) == (404, "not_found")
        await unharmed(keyed, backend)
        async with keyed.as_caller("key-backend-2") as other:
            params = {"user_id": "a"}
            taken = await other.get(f"/streams/{stream_id}", params=params)
            assert taken.status_code == 404
        ended = await backend.delete(f"/streams/{stream_id}", params={"user_id": "a"})
        assert ended.json() == {"cancelled": True}


async def test_idempotency_keys_do_not_cross(keyed: Lab) -> None:
    """b's call with a's Idempotency-Key and text is a call of its own."""
    async with keyed.as_caller("key-a") as a, keyed.as_caller("key-b") as b:
        said = {"input_data": "안녕", "db_id": "d", **keyed.character}
        headers = {"Idempotency-Key": "the-same"}
        first = await a.post("/Llama", json=said, headers=headers)
        second = await b.post("/Llama", json=said, headers=headers)
        assert first.json() != second.json()
        assert "Idempotent-Replayed" not in second.headers


async def test_without_a_key_nothing_answers(keyed: Lab) -> None:
    """Every route but the open ones is 401 for somebody without a key."""
    for method, path, body in NAMED:
        url = path.format(db_id="d", index=0, stream_id="s")
        assert (await keyed.http.request(method, url, json=body)).status_code == 401
    for method, path in OTHERS:
        url = path.replace("{model:path}", "Llama").format(model="Llama")
        answer = await keyed.http.request(method, url, json={} if method == "POST" else None)
        # a body that is wrong anyway may be told first
        assert answer.status_code == 401, path
    for method, path in OPEN:
        assert (await keyed.http.request(method, path)).status_code == 200


async def test_two_users_without_keys(tmp_path: Path) -> None:
    """On one machine without keys, users are told apart by the user_id they name."""
    async with running_lab(tmp_path) as lab:
        stream_id = await begin(lab, lab.http)
        for _, status, code in await walk(lab.http, stream_id, {"user_id": "b"}):
            assert (status, code) == (404, "not_found")
        await unharmed(lab, lab.http)
