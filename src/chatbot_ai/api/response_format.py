"""`response_format` of a completion: free text, any JSON, or JSON after a schema."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

#: What one schema may hold. The engine turns it into a grammar, which takes the third power of an
#: object's optional properties and holds up everybody's answers meanwhile: measured 1.4 s for 250,
#: 20 s for 1,000, over a minute for 3,000, and 18 s for an enum of 1,000. Repetitions are not its
#: weakness: maxLength and maxItems of 20,000, nested ones and patterns of nested `{1,100}` took no
#: longer than a plain string, and `minLength` above 2,000 it refuses by itself.
MAX_NAMES = 128
MAX_LIST = 128
MAX_VALUES = 1024
MAX_DEPTH = 32
MAX_CHARS = 16_384


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
    """Raise where a schema is larger than the limits or holds what is no JSON."""
    count = 0
    left: list[tuple[dict[Any, Any] | list[Any], int]] = [(schema, 1)]
    while left:
        value, depth = left.pop()
        inner = value.values() if isinstance(value, dict) else value
        count += len(value)
        most = MAX_NAMES if isinstance(value, dict) else MAX_LIST
        if len(value) > most or count > MAX_VALUES or depth > MAX_DEPTH:
            raise PydanticCustomError("schema_too_large", "too large")
        left += [(one, depth + 1) for one in inner if isinstance(one, dict | list)]
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (UnicodeEncodeError, ValueError):
        raise PydanticCustomError("response_format", "no valid JSON") from None
    if len(text) > MAX_CHARS:
        raise PydanticCustomError("schema_too_large", "too large")


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
