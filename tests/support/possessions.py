"""What a user has with an assistant: one thing in every place where a route can leave one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx2

from support.route_calls import Operation, Schema, call, operations

#: The conversation that `possessions` makes; route_calls names it wherever a body can.
CONVERSATION = "alices"


async def possessions(
    http: httpx2.AsyncClient, schema: Schema, body: dict[str, Any], *, user: str
) -> dict[str, set[str]]:
    """Leave something in every place where one can, what each route makes from its example, and
    return the ids of it all by the name they go by.

    body  one of POST /Llama without anybody's name; its text goes into everything
    """
    text = body["input_data"]
    stream_id = await _settled(http, body | {"user_id": user, "db_id": CONVERSATION})
    for operation in operations(schema):
        if operation.method == "POST" and not operation.path_names:
            answer = await call(http, operation, {}, user=user, text=text)
            assert answer.status_code < 500, (operation, answer.text)
    return await _harvest(http, schema, user) | {"stream_id": {stream_id}}


async def _settled(http: httpx2.AsyncClient, body: dict[str, Any]) -> str:
    """Two turns; returns the id of the second one's stream, which can be taken up again."""
    answer = await http.post("Llama", json=body)
    assert answer.status_code == 200, answer.text
    resumable = {"Accept": "text/event-stream", "X-Resumable": "true"}
    stream = await http.post("Llama", json=body, headers=resumable)
    return stream.headers["X-Stream-Id"]


async def _harvest(http: httpx2.AsyncClient, schema: Schema, user: str) -> dict[str, set[str]]:
    ids: dict[str, set[str]] = {"db_id": {CONVERSATION}}
    for operation in operations(schema):
        if operation.method == "GET" and not operation.path_names:
            answer = await call(http, operation, {}, user=user)
            if "json" in answer.headers.get("content-type", ""):
                for name, value in _named_strings(answer.json()):
                    if name.endswith("id"):
                        ids.setdefault(name, set()).add(value)
    return ids


def _named_strings(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                yield name, inner
            yield from _named_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_strings(inner)


def assignments(operation: Operation, ids: dict[str, set[str]]) -> Iterator[dict[str, str]]:
    """The user's ids in every place of the path that takes one."""
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
            assert found, f"nothing of the user's fits {name}: let `possessions` make one"
            choices.append(sorted(found))
    for values in itertools.product(*choices):
        yield dict(zip(operation.parameters("path"), values, strict=True))
