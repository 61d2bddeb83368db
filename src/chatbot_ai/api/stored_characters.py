"""A stored character in an answer: `character_id` instead of a described one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from chatbot_ai.api.schemas import StoredChoice
from chatbot_ai.api.services import Services
from chatbot_ai.cards import CharacterCard, RequestFields, lore_of, scope_of, to_request_fields
from chatbot_ai.cards.errors import CardError
from chatbot_ai.core.exchange import ChatRequest, Lore
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.generation import likely_tokens
from chatbot_ai.domain.limits import CONTEXT_CHARS
from chatbot_ai.domain.persona import Character, Persona
from chatbot_ai.domain.prompt_texts import CARD_HEADINGS

#: Shares of the model's context: of the card, and of what its lorebook adds to one prompt.
CARD_SHARE, LORE_SHARE = 1 / 2, 1 / 8


@dataclass(frozen=True, slots=True)
class Played:
    """A card as an answer needs it."""

    character: Character
    persona: Persona
    lore: Lore | None


def fields_of(
    card: CharacterCard, context_tokens: int, *, user_name: str, greeting: int, seed: str
) -> RequestFields:
    """A card as the fields of POST /Llama. Raises CardError where they cannot be made."""
    fields = to_request_fields(
        card,
        user_name,
        greeting_in(card, greeting),
        seed=seed,
        count=likely_tokens,
        context_budget=int(context_tokens * CARD_SHARE),
    )
    if len(fields.context) > CONTEXT_CHARS:
        raise CardError("text_too_long")
    return fields


def greeting_in(card: CharacterCard, greeting: int) -> int:
    """A conversation outlives the greeting that it began with: the first one stands in for one
    that was taken out of the card."""
    return greeting if greeting < len(card.greetings) else 0


async def played(
    services: Services,
    alias: str,
    choice: StoredChoice,
    *,
    user: str | None,
    user_field: str = "user_id",
    db_id: str | None = None,
) -> Played:
    """The chosen character of that user, for one answer of the model `alias`.

    Raises NotFound where this user has none of that id, InvalidRequest where nobody is named or
    this assistant plays none, CardError where the card cannot be played.
    """
    model, persona = services.chat.model(alias)
    if services.characters is None or choice.character_id is None:
        raise InvalidRequest("character_id", "field_unsupported")
    if user is None:
        raise InvalidRequest(user_field, "field_missing")
    stored = await services.characters.get(user, choice.character_id)
    if choice.user_name:
        persona = replace(persona, user_name=choice.user_name)
    seed = db_id or stored.id
    return await asyncio.to_thread(
        _played, stored.sheet.card, persona, model.context_tokens, choice.greeting_index, seed
    )


async def with_stored_character(
    wanted: ChatRequest, alias: str, choice: StoredChoice, services: Services
) -> ChatRequest:
    """The request with the stored character that it names, if it names one."""
    if choice.character_id is None:
        return wanted
    found = await played(services, alias, choice, user=wanted.user_id, db_id=wanted.db_id)
    return replace(wanted, character=found.character, persona=found.persona, lore=found.lore)


def _played(text: str, persona: Persona, context_tokens: int, greeting: int, seed: str) -> Played:
    card = CharacterCard.from_text(text)
    name = persona.user_name
    fields = fields_of(card, context_tokens, user_name=name, greeting=greeting, seed=seed)
    scope = scope_of(card, name, seed=seed)
    lore = lore_of(
        card,
        scope,
        greeting_index=greeting_in(card, greeting),
        budget=int(context_tokens * LORE_SHARE),
        count=likely_tokens,
    )
    context = fields.context
    if lore is not None and lore.standing:
        heading = CARD_HEADINGS[scope.language]["world"]
        context = f"{context}\n\n{heading}:\n{lore.standing}"
    return Played(Character(fields.character_name, fields.greeting, context), persona, lore)
