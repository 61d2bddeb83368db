"""A user's stored characters as a library: made, imported, changed, exported."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chatbot_ai.cards import (
    Asset,
    CardFormat,
    CardLimits,
    CardWarning,
    CharacterCard,
    RequestFields,
    build_lore,
    build_scope,
    inspect_picture,
    read_card,
    to_request_fields,
    write_card,
)
from chatbot_ai.cards.errors import CardError
from chatbot_ai.core.exchange import Lore
from chatbot_ai.core.idempotency import Claim, IdempotentCreations
from chatbot_ai.domain.character import (
    CharacterFile,
    CharacterSheet,
    CharacterStore,
    StoredCharacter,
)
from chatbot_ai.domain.errors import NotFound
from chatbot_ai.domain.generation import likely_tokens
from chatbot_ai.domain.limits import CHARACTERS, CONTEXT_CHARS, UPLOAD_BYTES
from chatbot_ai.domain.persona import Character, Persona
from chatbot_ai.domain.ports import Clock
from chatbot_ai.domain.prompt_texts import CARD_HEADINGS

#: What a list shows of a greeting.
TAGLINE_CHARS = 120
CARD_LIMITS = CardLimits(file_bytes=UPLOAD_BYTES)
#: Shares of the model's context: of the card, and of what its lorebook adds to one prompt.
CARD_SHARE, LORE_SHARE = 1 / 2, 1 / 8


class CharacterLibrary:
    """The characters that users keep. Reading and writing cards happens in threads."""

    def __init__(self, store: CharacterStore, creations: IdempotentCreations, clock: Clock) -> None:
        self.store = store
        self._creations, self._clock = creations, clock

    async def create(
        self,
        user_id: str,
        fields: Mapping[str, Any],
        picture: bytes | None = None,
        claim: Claim | None = None,
    ) -> tuple[StoredCharacter, bool]:
        """Make a character of a card's fields, and add it."""
        others = {name: value for name, value in fields.items() if name != "name"}
        card = CharacterCard.new(str(fields["name"]), now_s=int(self._clock.now()), **others)
        return await self.add(user_id, build_sheet(card, picture), claim)

    async def add(
        self, user_id: str, sheet: CharacterSheet, claim: Claim | None = None
    ) -> tuple[StoredCharacter, bool]:
        """Keep a character, and tell whether it is new: with the same `claim` again the one that
        was made for it is the answer. Raises CardError where the user has too many."""
        async with self._creations.one_at_a_time(claim):
            if claim is not None and (known := await self._find(user_id, claim.thing_id)):
                return known, False
            if await self.store.count(user_id) >= CHARACTERS:
                raise CardError("characters_too_many", limit=CHARACTERS)
            now = self._clock.now()
            character_id = claim.thing_id if claim else uuid.uuid4().hex
            character = StoredCharacter(character_id, user_id, sheet, now, now)
            await self.store.add(character)
            return character, True

    async def change(
        self, user_id: str, character_id: str, fields: Mapping[str, Any], picture: bytes | None
    ) -> StoredCharacter:
        """Change fields of a card; everything else of it, known or not, stays as it is.

        picture  the new one, b"" to remove it, None to keep it
        """
        stored, now = await self.store.get(user_id, character_id), self._clock.now()
        sheet = await asyncio.to_thread(_change_sheet, stored.sheet, fields, picture, int(now))
        await self.store.replace(user_id, character_id, sheet, now)
        return replace(stored, sheet=sheet, updated_at=now)

    async def _find(self, user_id: str, character_id: str) -> StoredCharacter | None:
        try:
            return await self.store.get(user_id, character_id)
        except NotFound:
            return None


async def import_sheet(
    data: bytes, filename: str | None
) -> tuple[CharacterSheet, tuple[CardWarning, ...]]:
    """The character of a card's file. Raises CardError."""
    read = await asyncio.to_thread(read_card, data, filename, CARD_LIMITS)
    files = tuple(CharacterFile(a.path, a.data, a.media_type) for a in read.assets)
    return build_sheet(read.card, read.picture, read.media_type, files), read.warnings


async def export_sheet(
    sheet: CharacterSheet, form: CardFormat, picture: bytes | None = None
) -> tuple[bytes, str]:
    """A card's file and the character's name. `picture` stands for the sheet's own, which a PNG
    card needs."""
    if picture is not None:
        inspect_picture(picture, CARD_LIMITS)
        sheet = replace(sheet, picture=picture)
    card = CharacterCard.from_text(sheet.card)
    files = tuple(Asset(f.path, f.data, f.media_type) for f in sheet.files)
    shown = sheet.picture if form != "json" else None
    return await asyncio.to_thread(write_card, card, shown, form, files), card.spoken_name


def build_sheet(
    card: CharacterCard,
    picture: bytes | None = None,
    media_type: str | None = None,
    files: tuple[CharacterFile, ...] = (),
) -> CharacterSheet:
    """A sheet of this card. A picture without media type is inspected; raises CardError for one
    that is not accepted."""
    if picture and media_type is None:
        media_type = inspect_picture(picture, CARD_LIMITS).media_type
    tagline = " ".join(card.first_mes.split())[:TAGLINE_CHARS]
    return CharacterSheet(card.spoken_name, tagline, card.text, picture or None, media_type, files)


def _change_sheet(
    sheet: CharacterSheet, fields: Mapping[str, Any], picture: bytes | None, now_s: int
) -> CharacterSheet:
    card = CharacterCard.from_text(sheet.card).with_changes(now_s=now_s, **fields)
    if picture is None:
        return build_sheet(card, sheet.picture, sheet.media_type, sheet.files)
    return build_sheet(card, picture, None, sheet.files)


@dataclass(frozen=True, slots=True)
class PlayedCharacter:
    """A card as an answer needs it."""

    character: Character
    persona: Persona
    lore: Lore | None


def play_card(
    text: str, persona: Persona, context_tokens: int, greeting: int, *, seed: str, now: datetime
) -> PlayedCharacter:
    """Read a card and fill it in for one conversation; slow enough for a thread. `now` is what its
    macros of time say. Raises CardError where it cannot be played."""
    card = CharacterCard.from_text(text)
    name = persona.user_name
    fields = build_card_fields(
        card, context_tokens, user_name=name, greeting=greeting, seed=seed, now=now
    )
    scope = build_scope(card, name, seed=seed, now=now)
    lore = build_lore(
        card,
        scope,
        greeting_index=choose_greeting(card, greeting),
        budget=int(context_tokens * LORE_SHARE),
        count=likely_tokens,
    )
    context = fields.context
    if lore is not None and lore.standing:
        heading = CARD_HEADINGS[scope.language]["world"]
        context = f"{context}\n\n{heading}:\n{lore.standing}"
    return PlayedCharacter(
        Character(fields.character_name, fields.greeting, context), persona, lore
    )


def build_card_fields(
    card: CharacterCard,
    context_tokens: int,
    *,
    user_name: str,
    greeting: int,
    seed: str,
    now: datetime | None = None,
) -> RequestFields:
    """A card as the fields of POST /Llama. Raises CardError where they cannot be made."""
    fields = to_request_fields(
        card,
        user_name,
        choose_greeting(card, greeting),
        seed=seed,
        now=now,
        count=likely_tokens,
        context_budget=int(context_tokens * CARD_SHARE),
    )
    if len(fields.context) > CONTEXT_CHARS:
        raise CardError("text_too_long")
    return fields


def choose_greeting(card: CharacterCard, greeting: int) -> int:
    """A conversation outlives the greeting that it began with: the first one stands in for one
    that was taken out of the card."""
    return greeting if greeting < len(card.greetings) else 0
