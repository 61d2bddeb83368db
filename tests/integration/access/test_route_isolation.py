"""Nobody reaches what is another user's: every route of both assistants is walked.

The walk reads the OpenAPI schema, so that a route that is added later is walked too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from access_lab import Lab, serving
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from route_calls import Operation, call, operations

from chatbot_ai.api.access import principal_of
from chatbot_ai.api.gate import OPEN_PATHS
from chatbot_ai.domain.conversation import Assistant, ConversationKey

ALICES = "앨리스만-아는-것"
REFUSED = (401, 403, 404)
#: What everybody may see by design, and how long something took.
VOLATILE = ("/performance",)


@pytest.fixture(params=["office", "character"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    assistant: Assistant = request.param
    async with serving(tmp_path, assistant) as running:
        yield running


def depends_on_caller(dependant: Dependant) -> bool:
    return any(
        child.call is principal_of or depends_on_caller(child) for child in dependant.dependencies
    )


async def test_every_route_asks_who_calls(lab: Lab) -> None:
    """Only the listed routes do without `principal_of`, hidden ones included."""
    without = set()
    for route in iter_route_contexts(lab.app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is None or not depends_on_caller(dependant):
            without.add(route.path)
    assert {path.replace("/{file}", "") for path in without} == OPEN_PATHS | {"/docs-static"}


async def test_without_a_key_no_route_answers(lab: Lab) -> None:
    """Once keys are in use, each route but the open ones is 401 without one or with a bad one."""
    backend = await lab.key()
    walked = 0
    for headers in ({}, {"X-API-Key": "cbk_" + "a" * 40}, {"Authorization": f"Basic {backend}"}):
        async with lab.caller(**headers) as http:
            for operation in operations(lab.app):
                if operation.path in OPEN_PATHS:
                    continue
                answer = await call(http, operation, dict.fromkeys(operation.path_names, "a"))
                assert answer.status_code == 401, operation
                walked += 1
    assert walked >= 3 * 3


async def test_another_user_reaches_nothing(lab: Lab) -> None:
    """With another user's ids and name every route refuses a user key, shows nothing, and leaves
    everything as it was."""
    alice, bob = await lab.key("alice"), await lab.key("bob")
    async with lab.caller(alice) as http:
        stream_id = await settle(http, lab)
        ids = await harvest(http, lab) | {"stream_id": {stream_id}}
        before = await everything(http, lab, ids)
        assert any(ALICES in text for _, text in before)
    async with lab.caller(bob) as http:
        for operation in operations(lab.app):
            for chosen in assignments(operation, ids):
                if operation.names_a_user:
                    answer = await call(http, operation, chosen, user="alice")
                    assert answer.status_code in REFUSED, (operation, answer.text)
                answer = await call(http, operation, chosen, user="bob")
                assert ALICES not in answer.text, operation
                if operation.path_names not in ([], ["model"]):
                    assert answer.status_code in REFUSED, (operation, chosen, answer.text)
    async with lab.caller(alice) as http:
        assert await everything(http, lab, ids) == before
    turns = await lab.services.chat.store.recent_turns(key_of(lab, "alice"), limit=10)
    assert ALICES in [turn.input for turn in turns]


async def settle(http: httpx2.AsyncClient, lab: Lab) -> str:
    """Leave something in every place where one can: what each route makes from its example.

    Returns the id of a stream that can be taken up again.
    """
    answer = await http.post("/Llama", json=lab.body(ALICES, user_id="alice", db_id="alices"))
    assert answer.status_code == 200
    resumable = {"Accept": "text/event-stream", "X-Resumable": "true"}
    body = lab.body(ALICES, user_id="alice", db_id="alices")
    stream = await http.post("/Llama", json=body, headers=resumable)
    for operation in operations(lab.app):
        if operation.method == "POST" and not operation.path_names:
            answer = await call(http, operation, {}, user="alice", text=ALICES)
            assert answer.status_code < 500, (operation, answer.text)
    return stream.headers["X-Stream-Id"]


async def harvest(http: httpx2.AsyncClient, lab: Lab) -> dict[str, set[str]]:
    """The ids of what alice has, by the name they go by."""
    ids: dict[str, set[str]] = {"db_id": {"alices"}}
    for operation in operations(lab.app):
        if operation.method == "GET" and not operation.path_names:
            answer = await call(http, operation, {}, user="alice")
            if "json" in answer.headers.get("content-type", ""):
                for name, value in named_strings(answer.json()):
                    if name.endswith("id"):
                        ids.setdefault(name, set()).add(value)
    return ids


def named_strings(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                yield name, inner
            yield from named_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_strings(inner)


def assignments(operation: Operation, ids: dict[str, set[str]]) -> Iterator[dict[str, str]]:
    """Alice's ids in every place of the path that takes one."""
    choices = []
    for name, schema in operation.parameters("path").items():
        if name == "model":
            choices.append(["Llama"])
        elif schema.get("type") == "integer":
            choices.append(["0"])
        elif name in ids:
            choices.append(sorted(ids[name]))
        else:
            pattern = re.compile(schema.get("pattern", ".*"))
            found = [value for value in set().union(*ids.values()) if pattern.fullmatch(value)]
            assert found, f"nothing of alice's fits {name}: let `settle` make one"
            choices.append(sorted(found))
    for values in itertools.product(*choices):
        yield dict(zip(operation.parameters("path"), values, strict=True))


async def everything(
    http: httpx2.AsyncClient, lab: Lab, ids: dict[str, set[str]]
) -> list[tuple[str, str]]:
    """All that alice sees."""
    seen = []
    for operation in operations(lab.app):
        if operation.method == "GET" and operation.path not in {*OPEN_PATHS, *VOLATILE}:
            for chosen in assignments(operation, ids):
                answer = await call(http, operation, chosen, user="alice")
                text = answer.text if answer.status_code == 200 else str(answer.status_code)
                seen.append((str(answer.request.url), text))
    return seen


def key_of(lab: Lab, user_id: str) -> ConversationKey:
    return ConversationKey(lab.assistant, user_id, "alices")
