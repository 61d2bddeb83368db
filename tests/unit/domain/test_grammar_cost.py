"""Schemas that would hold an engine are refused before it sees them; those of real use are not."""

from __future__ import annotations

import random
import re
import sys

import pytest
from pydantic import TypeAdapter

from chatbot_ai.api.response_format import ResponseFormat
from chatbot_ai.domain import pattern_cost
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.grammar_cost import check_schema
from support.hostile_schemas import (
    DEAR_TO_CHECK,
    HOSTILE,
    SENSIBLE,
    STRING,
    Schema,
    branch,
    pattern,
    random_schema,
    refer,
    thing,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused(name: str) -> None:
    """With the place in the schema that is to be changed."""
    with pytest.raises(InvalidRequest) as refused:
        check_schema(HOSTILE[name])
    assert refused.value.reason in ("schema_ambiguous", "schema_too_large")
    assert refused.value.params["where"]


@pytest.mark.parametrize("name", SENSIBLE)
def test_sensible_schemas_pass(name: str) -> None:
    """What people ask for is let through, as it is and by the interface."""
    check_schema(SENSIBLE[name])
    asked = {"type": "json_schema", "json_schema": {"schema": SENSIBLE[name]}}
    assert TypeAdapter(ResponseFormat).validate_python(asked)


def test_annotations_are_not_sent() -> None:
    """But what is named as they are is, and so are values of `enum` and `const`."""
    kept = thing(title={"enum": [{"title": "x"}]}, default={"const": {"description": "y"}})
    said = {"title": "T", "description": "d", "$defs": {"title": STRING}}
    described = kept | said | {"items": STRING | {"examples": [1] * 5000, "$comment": "c"}}
    asked = {"type": "json_schema", "json_schema": {"schema": described}}
    sent = TypeAdapter(ResponseFormat).validate_python(asked)
    assert sent is not None
    expected = kept | {"$defs": {"title": STRING}, "items": STRING}
    assert sent["json_schema"]["schema"] == expected


def test_the_place_is_named() -> None:
    """The pattern itself, behind all that is around it."""
    with pytest.raises(InvalidRequest) as refused:
        check_schema(thing(a={"type": "array", "items": pattern("^((x{0,99}){0,99})$")}))
    assert refused.value.params["where"] == "schema.properties.a.items[0].pattern"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("^(a{2,9}){8}$", False),
        ("^(a{9}){8}$", True),  # of one length: nothing to guess
        ("^(a{0,8}){0,8}$", True),
        ("^(a{0,9}){0,8}$", False),
        ("^(a|bb){0,20}$", True),
        ("^(a|bb){0,30}$", False),
        ("^[(a{0,99}){0,99}]$", True),  # a class of characters
        (r"^(\(a{0,99}\)){2}$", True),  # no groups inside
        ("^a{0,5000}$", True),
        ("^[a-z]{1,63}[.][a-z]{1,63}$", False),  # a class of one might be anything
        (r"^[a-z]{1,63}\.[a-z]{1,63}$", True),
        ("^([a-z]{1,20} ){1,99}$", True),
        ("^([a-z ]{1,20} ){1,99}$", False),
        (r"^\d{1,99}-\d{1,99}-\d{1,99}$", True),
        (r"^(\d{1,99}-){0,9}\d{1,99}$", False),
        ("^.{0,99}-.{0,99}$", False),
        (r"^(.{1,80}\.){1,9}$", False),  # the end may stand inside
        (r"^([a-z]{1,80}\.)*[a-z.]{1,80}$", False),
        ("^(a", True),  # not well-formed: the engine refuses it at once
        (")){1}|{", True),
    ],
)
def test_patterns(text: str, fits: bool) -> None:
    """Repetitions are multiplied where the inner text has no certain length."""
    try:
        check_schema(pattern(text))
    except InvalidRequest:
        assert not fits
    else:
        assert fits


def test_alternatives_are_told_apart_by_their_first_required_property() -> None:
    """Objects that begin alike are followed side by side; a constant ends that."""
    check_schema(branch(levels=5))
    with pytest.raises(InvalidRequest):
        check_schema(branch(levels=7))
    recursive = [thing(kind={"const": n}, inner=refer("a")) for n in range(9)]
    check_schema({"$defs": {"a": {"anyOf": [*recursive, STRING]}}, "$ref": "#/$defs/a"})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": []},
        {"type": 5, "properties": [1], "required": 5},
        {"anyOf": {"a": 1}, "allOf": [5], "items": 5},
        {"$ref": 5},
        {"$ref": "#/nowhere/0"},
        {"$ref": "https://example.com/x"},
        {"enum": "abc", "pattern": 5, "minItems": "x", "maxLength": True},
        {"prefixItems": [], "anyOf": []},
    ],
)
def test_what_is_no_schema_is_left_to_the_engine(schema: dict[str, object]) -> None:
    """It says what is wrong with it."""
    check_schema(schema)


def test_any_schema_is_passed_or_refused() -> None:
    """Nothing else happens, whatever is nested in what."""
    draw = random.Random(20261128)
    refused = 0
    for _ in range(300):
        try:
            check_schema(random_schema(draw))
        except InvalidRequest:
            refused += 1
    assert 30 < refused < 270


def count_calls(schema: Schema) -> int:
    """How many functions the check calls, with nothing of an earlier one kept."""
    pattern_cost._compile.cache_clear()
    pattern_cost._read_sign.cache_clear()
    re.purge()
    calls = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        check_schema(schema)
    except InvalidRequest:
        pass
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("name", DEAR_TO_CHECK)
def test_the_check_itself_is_cheap(name: str) -> None:
    """It runs on the event loop: 200,000 calls take some 40 ms, whatever the schema is."""
    assert count_calls(DEAR_TO_CHECK[name]) < 200_000


def test_patterns_have_a_length_together() -> None:
    """Each counts once, however often it is named."""
    check_schema(thing(**{f"p{n}": pattern("a" * 1000) for n in range(9)}))
    for schema in (
        pattern("a" * 1001),
        thing(**{f"p{n}": pattern(f"{n}{'a' * 500}") for n in range(9)}),
    ):
        with pytest.raises(InvalidRequest) as refused:
            check_schema(schema)
        assert refused.value.reason == "schema_too_large"
