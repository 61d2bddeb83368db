"""What of a card goes into a character request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatbot_ai.cards import CardError, CharacterCard, to_request_fields
from chatbot_ai.cards.prompt import detect_language, example_blocks
from support import card_samples as samples


def card_of(value: Any) -> CharacterCard:
    return CharacterCard.from_text(json.dumps(value, ensure_ascii=False))


def test_a_korean_card_becomes_a_korean_request() -> None:
    """All that describes the character, in order, names and particles settled."""
    name, greeting, context = to_request_fields(card_of(samples.v1()), "민수")
    assert name == "서연"
    assert greeting == "*고개를 든다* 어서 오세요, 민수님."
    parts = [
        "서연은 도서관 사서이다",
        "성격:\n차분",
        "상황:\n비 오는 날, 민수가",
        "대화 예시:\n민수: 안녕\n서연: 안녕하세요.\n\n민수: 책?",
    ]
    places = [context.index(part) for part in parts]
    assert places == sorted(places)
    assert "<START>" not in context
    assert "{{" not in context


def test_notes_tags_and_authors_never_reach_the_prompt() -> None:
    """They are for the reader of the card."""
    value = samples.sillytavern_v2()
    hidden = ("creator_notes", "tags", "creator", "character_version")
    value["data"] |= dict.fromkeys(hidden, "SECRET")
    value["data"]["creator_notes_multilingual"] = {"ko": "SECRET"}
    assert "SECRET" not in "".join(to_request_fields(card_of(value), "민수"))


def test_a_cards_own_prompts_frame_its_description() -> None:
    """The system prompt first, the instructions last, `{{original}}` standing for nothing."""
    value = samples.chub_v2()
    value["data"] |= {
        "description": "A lighthouse keeper.",
        "personality": "calm",
        "scenario": "a storm",
        "first_mes": "Hello {{user}}.",
        "mes_example": "",
    }
    name, greeting, context = to_request_fields(card_of(value), "")
    assert (name, greeting) == ("Rachel", "Hello User.")
    assert context == (
        "Stay in character. \n\nA lighthouse keeper.\n\nPersonality:\ncalm\n\n"
        "Scenario:\na storm\n\nInstructions:\nShort answers."
    ).replace(". \n", ".\n")


def test_the_greeting_is_chosen_by_its_number() -> None:
    """0 is first_mes; beyond the last there is none."""
    card = card_of(samples.risuai_v3())
    assert to_request_fields(card, "민수", 2).greeting == "셋째 인사"
    assert to_request_fields(card, "민수").character_name == "연이"
    for index in (3, -1):
        with pytest.raises(CardError) as caught:
            to_request_fields(card, "민수", index)
        assert caught.value.reason == "greeting_missing"


def test_no_field_is_ever_empty() -> None:
    """The request does not take empty strings."""
    fields = to_request_fields(card_of({"name": "하나", "first_mes": " "}), " ")
    assert all(field.strip() for field in fields)
    with pytest.raises(CardError) as caught:
        to_request_fields(card_of({"name": " ", "first_mes": "안녕"}), "민수")
    assert caught.value.reason == "name_missing"


def test_examples_leave_first_when_the_context_is_full() -> None:
    """The last one first; the description stays whatever happens."""
    card = card_of(samples.v1())
    whole = to_request_fields(card, "민수").context
    one_less = to_request_fields(card, "민수", context_budget=len(whole) - 1).context
    assert "민수: 책?" not in one_less
    assert "안녕하세요" in one_less
    none = to_request_fields(card, "민수", context_budget=1).context
    assert "대화 예시" not in none
    assert "도서관 사서" in none


def test_the_context_of_a_conversation_never_changes() -> None:
    """Random parts are drawn by the conversation's seed."""
    card = card_of(samples.v1() | {"description": "{{random:a,b,c,d,e,f,g,h,i,j}}" * 4})
    assert to_request_fields(card, "민수", seed="x") == to_request_fields(card, "민수", seed="x")
    assert to_request_fields(card, "민수", seed="x") != to_request_fields(card, "민수", seed="y")


def test_language_and_examples_are_told_from_the_card() -> None:
    """A Korean card is one with some Hangul, an empty one counts as Korean."""
    assert detect_language(card_of(samples.v1())) == "ko"
    assert detect_language(card_of({"name": "x", "description": "A keeper of 등대"})) == "ko"
    assert detect_language(card_of({"name": "x", "description": "A keeper"})) == "en"
    assert detect_language(card_of({"name": "x", "description": ""})) == "ko"
    assert example_blocks("a <start> b <START>\n<START>c") == ["a", "b", "c"]
