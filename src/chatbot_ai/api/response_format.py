"""`response_format` of a completion: free text, any JSON, or JSON after a schema."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from chatbot_ai.domain import limits
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.grammar_cost import check_schema


def _response_format(value: object) -> object:
    """None for text; else as the engine takes it."""
    match value:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema, **rest}}:
            _check(schema)
            name = rest.get("name")
            wanted: dict[str, Any] = {"schema": schema}
            wanted["name"] = name if isinstance(name, str) else "answer"
            if isinstance(strict := rest.get("strict"), bool):
                wanted["strict"] = strict
            return {"type": "json_schema", "json_schema": wanted}
        case _:
            raise PydanticCustomError("response_format", "no such response format")


def _check(schema: dict[str, Any]) -> None:
    """Raise where a schema is larger than the limits, costs too much or holds what is no JSON."""
    count = 0
    left: list[tuple[dict[Any, Any] | list[Any], int]] = [(schema, 1)]
    too_large = PydanticCustomError("schema_too_large", "too large", {"where": "schema"})
    while left:
        value, depth = left.pop()
        inner = value.values() if isinstance(value, dict) else value
        count += len(value)
        most = limits.SCHEMA_NAMES if isinstance(value, dict) else limits.SCHEMA_LIST
        if len(value) > most or count > limits.SCHEMA_VALUES or depth > limits.SCHEMA_DEPTH:
            raise too_large
        left += [(one, depth + 1) for one in inner if isinstance(one, dict | list)]
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (UnicodeEncodeError, ValueError):
        raise PydanticCustomError("response_format", "no valid JSON") from None
    if len(text) > limits.SCHEMA_CHARS:
        raise too_large
    try:
        check_schema(schema)
    except InvalidRequest as error:
        raise PydanticCustomError(error.reason, "too costly", error.params) from None


ResponseFormat = Annotated[
    dict[str, Any] | None,
    BeforeValidator(_response_format),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["type"],
                    "properties": {"type": {"enum": ["text", "json_object"]}},
                },
                {
                    "type": "object",
                    "required": ["type", "json_schema"],
                    "properties": {
                        "type": {"const": "json_schema"},
                        "json_schema": {
                            "type": "object",
                            "required": ["schema"],
                            "properties": {
                                "name": {"type": "string"},
                                "strict": {"type": "boolean"},
                                "schema": {"type": "object"},
                            },
                        },
                    },
                },
                {"type": "null"},
            ]
        }
    ),
]
