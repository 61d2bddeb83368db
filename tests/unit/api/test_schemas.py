"""Request bodies: what is taken, what is refused, and how text is cleaned."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from chatbot_ai.api.schemas import CharacterRequest, OfficeRequest, parse_stripped_text

CHARACTER = {"character_name": "레이첼", "greeting": "안녕", "context": "밝다"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def problems(body: dict[str, object], cls: type[BaseModel] = OfficeRequest) -> dict[str, str]:
    """The type of each field's error."""
    with pytest.raises(ValidationError) as caught:
        cls.model_validate(body)
    return {str(e["loc"][0]): e["type"] for e in caught.value.errors()}


def test_the_least_that_is_needed() -> None:
    """One field is enough for office, four for a character; unknown ones are passed over."""
    office = OfficeRequest.model_validate({"input_data": "안녕", "temperature": 3, "x": None})
    assert (office.google_access, office.db_id, office.user_id) == (False, None, None)
    assert not hasattr(office, "temperature")
    valid = CharacterRequest.model_validate({"input_data": "안녕", **CHARACTER})
    assert valid.character is not None
    assert valid.character.name
    assert set(problems({}, CharacterRequest)) == {"input_data", *CHARACTER}


@pytest.mark.parametrize("length", [1, 500])
def test_lengths_that_fit(length: int) -> None:
    """1 to 500 characters, counted as a reader sees them."""
    assert OfficeRequest(input_data="가" * length)
    decomposed = unicodedata.normalize("NFD", "각" * length)
    assert OfficeRequest(input_data=decomposed).input_data == "각" * length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "too_short"),
        ("   \n\t ", "too_short"),
        ("\x00\x07", "too_short"),
        ("가" * 501, "too_long"),
        ("한글 \ud83d", "surrogate"),
        (5, "string_type"),
        (None, "string_type"),
        (["안녕"], "string_type"),
        (b"x", "string_type"),
    ],
)
def test_inputs_that_are_refused(text: object, expected: str) -> None:
    """Empty, too long, half a character, no string."""
    found = problems({"input_data": text})
    assert found["input_data"] == expected


@pytest.mark.parametrize(
    "value", ["a", "0", "A-b_c", "x" * 64, "05616620-406c-41ea-8959-48ba1bd45ec5", "test-uuid"]
)
def test_ids_that_fit(value: str) -> None:
    """A UUID or a slug of up to 64 characters."""
    assert OfficeRequest(input_data="x", db_id=value).db_id == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-a",
        "_a",
        "x" * 65,
        "a b",
        "a/b",
        "../x",
        "가",
        "a\n",
        "a\x00",
        "\ud800",
        5,
        1.5,
        [],
        {},
    ],
)
def test_ids_that_are_refused(value: object) -> None:
    """Anything else, numbers too."""
    assert "db_id" in problems({"input_data": "x", "db_id": value})


@pytest.mark.parametrize("value", ["", " ", "u" * 51, 5, ["u"], "\udfff", "\x01"])
def test_users_that_are_refused(value: object) -> None:
    """A user id has 1 to 50 characters."""
    assert "user_id" in problems({"input_data": "x", "user_id": value})


def test_ids_may_be_null() -> None:
    """Clients that send null mean none."""
    made = OfficeRequest.model_validate({"input_data": "x", "db_id": None, "user_id": None})
    assert (made.db_id, made.user_id) == (None, None)
    assert OfficeRequest(input_data="x", user_id="u" * 50).user_id


@pytest.mark.parametrize("value", ["true", 1, 0, None, "yes", []])
def test_a_search_wish_is_a_boolean(value: object) -> None:
    """Nothing is guessed from other types."""
    assert "google_access" in problems({"input_data": "x", "google_access": value})


@pytest.mark.parametrize("name", CHARACTER)
@pytest.mark.parametrize("value", ["", " ", None, 5])
def test_a_characters_fields_are_not_empty(name: str, value: object) -> None:
    """Name, greeting and context are non-empty strings."""
    assert name in problems({"input_data": "x", **CHARACTER, name: value}, CharacterRequest)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  안녕 \n", "안녕"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00b\x1bc\x85d", "abcd"),
        ("탭\t유지", "탭\t유지"),
        (unicodedata.normalize("NFD", "한글"), "한글"),
        ("👩‍👩‍👧\u200d", "👩‍👩‍👧\u200d"),
    ],
)
def test_cleaning(raw: str, expected: str) -> None:
    """Composed, without control characters and outer space; joiners of emoji stay."""
    assert parse_stripped_text(raw) == expected


@given(st.text())
def test_cleaning_settles(raw: str) -> None:
    """Cleaned text is NFC, holds no control character, and is not changed by cleaning again."""
    cleaned = parse_stripped_text(raw)
    assert isinstance(cleaned, str)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert parse_stripped_text(cleaned) == cleaned


@given(st.dictionaries(st.sampled_from([*CHARACTER, "input_data", "db_id", "user_id", "x"]), JSON))
def test_any_json_is_taken_or_refused(body: dict[str, object]) -> None:
    """Whatever JSON a body holds, it is valid or a ValidationError, and valid text is encodable."""
    for cls in (OfficeRequest, CharacterRequest):
        try:
            made = cls.model_validate(json.loads(json.dumps(body)))
        except ValidationError:
            continue
        made.input_data.encode()
        assert 1 <= len(made.input_data) <= 500
