"""What the routes of characters share: whose they are, where they are kept, their limits."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Annotated, Literal

from fastapi import Depends, Path, Request

from chatbot_ai.api.answering import CALLER_RESPONSES, documented
from chatbot_ai.api.character_bodies import CharacterView, view_of
from chatbot_ai.api.errors import language_for
from chatbot_ai.api.services import Services, services_of
from chatbot_ai.cards import CardWarning, inspect_picture
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import CardLimits
from chatbot_ai.domain.characters import CharacterSheet, CharacterStore, StoredCharacter

PATH = "/characters"
#: Largest request body below PATH, as the gateway has it.
MAX_UPLOAD_BYTES = 8 << 20
#: Characters that one user may keep, so that nobody fills the disk.
MAX_CHARACTERS = 500

RESPONSES = {
    **CALLER_RESPONSES,
    **documented(400, "Not JSON."),
    **documented(403, "A user key that names another user."),
    **documented(404, "This user has no such character."),
    **documented(413, "The body or the card is too large."),
    **documented(422, "A field is wrong, or the card is refused; `reason` says why."),
    **documented(503, "The store of characters is down; see Retry-After."),
}
UPLOAD_LIMITS = CardLimits(file_bytes=MAX_UPLOAD_BYTES)

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The character's id.")]
Format = Literal["png", "json", "charx"]


def store_of(services: Annotated[Services, Depends(services_of)]) -> CharacterStore:
    """The store of characters; only the character service has one."""
    if services.characters is None:
        raise AssertionError("the composition root gives the character service its store")
    return services.characters


Store = Annotated[CharacterStore, Depends(store_of)]


async def add_character(
    store: CharacterStore,
    user: str,
    sheet: CharacterSheet,
    request: Request,
    warnings: tuple[CardWarning, ...] = (),
) -> CharacterView:
    """Keep a new character. Raises CardError where the user has too many."""
    if await store.count(user) >= MAX_CHARACTERS:
        raise CardError("characters_too_many", limit=MAX_CHARACTERS)
    now = time.time()
    character = StoredCharacter(uuid.uuid4().hex, user, sheet, now, now)
    await store.add(character)
    return await asyncio.to_thread(view_of, character, language_for(request), warnings)


def checked_picture(picture: bytes | None) -> tuple[bytes | None, str | None]:
    """A picture with its media type; CardError where it is none that is accepted."""
    if picture is None:
        return None, None
    return picture, inspect_picture(picture, UPLOAD_LIMITS).media_type
