"""CharacterCard: reading, editing and upgrading without losing anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatbot_ai.cards.card import CardAsset, CharacterCard
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.png import NOTE, backfill_card
from support import card_samples as samples

ALL = [samples.v1(), samples.sillytavern_v2(), samples.risuai_v3(), samples.chub_v2()]


def card_of(value: Any) -> CharacterCard:
    return CharacterCard.from_text(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("value", ALL)
def test_the_text_of_an_unedited_card_is_what_was_read(value: dict[str, Any]) -> None:
    """Odd spacing, number spellings and escapes come back as they came."""
    text = json.dumps(value, indent=3).replace("1000.0", "1.0E+3")
    card = CharacterCard.from_text(text)
    assert card.text == text
    assert card.with_changes(name=card.name) is card


def test_every_field_of_a_v3_card_can_be_read() -> None:
    """The accessors give the card's own values with their types."""
    card = card_of(samples.risuai_v3())
    assert (card.version, card.name, card.nickname, card.spoken_name) == (3, "서연", "연이", "연이")
    assert card.greetings == (samples.v1()["first_mes"], "둘째 인사", "셋째 인사")
    assert card.group_only_greetings == ("모두 안녕",)
    assert card.creator_notes_in("ko") == "한국어 노트"
    assert card.creator_notes_in("ja") == "notes"
    assert card.source == ("risuai:1234",)
    assert (card.creation_date, card.modification_date) == (1720000000, 1721000000)
    assert card.assets[1] == CardAsset(
        "emotion", "embeded://assets/emotion/images/joy.webp", "joy", "webp"
    )
    assert card.character_book is not None
    assert (card.character_book.scan_depth, card.character_book.token_budget) == (5, 500)
    assert card.extensions["risuai"]["viewScreen"] == "none"
    assert card.warnings() == ()


def test_null_and_numbers_stand_in_for_text_and_lists() -> None:
    """A gallery's null list is empty and its numeric version is text."""
    card = card_of(samples.chub_v2())
    assert card.alternate_greetings == ()
    assert card.character_version == "1.5"
    assert card.character_book is None
    assert card.assets == (CardAsset("icon", "ccdefault:", "main", "png"),)


def test_editing_one_field_keeps_all_others_and_their_order() -> None:
    """Unknown fields, nulls and key order survive; V1 copies beside data follow the edit."""
    before = samples.sillytavern_v2()
    before["data"]["unknown"] = None
    after = json.loads(card_of(before).with_changes(description="새 설명").text)
    expected = json.loads(json.dumps(before))
    expected["data"]["description"] = expected["description"] = "새 설명"
    assert after == expected
    assert list(after["data"]) == list(before["data"])
    assert list(after) == list(before)


def test_an_edit_can_remove_a_field_and_notes_its_time() -> None:
    """None removes; the modification date is that of the edit."""
    card = card_of(samples.risuai_v3()).with_changes(now_s=1800000000, nickname=None)
    assert "nickname" not in card.data
    assert card.modification_date == 1800000000
    assert card.creation_date == 1720000000


@pytest.mark.parametrize(
    "change",
    [{"name": ["x"]}, {"tags": {"a": 1}}, {"extensions": "x"}, {"first_mes": "\ud800"}],
)
def test_an_edit_of_the_wrong_type_is_refused(change: dict[str, Any]) -> None:
    """What could not be read back is never made."""
    with pytest.raises(CardError):
        card_of(samples.risuai_v3()).with_changes(**change)


@pytest.mark.parametrize("value", [samples.v1(), samples.sillytavern_v2(), samples.chub_v2()])
def test_an_upgraded_card_has_all_that_v3_demands(value: dict[str, Any]) -> None:
    """The mandatory fields appear, nothing that was there changes."""
    old = card_of(value)
    new = old.upgrade(now_s=1800000000)
    assert (new.version, new.raw["spec_version"]) == (3, "3.0")
    assert new.data["group_only_greetings"] == []
    assert new.creation_date == 1800000000
    kept = {key: item for key, item in old.data.items() if item is not None}
    kept.pop("character_book", None)
    assert kept.items() <= dict(new.data).items()
    assert new.upgrade() is new


def test_a_v1_card_that_gets_a_newer_field_becomes_v3() -> None:
    """Fields that V1 has no place for are not lost."""
    card = card_of(samples.v1()).with_changes(nickname="연이")
    assert (card.version, card.spoken_name, card.name) == (3, "연이", "서연")
    assert card_of(samples.v1()).with_changes(name="다른").version == 1


def test_the_v2_copy_has_no_decorators_and_says_so() -> None:
    """Decorators would be read aloud by an application that does not know them."""
    copy = backfill_card(card_of(samples.risuai_v3()))
    assert copy.version == 2
    assert copy.character_book is not None
    assert copy.character_book.entries[0].content == "열쇠는 서연의 주머니에 있다."
    assert copy.creator_notes.endswith(NOTE)
    assert "assets" not in copy.data
    assert copy.data["futureField"] == samples.risuai_v3()["data"]["futureField"]
    v2 = card_of(samples.sillytavern_v2())
    assert backfill_card(v2) is v2


@pytest.mark.parametrize(
    ("spec", "version", "notices"),
    [
        ("chara_card_v3", "3.1", ["spec_newer"]),
        ("chara_card_v4", "4", ["spec_newer"]),
        ("chara_card_v3", "3.0", []),
        ("chara_card_v3", "nonsense", ["spec_unclear"]),
        ("chara_card_v3", {"a": 1}, ["spec_unclear"]),
        (None, "2.0", ["spec_unclear"]),
        (["chara_card_v3"], "2.0", ["spec_unclear"]),
        ("something", "1", ["spec_unclear"]),
    ],
)
def test_a_newer_or_odd_spec_is_told_but_not_refused(
    spec: object, version: object, notices: list[str]
) -> None:
    """No spec_version keeps a card out."""
    value = samples.risuai_v3() | {"spec": spec, "spec_version": version}
    assert [warning.notice for warning in card_of(value).warnings()] == notices


#: A line of a chat, as SillyTavern writes them.
MES = '{"name":"x","is_user":true,"mes":"hi"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "json_invalid"),
        ("[]", "not_a_character"),
        ("{}", "not_a_character"),
        ('{"name":"x"}', "not_a_character"),
        ('{"user_name":"a","character_name":"b"}', "not_a_card_but_a_chat"),
        (
            '{"chat_metadata":{},"user_name":"a","character_name":"b"}\n' + MES,
            "not_a_card_but_a_chat",
        ),
        (MES + "\r\n" + MES, "not_a_card_but_a_chat"),
        ("[" + MES + "]", "not_a_card_but_a_chat"),
        ('[{"role":"user","content":"x"},{}]', "not_a_card_but_a_chat"),
        ('{"messages":[{"role":"user","content":"x"}]}', "not_a_card_but_a_chat"),
        ('{"messages":[5]}\n5', "json_invalid"),
        ('{"name":"x","first_mes":' + "9" * 5000 + "}", "not_a_character"),
        ('{"name":"x","first_mes":"y","a":' + "[" * 100 + "]" * 100 + "}", "json_too_complex"),
        ('{"name":"x","first_mes":"y","a":' + "[" * 100_000, "json_too_complex"),
        ('{"name":"x","first_mes":"y","a":[' + "[]," * 300_000 + "0]}", "json_too_complex"),
        ('{"name":"x","first_mes":"' + "y" * (9 << 20) + '"}', "file_too_large"),
    ],
)
def test_nonsense_is_refused_with_its_reason(text: str, reason: str) -> None:
    """Hostile JSON meets a typed refusal."""
    with pytest.raises(CardError) as caught:
        CharacterCard.from_text(text)
    assert caught.value.reason == reason


def test_surrogate_pairs_are_letters_like_any_other() -> None:
    """An emoji written as two escapes is no lone surrogate."""
    card = CharacterCard.from_text('{"name":"\\ud83d\\ude00","first_mes":""}')
    assert card.name == "😀"


ODD_FIELDS = [
    ({"name": True}, "name", "서연", "서연"),
    ({"description": False}, "description", "", None),
    ({"first_mes": ["안녕.", "둘째 줄"]}, "first_mes", "안녕.\n둘째 줄", None),
    ({"first_mes": 5}, "first_mes", "5", ""),
    ({"creator": {"name": "kim"}}, "creator", "", None),
    ({"alternate_greetings": "안녕, 친구?"}, "alternate_greetings", ("안녕, 친구?",), ""),
    ({"alternate_greetings": [None, "둘째"]}, "alternate_greetings", ("둘째",), None),
    ({"alternate_greetings": {}}, "alternate_greetings", (), None),
    ({"tags": "a, b"}, "tags", ("a", "b"), ""),
    ({"tags": [{}, "b"]}, "tags", ("b",), None),
    ({"source": "https://example.org/a,b"}, "source", ("https://example.org/a,b",), ""),
    ({"extensions": []}, "extensions", {}, ""),
    ({"extensions": [1]}, "extensions", {}, None),
    ({"creation_date": "2024-01-31T10:00:00Z"}, "creation_date", 1706695200, ""),
    ({"creation_date": "later"}, "creation_date", 0, None),
    ({"character_book": ""}, "character_book", None, ""),
    ({"character_book": 5}, "character_book", None, None),
]


@pytest.mark.parametrize(("change", "name", "expected", "noted"), ODD_FIELDS)
def test_a_field_of_the_wrong_type_is_read_as_near_as_possible(
    change: dict[str, Any], name: str, expected: object, noted: str | None
) -> None:
    """The card is read, the reader told which field was odd, and an export has it as it came.

    noted None: the field is named in a warning; else what the card beside it is called, or "".
    """
    value = samples.risuai_v3() | {"name": "서연"}
    value["data"] |= change
    card = card_of(value)
    assert getattr(card, name) == expected
    named = [w.params["names"] for w in card.warnings() if w.notice == "fields_odd"]
    assert named == ([] if noted == "" else [name])
    assert json.loads(card.text)["data"] == value["data"]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (None, "entries"),
        ({"keys": 5}, "keys"),
        ({"keys": ["lamp", None, ""]}, "keys"),
        ({"insertion_order": "high"}, "insertion_order"),
        ({"extensions": [1]}, "extensions"),
        ({"constant": "perhaps"}, "constant"),
    ],
)
def test_an_odd_lore_entry_is_read_as_near_as_possible(entry: object, name: str) -> None:
    """An entry of the wrong shape costs itself at the most."""
    value = samples.risuai_v3()
    good = {"keys": ["등대"], "content": "높다", "constant": "", "case_sensitive": ""}
    value["data"]["character_book"] = {"entries": [good, entry], "extensions": []}
    card = card_of(value)
    assert card.character_book
    assert card.character_book.entries[0].keys == ("등대",)
    assert [w.params["names"] for w in card.warnings()] == [name]


@pytest.mark.parametrize(
    ("text", "first_mes"),
    [
        ('{"name":"x","first_mes":NaN}', ""),
        ('{"name":"x","first_mes":1e999}', ""),
        ('{"name":"x","first_mes":"\\ud800y"}', "\ufffdy"),
        ('{"name":"x","first_mes":"\ud800y"}', "\ufffdy"),
        ('{"name":"x","first_mes":"a\n\tb"}', "a\n\tb"),
        ('{"name":"x","first_mes":"a, ]",}', "a, ]"),
        ('{"name":"x","first_mes":"a","tags":["b",],}\0\0', "a"),
        ('{"name":"x","first_mes":"a","tags":["b"],"creator', "a"),
    ],
)
def test_what_tools_get_wrong_in_json_is_repaired(text: str, first_mes: str) -> None:
    """The text that is kept is JSON again, and the reader is told."""
    card = CharacterCard.from_text(text)
    assert card.first_mes == first_mes
    assert "json_repaired" in [warning.notice for warning in card.warnings()]
    assert json.loads(card.text)["name"] == "x"


def test_repairing_takes_no_longer_than_reading() -> None:
    """Nothing that a stranger sends makes a repair slow: each of these is several megabytes."""
    for part in ('\\"', ",", '"', "[", "{", ', "a":[', "\\"):
        with pytest.raises(CardError):
            CharacterCard.from_text('{"' + part * (4_000_000 // len(part)))


@pytest.mark.parametrize(
    "value",
    [
        [samples.v1()],
        {"char_name": "서연", "char_persona": "사서", "char_greeting": "안녕", "x": 1},
        {"name": "서연", "context": "사서", "greeting": "안녕", "x": 1},
    ],
)
def test_the_forms_of_other_applications_are_read(value: Any) -> None:
    """A list of one card, Pygmalion and text-generation-webui; what is unknown stays."""
    card = card_of(value)
    assert (card.name, bool(card.description), bool(card.first_mes)) == ("서연", True, True)
    assert not isinstance(value, dict) or json.loads(card.text)["x"] == 1


def test_a_lorebook_that_comes_alone_makes_a_character() -> None:
    """World info and V3's own form; the character has the book's name."""
    entries = {"0": {"uid": 0, "key": ["등대"], "content": "높다", "disable": False, "order": 3}}
    for value in (
        {"entries": entries, "name": "바다"},
        {"spec": "lorebook_v3", "data": {"name": "바다", "entries": list(entries.values())}},
    ):
        card = card_of(value)
        assert card.name == "바다"
        assert card.character_book
        assert card.character_book.entries[0].keys == ("등대",)
        assert "lorebook_alone" in [warning.notice for warning in card.warnings()]


def test_of_too_large_a_lorebook_what_fits_is_kept() -> None:
    """Entries, keys and patterns are counted before anything scans them; an export has all."""
    entry = {"keys": ["k"], "content": "c"}
    for entries, kept in (
        ([entry] * 2_001, 2_000),
        ([entry, {"keys": ["k"] * 10_001}], 1),
        ([entry, {"keys": ["/k/"] * 501}], 1),
        ([entry, {"keys": ["k"] * 501, "use_regex": True}], 2),
    ):
        value = samples.risuai_v3()
        value["data"]["character_book"] = {"entries": entries}
        card = card_of(value)
        assert card.character_book
        assert len(card.character_book.entries) == kept
        left = [w.params["entries"] for w in card.warnings() if w.notice == "lore_left_out"]
        assert left == ([] if kept == len(entries) else [len(entries) - kept])
        assert json.loads(card.text) == value


def test_a_new_card_is_a_whole_v3_card() -> None:
    """What a form creates can be read by every application."""
    card = CharacterCard.new("하나", now_s=1800000000, first_mes="안녕", tags=["새"])
    assert (card.version, card.name, card.first_mes, card.tags) == (3, "하나", "안녕", ("새",))
    assert card.creation_date == card.modification_date == 1800000000
    assert card.warnings() == ()
