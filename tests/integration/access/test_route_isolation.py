"""Nobody reaches what is another user's: every route of both assistants is walked.

The walk reads the OpenAPI schema, so that a route that is added later is walked too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from chatbot_ai.api.caller import OPEN_PATHS, principal_of
from chatbot_ai.domain.conversation import Assistant, ConversationKey
from support.access_lab import Lab, serving
from support.possessions import CONVERSATION, assignments, possessions
from support.route_calls import call, operations

ALICES = "앨리스만-아는-것"
REFUSED = (401, 403, 404)
#: Fields of bodies that name what is somebody's.
THINGS = {"character_id"}
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
    without: set[str] = set()
    for route in iter_route_contexts(lab.app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is None or not depends_on_caller(dependant):
            without.add(str(route.path))
    assert {path.replace("/{file}", "") for path in without} == OPEN_PATHS | {"/docs-static"}


async def test_without_a_key_no_route_answers(lab: Lab) -> None:
    """Once keys are in use, each route but the open ones is 401 without one or with a bad one."""
    backend = await lab.key()
    walked = 0
    for headers in ({}, {"X-API-Key": "cbk_" + "a" * 40}, {"Authorization": f"Basic {backend}"}):
        async with lab.caller(**headers) as http:
            for operation in operations(lab.app.openapi()):
                if operation.path in OPEN_PATHS:
                    continue
                answer = await call(http, operation, dict.fromkeys(operation.path_names, "a"))
                assert answer.status_code == 401, operation
                walked += 1
    assert walked >= 3 * 3


@pytest.mark.parametrize("content", [{}, {"json": {"input_data": "안녕"}}], ids=["bare", "body"])
async def test_an_open_path_is_open_for_reading_only(lab: Lab, content: dict[str, Any]) -> None:
    """What everybody may read takes nothing from anybody: 401 without a key, 405 with one."""
    paths = [*OPEN_PATHS, "/docs-static/swagger-ui.css"]
    key = await lab.key()
    async with lab.caller() as stranger, lab.caller(key) as known:
        for path in paths:
            assert (await stranger.get(path)).status_code in (200, 503)
            for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                answer = await stranger.request(method, path, **content)
                assert answer.status_code == 401, (method, path)
                answer = await known.request(method, path, **content)
                assert answer.status_code == 405, (method, path, answer.text)
                assert answer.headers["Allow"] == "GET"


async def test_another_user_reaches_nothing(lab: Lab) -> None:
    """With another user's ids and name every route refuses a user key, shows nothing, and leaves
    everything as it was."""
    alice, bob = await lab.key("alice"), await lab.key("bob")
    async with lab.caller(alice) as http:
        ids = await possessions(http, lab.app.openapi(), lab.body(ALICES), user="alice")
        before = await everything(http, lab, ids)
        assert any(ALICES in text for _, text in before)
    walked = set()
    async with lab.caller(bob) as http:
        for operation in operations(lab.app.openapi()):
            for chosen in assignments(operation, ids):
                if operation.names_a_user:
                    answer = await call(http, operation, chosen, user="alice")
                    assert answer.status_code in REFUSED, (operation, answer.text)
                answer = await call(http, operation, chosen, user="bob")
                assert ALICES not in answer.text, operation
                for name in THINGS & operation.body_fields.keys():
                    for value in filter(re.compile("[0-9a-f]{32}").fullmatch, ids.get("id", ())):
                        theirs = {name: value, "model": "Llama"}
                        answer = await call(http, operation, chosen, user="bob", fields=theirs)
                        assert answer.status_code in REFUSED, (operation, answer.text)
                        walked.add(operation.path)
                if operation.path_names not in ([], ["model"]):
                    assert answer.status_code in REFUSED, (operation, chosen, answer.text)
    assert {"/Llama", "/v1/chat/completions"} <= walked or lab.assistant == "office"
    async with lab.caller(alice) as http:
        assert await everything(http, lab, ids) == before
    turns = await lab.services.chat.store.recent_turns(key_of(lab, "alice"), limit=10)
    assert ALICES in [turn.input for turn in turns]


async def everything(
    http: httpx2.AsyncClient, lab: Lab, ids: dict[str, set[str]]
) -> list[tuple[str, str]]:
    """All that alice sees."""
    seen = []
    for operation in operations(lab.app.openapi()):
        if operation.method == "GET" and operation.path not in {*OPEN_PATHS, *VOLATILE}:
            for chosen in assignments(operation, ids):
                answer = await call(http, operation, chosen, user="alice")
                text = answer.text if answer.status_code == 200 else str(answer.status_code)
                seen.append((str(answer.request.url), text))
    return seen


def key_of(lab: Lab, user_id: str) -> ConversationKey:
    return ConversationKey(lab.assistant, user_id, CONVERSATION)
