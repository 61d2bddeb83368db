"""Characters that users keep: list, make, change, delete, and what of them a prompt takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from chatbot_ai.api.caller import User, principal_of
from chatbot_ai.api.character_access import (
    PATH,
    RESPONSES,
    Id,
    Making,
    Store,
    checked_picture,
)
from chatbot_ai.api.character_bodies import (
    CharacterChanges,
    CharacterList,
    CharacterPrompt,
    CharacterView,
    NewCharacter,
    line_of,
    sheet_of,
    view_of,
)
from chatbot_ai.api.error_responses import language_for
from chatbot_ai.api.openapi import MAKING
from chatbot_ai.api.services import Services, ServicesOf
from chatbot_ai.api.stored_characters import fields_of
from chatbot_ai.cards import CharacterCard
from chatbot_ai.domain import limits
from chatbot_ai.domain.character import StoredCharacter


class PromptChoice:
    """Which greeting, for whom, in which conversation."""

    def __init__(
        self,
        greeting: Annotated[int, Query(ge=0, le=limits.GREETING_INDEX)] = 0,
        user_name: Annotated[str, Query(max_length=limits.USER_NAME_CHARS)] = "",
        db_id: Annotated[str, Query(max_length=limits.DB_ID_CHARS)] = "",
    ) -> None:
        self.greeting, self.user_name, self.db_id = greeting, user_name, db_id


def router() -> APIRouter:
    """The routes; to be included before those that take any name."""
    routes = APIRouter(
        prefix=PATH, tags=["characters"], dependencies=[Depends(principal_of)], responses=RESPONSES
    )

    @routes.get("")
    async def list_characters(
        user: User,
        store: Store,
        limit: Annotated[int, Query(ge=1, le=limits.PAGE_CHARACTERS)] = 50,
        before: float | None = None,
    ) -> CharacterList:
        """The user's characters, the last changed first."""
        found = await store.list(user, limit=limit, before=before)
        after = found[-1].updated_at if len(found) == limit else None
        return CharacterList(characters=[line_of(item) for item in found], before=after)

    @routes.post("", status_code=201, openapi_extra=MAKING)
    async def create(body: NewCharacter, making: Annotated[Making, Depends()]) -> CharacterView:
        """Make a character (a V3 card)."""
        fields = body.card_fields()
        card = CharacterCard.new(str(fields.pop("name")), now_s=int(time.time()), **fields)
        picture, media_type = checked_picture(body.picture_bytes() or None)
        sheet = sheet_of(card, picture=picture, media_type=media_type)
        return await making.keep(sheet)

    @routes.get("/{character_id}")
    async def read_character(
        character_id: Id, user: User, store: Store, request: Request
    ) -> CharacterView:
        """One character."""
        stored = await store.get(user, character_id)
        return await asyncio.to_thread(view_of, stored, language_for(request))

    @routes.patch("/{character_id}")
    async def change(
        character_id: Id, body: CharacterChanges, user: User, store: Store, request: Request
    ) -> CharacterView:
        """Change some fields. Everything else of the card, known or not, stays as it is."""
        stored = await store.get(user, character_id)
        changed = await asyncio.to_thread(_changed, stored, body, time.time())
        await store.replace(user, character_id, changed.sheet, changed.updated_at)
        return await asyncio.to_thread(view_of, changed, language_for(request))

    @routes.delete("/{character_id}", status_code=204)
    async def delete(character_id: Id, user: User, store: Store) -> None:
        """Delete a character; conversations with it stay."""
        await store.delete(user, character_id)

    @routes.get("/{character_id}/prompt")
    async def prompt(
        character_id: Id,
        user: User,
        store: Store,
        services: ServicesOf,
        choice: Annotated[PromptChoice, Depends()],
    ) -> CharacterPrompt:
        """The card as fields of POST /Llama: macros resolved, the same for one `db_id`."""
        stored = await store.get(user, character_id)
        return await asyncio.to_thread(_prompt, stored, services, choice)

    return routes


def _changed(stored: StoredCharacter, body: CharacterChanges, now: float) -> StoredCharacter:
    sheet = stored.sheet
    card = CharacterCard.from_text(sheet.card)
    card = card.with_changes(now_s=int(now), **body.card_fields())
    picture, media_type = sheet.picture, sheet.media_type
    sent = body.picture_bytes()
    if sent is not None:
        picture, media_type = checked_picture(sent or None)
    changed = sheet_of(card, picture=picture, media_type=media_type, files=sheet.files)
    return replace(stored, sheet=changed, updated_at=now)


def _prompt(stored: StoredCharacter, services: Services, choice: PromptChoice) -> CharacterPrompt:
    card = CharacterCard.from_text(stored.sheet.card)
    model, persona = services.chat.model("Llama")
    fields = fields_of(
        card,
        model.context_tokens,
        user_name=choice.user_name.strip() or persona.user_name,
        greeting=choice.greeting,
        seed=choice.db_id or stored.id,
    )
    return CharacterPrompt(**fields._asdict(), greetings=len(card.greetings))
