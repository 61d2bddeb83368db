"""What the routes of characters share: whose they are, where they are kept, their limits."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Annotated, Literal

from fastapi import Depends, Path, Request, Response

from chatbot_ai.api.answering import CALLER_RESPONSES, document_error
from chatbot_ai.api.caller import REPLAYED, Caller, User, owner_of, read_claim
from chatbot_ai.api.character_bodies import CharacterView, view_of
from chatbot_ai.api.error_responses import language_for
from chatbot_ai.api.services import Services, ServicesOf
from chatbot_ai.cards import CardWarning, inspect_picture
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import CardLimits
from chatbot_ai.core.idempotency import Claim
from chatbot_ai.domain import limits
from chatbot_ai.domain.character import CharacterSheet, CharacterStore, StoredCharacter
from chatbot_ai.domain.errors import NotFound

PATH = "/characters"

RESPONSES = {
    **CALLER_RESPONSES,
    **document_error(400, "Not JSON."),
    **document_error(403, "A user key that names another user."),
    **document_error(404, "This user has no such character."),
    **document_error(413, "The body or the card is too large."),
    **document_error(422, "A field is wrong, or the card is refused; `reason` says why."),
    **document_error(503, "The store of characters is down; see Retry-After."),
}
UPLOAD_LIMITS = CardLimits(file_bytes=limits.UPLOAD_BYTES)

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The character's id.")]
Format = Literal["png", "json", "charx"]


def store_of(services: Services) -> CharacterStore:
    """The store of characters; only the character service has one."""
    if services.characters is None:
        raise AssertionError("the composition root gives the character service its store")
    return services.characters


async def _store(services: ServicesOf) -> CharacterStore:
    return store_of(services)


Store = Annotated[CharacterStore, Depends(_store)]


class Making:
    """Keeps a new character for the caller, once for each Idempotency-Key; a dependency."""

    def __init__(
        self,
        request: Request,
        response: Response,
        user: User,
        caller: Caller,
        services: ServicesOf,
    ) -> None:
        self._request, self._response, self._user = request, response, user
        self._owner = owner_of(request, caller, user)
        self._store, self._creations = store_of(services), services.creations

    async def keep(
        self,
        sheet: CharacterSheet,
        warnings: tuple[CardWarning, ...] = (),
        file: bytes | None = None,
    ) -> CharacterView:
        """The character, made now or by an earlier call with the same key.

        file  what the call brought, where its body is no JSON. Raises CardError where the user
        has too many.
        """
        claim = await read_claim(self._request, self._owner, file)
        async with self._creations.one_at_a_time(claim):
            character = await self._known(claim) or await self._made(sheet, claim)
        language = language_for(self._request)
        return await asyncio.to_thread(view_of, character, language, warnings)

    async def _known(self, claim: Claim | None) -> StoredCharacter | None:
        if claim is None:
            return None
        try:
            found = await self._store.get(self._user, claim.thing_id)
        except NotFound:
            return None
        self._response.headers.update(REPLAYED)
        return found

    async def _made(self, sheet: CharacterSheet, claim: Claim | None) -> StoredCharacter:
        if await self._store.count(self._user) >= limits.CHARACTERS:
            raise CardError("characters_too_many", limit=limits.CHARACTERS)
        now = time.time()
        name = claim.thing_id if claim else uuid.uuid4().hex
        character = StoredCharacter(name, self._user, sheet, now, now)
        await self._store.add(character)
        return character


def checked_picture(picture: bytes | None) -> tuple[bytes | None, str | None]:
    """A picture with its media type; CardError where it is none that is accepted."""
    if picture is None:
        return None, None
    return picture, inspect_picture(picture, UPLOAD_LIMITS).media_type
