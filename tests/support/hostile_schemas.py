"""JSON schemas that are small to send and may be dear to follow, for tests and for bench/."""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}


def pattern(text: str) -> Schema:
    return {"type": "string", "pattern": text}


def thing(**properties: Any) -> Schema:
    """An object that must have these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def nest_types(levels: int, types: int) -> Schema:
    """Objects in objects, each named so many times as its own type."""
    schema = STRING
    for _ in range(levels):
        schema = thing(a=schema) | {"type": ["object"] * types}
    return schema


def branch(levels: int) -> Schema:
    """Two alternatives that begin alike, in each of which are two more, by references."""
    parts = {f"n{n}": {"anyOf": [thing(x=refer(f"n{n + 1}"))] * 2} for n in range(levels)}
    return {"$defs": parts | {f"n{levels}": STRING}, "$ref": "#/$defs/n0"}


def refer(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


#: Schemas that hold a llama.cpp server for longer than anybody waits, or end it, and others of the
#: same kinds.
HOSTILE: dict[str, Schema] = {
    "nested repetitions": pattern("^(((a{0,1000}){0,1000}){0,1000}){0,1000}$"),
    "two nested repetitions": pattern("^(a{0,100}){0,100}$"),
    "repeated alternatives": pattern(f"^({'|'.join(['a', 'aa'] * 50)}){{1,100}}$"),
    "equal alternatives": pattern(f"^({'|'.join(['a'] * 1000)}){{1,100}}$"),
    "optional parts": pattern("^((b?)(a?)){0,1999}$"),
    "optional characters": pattern("^(.?){1999}$"),
    "anything many times": pattern(f"^{'.*' * 200}$"),
    "nested unlimited": pattern("^(.*){0,100}$"),
    "groups without capture": pattern("^(?:(?:a{0,200}){0,200}){0,200}$"),
    "classes": pattern(r"^(([\w-]{1,50}){1,50})+$"),
    "a pattern in an item": {"type": "array", "items": pattern("^((a{0,99}){0,99}){0,99}$")},
    "a pattern behind a reference": {
        "$defs": {"a": pattern("^((a{0,99}){0,99}){0,99}$")},
        "properties": {"x": refer("a")},
    },
    "a pattern in a tuple": {"prefixItems": [pattern("^((a{0,99}){0,99}){0,99}$")]},
    "a pattern of further properties": {
        "type": "object",
        "additionalProperties": pattern("^((a{0,99}){0,99}){0,99}$"),
    },
    "lists of types": nest_types(levels=8, types=6),
    "branches": branch(levels=25),
    "a branching recursion": {
        "$defs": {"a": {"anyOf": [thing(x=refer("a"))] * 2}},
        "$ref": "#/$defs/a",
    },
    "a circle of references": {"$defs": {"a": refer("a")}, "allOf": [refer("a")]},
    "two references in a circle": {
        "$defs": {"a": refer("b"), "b": refer("a")},
        "allOf": [refer("a")],
    },
    "a long name": {"type": "object", "properties": {"가" * 16_000: STRING}},
    "long names in each other": thing(**{"가" * 900: thing(**{"나" * 900: STRING})}),
    "many repetitions": thing(**{f"p{n}": {"maxItems": 1999, "items": STRING} for n in range(100)}),
    "many optional properties": thing(
        **{
            f"q{n}": {"type": "object", "properties": {f"p{m}": STRING for m in range(120)}}
            for n in range(8)
        }
    ),
}

_CLASSES = [
    f"[^{letter}{n}]*{letter}" for n in range(40) for letter in "abcdefghijklmnopqrstuvwxyz"
]
_WIDE = thing(**{f"p{n}": {"enum": [f"{m}" for m in range(8)]} for n in range(100)})
HOSTILE["numbers with a point"] = thing(
    **{f"p{n}": {"type": "string", "maxLength": 1999.0} for n in range(100)}
)
HOSTILE["constants alike"] = {"anyOf": [{"const": f"the same start {n}"} for n in range(900)]}
#: Schemas that were made to be dear for the check itself; some of them are harmless to the engine.
DEAR_TO_CHECK: dict[str, Schema] = {
    "a long pattern of many types": {"type": ["string"] * 100, "pattern": "".join(_CLASSES)},
    "a pattern of many types": {"type": ["string"] * 100, "pattern": "".join(_CLASSES[:120])},
    "a long literal": pattern("a" * 8000),
    "a literal in a recursion": {
        "$defs": {"a": {"anyOf": [pattern("a" * 1000), thing(inner=refer("a"))]}},
        "$ref": "#/$defs/a",
    },
    "many patterns": thing(**{f"p{n}": pattern(f"^{n}{'a' * 900}$") for n in range(17)}),
    "many classes": thing(
        **{
            name: pattern("".join(f"[{chr(first + n)}]*b" for n in range(199)))
            for name, first in (("a", 0xAC00), ("b", 0xBC00), ("c", 0xCC00))
        }
    ),
    "alternatives alike": {"$defs": {"w": _WIDE}, "anyOf": [refer("w")] * 128},
    "many alternatives alike": {
        "$defs": {"w": _WIDE},
        "anyOf": [{"anyOf": [refer("w")] * 128}] * 7,
    },
    "required of many types": {"type": ["object"] * 900, "required": ["a"] * 900, "properties": {}},
    "many recursions": {
        "$defs": {"a": {"properties": {f"p{n}": refer("a") for n in range(120)}}},
        "anyOf": [{"properties": {f"p{n}": refer("a") for n in range(120)}}] * 7,
    },
}

#: What people really ask for; none of it may be refused.
SENSIBLE: dict[str, Schema] = {
    "a date and time": pattern(
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$"
    ),
    "an e-mail address": pattern(r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$"),
    "a telephone number": pattern(r"^(\+\d{1,3}[- ]?)?\(?\d{2,3}\)?[- ]?\d{3,4}[- ]?\d{4}$"),
    "an address of IPv4": pattern(r"^(\d{1,3}\.){3}\d{1,3}$"),
    "a long text in Hangul": pattern("^[가-힣 ]{1,2000}$"),
    "one of some letters": pattern("^(a|b|c){1,100}$"),
    "one of some words": pattern("^(red|green|blue|yellow)$"),
    "a version": pattern(r"^[0-9]+(\.[0-9]+){0,3}$"),
    "words": pattern("^[a-z]+(-[a-z]+)*$"),
    "a text of 2,000": {"type": "string", "maxLength": 2000},
    "20 numbers": {"type": "array", "items": {"type": "number"}, "maxItems": 20},
    "optional values": {
        "type": "object",
        "properties": {f"p{n}": {"anyOf": [STRING, {"type": "null"}]} for n in range(60)},
    },
    "an expression": {
        "$defs": {
            "e": {
                "anyOf": [
                    thing(kind={"const": "number"}, value={"type": "number"}),
                    thing(kind={"const": "sum"}, left=refer("e"), right=refer("e")),
                    thing(kind={"const": "product"}, left=refer("e"), right=refer("e")),
                ]
            }
        },
        "$ref": "#/$defs/e",
    },
    "a tree": {
        "$defs": {
            "node": thing(name=STRING, children={"type": "array", "items": refer("node")}),
        },
        "$ref": "#/$defs/node",
    },
    "any JSON": {
        "$defs": {
            "v": {
                "anyOf": [
                    STRING,
                    {"type": "number"},
                    {"type": "boolean"},
                    {"type": "null"},
                    {"type": "array", "items": refer("v")},
                    {"type": "object", "additionalProperties": refer("v")},
                ]
            }
        },
        "$ref": "#/$defs/v",
    },
    "one of 100 names": {"enum": [f"name {n}" for n in range(100)]},
    "one of 249 countries": {
        "enum": [f"{chr(65 + n % 26)}{chr(65 + n // 26)}" for n in range(249)]
    },
    "one of 1,000 words": {"enum": [chr(0xAC00 + n * 11) * 3 for n in range(1000)]},
    "70 literals": {"anyOf": [{"type": "string", "const": f"{n} a"} for n in range(70)]},
    "70 literals or null": {
        "oneOf": [*({"const": f"{n} a"} for n in range(70)), {"type": "null"}],
    },
    "60 described fields": thing(
        **{f"p{n}": STRING | {"description": "설명이 긴 칸입니다. " * 25} for n in range(60)}
    ),
    "120 fields of pydantic": {
        "title": "Form",
        "type": "object",
        "properties": {
            f"p{n}": {"anyOf": [STRING, {"type": "null"}], "default": None, "title": f"P {n}"}
            for n in range(120)
        },
        "required": [f"p{n}" for n in range(120)],
    },
    "10 parts of 20 fields": {
        "$defs": {
            f"d{m}": thing(**{f"p{n}": STRING | {"title": f"P {n}"} for n in range(20)})
            for m in range(10)
        },
        **thing(**{f"d{m}": refer(f"d{m}") for m in range(10)}),
    },
    "fields named as annotations": thing(title=STRING, description=STRING, default=STRING),
    "groups without capture": pattern("^(?:ab|cd){0,40}$"),
    "a host name": pattern(
        r"^(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])\.)*"
        r"([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]{0,61}[A-Za-z0-9])$"
    ),
    "a domain": pattern(r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}$"),
    "a list of lines": pattern("^(- .{1,80}\n){1,10}$"),
    "a list of escaped lines": pattern(r"^(- .{1,80}\n){1,10}$"),
}


def random_pattern(draw: random.Random, depth: int = 4) -> str:
    """A pattern of nested groups, alternatives and repetitions."""
    text = ""
    for _ in range(draw.randint(1, 3)):
        part = draw.choice(("a", "b", ".", "[a-z]", r"\d", "aa"))
        if depth and draw.random() < 0.7:
            part = f"({random_pattern(draw, depth - 1)})"
        text += part + draw.choice(("", "?", "*", "+", "{0,9}", "{0,1000}", "{2}", "{3,}", "|a"))
    return text


def random_schema(draw: random.Random, depth: int = 3) -> Schema:
    """A schema of nested patterns, alternatives, lists and objects; some are harmless."""
    few = draw.randint(1, 4)
    if not depth or draw.random() < 0.4:
        return draw.choice(
            (
                pattern(f"^{random_pattern(draw)}$"),
                {"type": "string", "minLength": few, "maxLength": draw.randrange(3000)},
                {"enum": [f"{'v' * draw.randrange(9)}{n}" for n in range(draw.randint(1, 120))]},
            )
        )
    parts = [random_schema(draw, depth - 1) for _ in range(few)]
    named = {f"p{n}" * draw.randint(1, 9): part for n, part in enumerate(parts)}
    return draw.choice(
        (
            {draw.choice(("anyOf", "oneOf")): parts * draw.randint(1, 3)},
            {"type": "array", "items": parts[0], "maxItems": draw.randrange(2000)},
            {"type": "object", "properties": named},
            thing(**named) | {"type": ["object"] * few},
        )
    )
