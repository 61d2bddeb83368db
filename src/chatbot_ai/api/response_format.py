"""`response_format` of a completion: free text, any JSON, or JSON after a schema."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from chatbot_ai.domain import limits
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.grammar_cost import check_schema

#: Keywords that people read, and that neither cost the engine anything nor are sent to it.
ANNOTATIONS = {"title", "description", "examples", "default", "$comment"}
#: Keywords below which names are the caller's own, and those whose values are no schemas.
NAMING = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
VERBATIM = {"const", "enum", "required"}


def _too_large() -> PydanticCustomError:
    return PydanticCustomError("schema_too_large", "too large", {"where": "schema"})


def _no_json() -> PydanticCustomError:
    return PydanticCustomError("response_format", "no valid JSON")


def _response_format(value: object) -> object:
    """None for text; else as the engine takes it."""
    match value:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema, **rest}}:
            schema = _trim(schema)
            _check(schema)
            name = rest.get("name")
            wanted: dict[str, Any] = {"schema": schema}
            wanted["name"] = name if isinstance(name, str) else "answer"
            if isinstance(strict := rest.get("strict"), bool):
                wanted["strict"] = strict
            return {"type": "json_schema", "json_schema": wanted}
        case _:
            raise PydanticCustomError("response_format", "no such response format")


def _trim(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what only people read; raise where it is larger than the limits."""
    count = 0

    def copy(value: Any, depth: int, keyword: str) -> Any:
        nonlocal count
        if not isinstance(value, dict | list):
            return value
        if len(value) > limits.SCHEMA_LITERALS:
            raise _too_large()
        if isinstance(value, dict) and keyword not in NAMING and keyword not in VERBATIM:
            left_out = [value[name] for name in ANNOTATIONS if name in value]
            if any(isinstance(one, float) and not math.isfinite(one) for one in left_out):
                raise _no_json()
            value = {name: part for name, part in value.items() if name not in ANNOTATIONS}
        count += len(value)
        most = limits.SCHEMA_NAMES if isinstance(value, dict) else limits.SCHEMA_LIST
        if isinstance(value, list) and keyword in ("enum", "required"):
            most = limits.SCHEMA_LITERALS
        if len(value) > most or count > limits.SCHEMA_VALUES or depth > limits.SCHEMA_DEPTH:
            raise _too_large()
        if isinstance(value, list):
            inner = keyword if keyword in VERBATIM else ""
            return [copy(one, depth + 1, inner) for one in value]
        return {name: copy(part, depth + 1, _inside(keyword, name)) for name, part in value.items()}

    trimmed: dict[str, Any] = copy(schema, 1, "")
    return trimmed


def _inside(keyword: str, name: str) -> str:
    """The keyword by which a part is to be read that has this name in a part of that keyword."""
    if keyword in VERBATIM:
        return keyword
    return "" if keyword in NAMING else name


def _check(schema: dict[str, Any]) -> None:
    """Raise where a schema is too long, costs too much or holds what is no JSON."""
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (UnicodeEncodeError, ValueError):
        raise _no_json() from None
    if len(text) > limits.SCHEMA_CHARS:
        raise _too_large()
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
