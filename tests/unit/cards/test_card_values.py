"""CharacterCard: reading, editing and upgrading without losing anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatbot_ai.cards.backfill import NOTE, backfilled
from chatbot_ai.cards.card import CardAsset, CharacterCard
from chatbot_ai.cards.errors import CardError
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
    new = old.upgraded(now_s=1800000000)
    assert (new.version, new.raw["spec_version"]) == (3, "3.0")
    assert new.data["group_only_greetings"] == []
    assert new.creation_date == 1800000000
    kept = {key: item for key, item in old.data.items() if item is not None}
    kept.pop("character_book", None)
    assert kept.items() <= dict(new.data).items()
    assert new.upgraded() is new


def test_a_v1_card_that_gets_a_newer_field_becomes_v3() -> None:
    """Fields that V1 has no place for are not lost."""
    card = card_of(samples.v1()).with_changes(nickname="연이")
    assert (card.version, card.spoken_name, card.name) == (3, "연이", "서연")
    assert card_of(samples.v1()).with_changes(name="다른").version == 1


def test_the_v2_copy_has_no_decorators_and_says_so() -> None:
    """Decorators would be read aloud by an application that does not know them."""
    copy = backfilled(card_of(samples.risuai_v3()))
    assert copy.version == 2
    assert copy.character_book is not None
    assert copy.character_book.entries[0].content == "열쇠는 서연의 주머니에 있다."
    assert copy.creator_notes.endswith(NOTE)
    assert "assets" not in copy.data
    assert copy.data["futureField"] == samples.risuai_v3()["data"]["futureField"]
    v2 = card_of(samples.sillytavern_v2())
    assert backfilled(v2) is v2


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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "json_invalid"),
        ("[]", "not_a_character"),
        ("{}", "not_a_character"),
        ('{"name":"x"}', "not_a_character"),
        ('{"spec":"lorebook_v3","data":{"entries":[]}}', "not_a_character"),
        ('{"name":"x","first_mes":NaN}', "json_invalid"),
        ('{"name":"x","first_mes":1e999}', "json_invalid"),
        ('{"name":"x","first_mes":' + "9" * 5000 + "}", "json_invalid"),
        ('{"name":"x","first_mes":"\\ud800"}', "text_encoding"),
        ('{"name":"x","first_mes":"y","\\udfff":1}', "text_encoding"),
        ('{"name":"x","first_mes":"\ud800"}', "text_encoding"),
        ('{"name":"x","first_mes":"y","a":' + "[" * 100 + "]" * 100 + "}", "json_too_complex"),
        ('{"name":"x","first_mes":"y","a":' + "[" * 100_000, "json_too_complex"),
        ('{"name":"x","first_mes":"y","a":[' + "[]," * 300_000 + "0]}", "json_too_complex"),
        ('{"name":"x","first_mes":"' + "y" * (9 << 20) + '"}', "file_too_large"),
        ('{"name":true,"first_mes":""}', "field_type"),
        ('{"data":{"tags":[{}]}}', "field_type"),
        ('{"data":{"character_book":{"entries":[1]}}}', "field_type"),
        ('{"data":{"character_book":{"entries":[{"keys":5}]}}}', "field_type"),
        ('{"data":{"character_book":{"entries":[{"extensions":[]}]}}}', "field_type"),
        ('{"data":{"character_book":{"scan_depth":[]}}}', "field_type"),
        ('{"data":{"creation_date":"later"}}', "field_type"),
        ('{"data":{"assets":[{"uri":{}}]}}', "field_type"),
        ('{"data":{"creator_notes_multilingual":{"ko":[]}}}', "field_type"),
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


def test_too_large_a_lorebook_is_refused() -> None:
    """Entries, keys and patterns are counted before anything scans them."""
    books: tuple[list[dict[str, Any]], ...] = (
        [{"keys": []}] * 2_001,
        [{"keys": ["k"] * 10_001}],
        [{"keys": ["k"] * 501, "use_regex": True}],
    )
    for entries in books:
        value = samples.risuai_v3()
        value["data"]["character_book"] = {"entries": entries}
        with pytest.raises(CardError) as caught:
            card_of(value)
        assert caught.value.reason == "lorebook_too_large"


def test_a_new_card_is_a_whole_v3_card() -> None:
    """What a form creates can be read by every application."""
    card = CharacterCard.new("하나", now_s=1800000000, first_mes="안녕", tags=["새"])
    assert (card.version, card.name, card.first_mes, card.tags) == (3, "하나", "안녕", ("새",))
    assert card.creation_date == card.modification_date == 1800000000
    assert card.warnings() == ()
