"""What of a card becomes the fields of a character request."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple

from chatbot_ai.cards.card import CharacterCard
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.macros import MacroScope, expand
from chatbot_ai.domain import prompt_texts

_START = re.compile(r"<START>", re.IGNORECASE)
_HANGUL = re.compile(r"[가-힣]")
#: A card of an English author has next to no Hangul in it; a Korean one has some everywhere.
_KOREAN_SHARE = 0.02
#: The request wants a greeting; a card without one begins in silence.
_SILENCE = "…"


class RequestFields(NamedTuple):
    """`character_name`, `greeting` and `context` of a character request, none of them empty."""

    character_name: str
    greeting: str
    context: str


def to_request_fields(
    card: CharacterCard,
    user_name: str,
    greeting_index: int = 0,
    *,
    seed: str = "",
    now: datetime | None = None,
    language: Literal["ko", "en"] | None = None,
    count: Callable[[str], int] = len,
    context_budget: int | None = None,
) -> RequestFields:
    """Compose a character request from a card, macros and Korean particles resolved.

    greeting_index   0 for first_mes, 1 for the first alternate; CardError("greeting_missing")
                     beyond the last
    seed             the conversation's id, so that random macros stay what they were
    language         of the labels; None: that of the card
    context_budget   in units of `count`; over it example dialogues leave first, the last one
                     first, as V1 asks. What is left may still be over it

    creator_notes, tags, creator and character_version never get in. The context of one card, user
    and seed is the same for every turn, so the engine's prefix cache stays valid.
    Raises CardError("name_missing") for a card without a name.
    """
    if not card.spoken_name:
        raise CardError("name_missing")
    if not 0 <= greeting_index < len(card.greetings):
        raise CardError("greeting_missing", index=greeting_index)
    scope = build_scope(card, user_name, seed=seed, now=now, language=language)
    greeting = expand(card.greetings[greeting_index], scope).strip()
    labels = prompt_texts.CARD_HEADINGS[scope.language]
    before = _sections(
        ("", expand(card.system_prompt, scope)),
        ("", expand(card.description, scope)),
        (labels["personality"], expand(card.personality, scope)),
        (labels["scenario"], expand(card.scenario, scope)),
    )
    after = _sections((labels["instructions"], expand(card.post_history_instructions, scope)))
    examples = [expand(block, scope) for block in example_blocks(card.mes_example)]
    while True:
        shown = _sections((labels["example"], "\n\n".join(examples)))
        context = "\n\n".join([*before, *shown, *after]) or card.spoken_name
        if not examples or context_budget is None or count(context) <= context_budget:
            return RequestFields(card.spoken_name, greeting or _SILENCE, context)
        examples.pop()


def build_scope(
    card: CharacterCard,
    user_name: str,
    *,
    seed: str = "",
    now: datetime | None = None,
    language: Literal["ko", "en"] | None = None,
) -> MacroScope:
    """What the card's macros stand for while its character is played."""
    spoken = language or detect_language(card)
    return MacroScope(
        char=card.spoken_name,
        user=user_name.strip() or prompt_texts.USER_NAMES[spoken],
        original="",
        seed=seed,
        chat_seed=seed,
        now=now,
        language=spoken,
        particles=True,
        texts={
            "description": card.description,
            "personality": card.personality,
            "scenario": card.scenario,
            "mesexamples": card.mes_example,
            "charprompt": card.system_prompt,
            "charinstruction": card.post_history_instructions,
            "charversion": card.character_version,
        },
    )


def example_blocks(mes_example: str) -> list[str]:
    """The dialogues of `mes_example`, each opened by `<START>` there, without it."""
    return [block.strip() for block in _START.split(mes_example) if block.strip()]


def detect_language(card: CharacterCard) -> Literal["ko", "en"]:
    """The language the card is written in, judged by its share of Hangul."""
    text = "".join((card.description, card.personality, card.scenario, *card.greetings))
    letters = sum(mark.isalpha() for mark in text)
    hangul = len(_HANGUL.findall(text))
    if not letters:
        return "ko"
    return "ko" if hangul >= _KOREAN_SHARE * letters else "en"


def _sections(*parts: tuple[str, str]) -> list[str]:
    filled = [(label, text.strip()) for label, text in parts if text.strip()]
    return [f"{label}:\n{text}" if label else text for label, text in filled]
