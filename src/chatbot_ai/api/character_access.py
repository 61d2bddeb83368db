"""What the routes of characters share: whose they are, where they are kept, their limits."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request

from chatbot_ai.api.access import Caller
from chatbot_ai.api.character_bodies import CharacterView, view_of
from chatbot_ai.api.errors import language_for
from chatbot_ai.api.services import Services, services_of
from chatbot_ai.cards import CardWarning, inspect_picture
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import CardLimits
from chatbot_ai.domain.characters import CharacterSheet, CharacterStore, StoredCharacter
from chatbot_ai.domain.errors import InvalidRequest

PATH = "/characters"
#: Largest request body below PATH, as the gateway has it.
MAX_UPLOAD_BYTES = 8 << 20
#: Characters that one user may keep, so that nobody fills the disk.
MAX_CHARACTERS = 500

UPLOAD_LIMITS = CardLimits(file_bytes=MAX_UPLOAD_BYTES)

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The character's id.")]
Format = Literal["png", "json", "charx"]


def user_of(
    caller: Caller,
    user_id: Annotated[str | None, Query(min_length=1, max_length=50)] = None,
) -> str:
    """Whose characters are meant. Raises Forbidden, or InvalidRequest where nobody is named."""
    user = caller.speaks_for(user_id)
    if user is None:
        raise InvalidRequest("user_id", "field_missing")
    return user


def store_of(services: Annotated[Services, Depends(services_of)]) -> CharacterStore:
    """The store of characters; only the character service has one."""
    if services.characters is None:
        raise AssertionError("the composition root gives the character service its store")
    return services.characters


User = Annotated[str, Depends(user_of)]
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
