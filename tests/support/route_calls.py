"""Valid calls of every route that an application's OpenAPI schema describes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

Schema = dict[str, Any]
#: The text of a field, by the field's name.
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Operation:
    """One route as the schema describes it."""

    method: str
    path: str
    described: Schema
    schema: Schema

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def parameters(self, where: str) -> dict[str, Schema]:
        listed = self.described.get("parameters", [])
        return {p["name"]: p["schema"] for p in listed if p["in"] == where}

    def body(self, say: Say) -> tuple[str, Any] | None:
        """A media type and a valid body of it; `say` gives the text of a field by its name."""
        content = self.described.get("requestBody", {}).get("content", {})
        for media_type, described in content.items():
            return media_type, example(described["schema"], self.schema, say, "")
        return None

    @property
    def body_fields(self) -> Schema:
        """The fields of its JSON body by name, optional ones too."""
        content = self.described.get("requestBody", {}).get("content", {})
        part = content.get("application/json", {}).get("schema", {})
        for _ in range(3):
            part = part.get("anyOf", [part])[0] if "properties" not in part else part
            if "$ref" in part:
                name = part["$ref"].removeprefix("#/components/schemas/")
                part = self.schema["components"]["schemas"][name]
        return dict(part.get("properties", {}))

    @property
    def names_a_user(self) -> bool:
        """Whether a caller can say whom the call is for."""
        body = json.dumps(self.body(lambda name: f"<{name}>"))
        return "user_id" in self.parameters("query") or "<user_id>" in body or "<user>" in body


def operations(schema: Schema) -> Iterator[Operation]:
    """Every operation of an OpenAPI document."""
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described, schema)


def example(part: Schema, schema: Schema, say: Say, name: str) -> Any:
    """A value that a JSON schema allows; of optional fields only those that name somebody."""
    if "$ref" in part:
        target = part["$ref"].removeprefix("#/components/schemas/")
        return example(schema["components"]["schemas"][target], schema, say, name)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in part and "properties" not in part:
            return example(part[several][0], schema, say, name)
    if "const" in part or "enum" in part:
        choices = part.get("enum", [part.get("const")])
        return "user" if "user" in choices else choices[0]  # of roles, the one that asks
    if part.get("type") == "object":
        fields = part.get("properties", {})
        return {n: example(p, schema, say, n) for n, p in fields.items() if wanted(n, part)}
    if part.get("type") == "array":
        return [example(part.get("items", {}), schema, say, name)]
    least = int(part.get("minimum", 0))
    plain = {"integer": least, "number": least, "boolean": False}
    return plain.get(part.get("type", ""), say(name))


def wanted(name: str, part: dict[str, Any]) -> bool:
    needed = {*part.get("required", ()), *part.get("anyOf", [{}])[0].get("required", ())}
    return name in needed or name in ("user_id", "db_id", "user")


async def call(
    http: httpx2.AsyncClient,
    operation: Operation,
    path: dict[str, str],
    *,
    user: str | None = None,
    text: str = "안녕하세요",
    fields: Schema | None = None,
) -> httpx2.Response:
    """One call with valid values everywhere; `user` is named wherever a user can be, and `fields`
    go into a JSON body besides."""

    def say(name: str) -> Any:
        return {"user_id": user, "user": user, "db_id": "alices"}.get(name, text)

    query = {
        name: user if name == "user_id" else example(schema, operation.schema, say, name)
        for name, schema in operation.parameters("query").items()
        if (name == "user_id" and user) or schema.get("required")
    }
    described = operation.body(say)
    sent: dict[str, Any] = {}
    if described is not None:
        media_type, body = described
        if media_type == "application/json":
            sent["json"] = {**body, **(fields or {})} if isinstance(body, dict) else body
        else:
            sent["content"] = str(body).encode()
            sent["headers"] = {"Content-Type": media_type}
    return await http.request(
        operation.method, operation.path.format(**path).lstrip("/"), params=query, **sent
    )
