"""Characters that users keep: listed, made, imported, changed, exported and deleted."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.datastructures import UploadFile

from chatbot_ai.api.caller import REPLAYED, User, owner_of, principal_of, read_claim
from chatbot_ai.api.character_schemas import (
    CharacterChanges,
    CharacterLine,
    CharacterList,
    CharacterPrompt,
    CharacterView,
    NewCharacter,
    build_view,
)
from chatbot_ai.api.error_responses import language_for
from chatbot_ai.api.openapi import CALLER_RESPONSES, MAKING, document_error
from chatbot_ai.api.services import ServicesOf
from chatbot_ai.cards import CardFormat, CharacterCard
from chatbot_ai.cards.errors import CardError
from chatbot_ai.core.character_library import (
    CharacterLibrary,
    build_card_fields,
    export_sheet,
    import_sheet,
)
from chatbot_ai.domain import limits
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
MEDIA_TYPES = {"png": "image/png", "json": "application/json", "charx": "application/zip"}


def _file_body(description: str) -> dict[str, Any]:
    """The `requestBody` of a route that takes a file, in a form or as it is."""
    file = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"file": file["schema"]}}}
    content = {"application/octet-stream": file, "multipart/form-data": form}
    return {
        "requestBody": {"description": description, "required": True, "content": content},
    }


async def library_of(services: ServicesOf) -> CharacterLibrary:
    """The characters of this service; a FastAPI dependency."""
    if services.characters is None:
        raise AssertionError("the composition root gives the character service its store")
    return CharacterLibrary(services.characters, services.creations, services.chat.clock)


Library = Annotated[CharacterLibrary, Depends(library_of)]
Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The character's id.")]

router = APIRouter(
    prefix=PATH, tags=["characters"], dependencies=[Depends(principal_of)], responses=RESPONSES
)


class PromptChoice:
    """Which greeting, for whom, in which conversation."""

    def __init__(
        self,
        greeting: Annotated[int, Query(ge=0, le=limits.GREETING_INDEX)] = 0,
        user_name: Annotated[str, Query(max_length=limits.USER_NAME_CHARS)] = "",
        db_id: Annotated[str, Query(max_length=limits.DB_ID_CHARS)] = "",
    ) -> None:
        self.greeting, self.user_name, self.db_id = greeting, user_name, db_id


@router.post("/import", status_code=201, openapi_extra=_file_body("The card's file.") | MAKING)
async def import_character(
    user: User, library: Library, request: Request, response: Response
) -> CharacterView:
    """Import a Character Card V1, V2 or V3 from a PNG, JSON or CHARX file."""
    data, filename = await _read_file(request)
    sheet, warnings = await import_sheet(data, filename)
    claim = await read_claim(request, owner_of(request, request.state.principal, user), data)
    character, is_new = await library.add(user, sheet, claim)
    if not is_new:
        response.headers.update(REPLAYED)
    return await asyncio.to_thread(build_view, character, language_for(request), warnings)


@router.get("")
async def list_characters(
    user: User,
    library: Library,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_CHARACTERS)] = 50,
    before: float | None = None,
) -> CharacterList:
    """The user's characters, the last changed first."""
    found = await library.store.list(user, limit=limit, before=before)
    after = found[-1].updated_at if len(found) == limit else None
    return CharacterList(
        characters=[CharacterLine.model_validate(item, from_attributes=True) for item in found],
        before=after,
    )


@router.post("", status_code=201, openapi_extra=MAKING)
async def create_character(
    body: NewCharacter, user: User, library: Library, request: Request, response: Response
) -> CharacterView:
    """Make a character (a V3 card)."""
    claim = await read_claim(request, owner_of(request, request.state.principal, user))
    character, is_new = await library.create(user, body.card_fields(), body.picture_bytes(), claim)
    if not is_new:
        response.headers.update(REPLAYED)
    return await asyncio.to_thread(build_view, character, language_for(request))


@router.get("/{character_id}")
async def read_character(
    character_id: Id, user: User, library: Library, request: Request
) -> CharacterView:
    """One character."""
    stored = await library.store.get(user, character_id)
    return await asyncio.to_thread(build_view, stored, language_for(request))


@router.patch("/{character_id}")
async def change_character(
    character_id: Id, body: CharacterChanges, user: User, library: Library, request: Request
) -> CharacterView:
    """Change some fields. Everything else of the card, known or not, stays as it is."""
    changed = await library.change(user, character_id, body.card_fields(), body.picture_bytes())
    return await asyncio.to_thread(build_view, changed, language_for(request))


@router.delete("/{character_id}", status_code=204)
async def delete_character(character_id: Id, user: User, library: Library) -> None:
    """Delete a character; conversations with it stay."""
    await library.store.delete(user, character_id)


@router.get("/{character_id}/prompt")
async def read_prompt(
    character_id: Id,
    user: User,
    library: Library,
    services: ServicesOf,
    choice: Annotated[PromptChoice, Depends()],
) -> CharacterPrompt:
    """The card as fields of POST /Llama: macros resolved, the same for one `db_id`."""
    stored = await library.store.get(user, character_id)
    model, persona = services.chat.model("Llama")
    card = await asyncio.to_thread(CharacterCard.from_text, stored.sheet.card)
    fields = await asyncio.to_thread(
        build_card_fields,
        card,
        model.context_tokens,
        user_name=choice.user_name.strip() or persona.user_name,
        greeting=choice.greeting,
        seed=choice.db_id or stored.id,
        now=services.chat.local_time(),
    )
    return CharacterPrompt(**fields._asdict(), greetings=len(card.greetings))


@router.get(
    "/{character_id}/picture",
    response_class=Response,
    responses={304: {"description": "The picture of If-None-Match is the newest."}},
)
async def read_picture(
    character_id: Id, user: User, library: Library, request: Request
) -> Response:
    """The character's picture; 404 where it has none."""
    sheet = (await library.store.get(user, character_id)).sheet
    if sheet.picture is None or sheet.media_type is None:
        raise NotFound(f"picture of character {character_id}")
    tag = f'"{hashlib.sha256(sheet.picture).hexdigest()[:32]}"'
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Disposition": "inline",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "ETag": tag,
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(sheet.picture, media_type=sheet.media_type, headers=headers)


@router.get("/{character_id}/export", response_class=Response)
async def export_character(
    character_id: Id, user: User, library: Library, format: CardFormat = "png"
) -> Response:
    """The card as a file of that format."""
    sheet = (await library.store.get(user, character_id)).sheet
    return _build_file_response(*await export_sheet(sheet, format), format)


@router.post("/{character_id}/export", response_class=Response, openapi_extra=_file_body("A PNG."))
async def export_with_picture(
    character_id: Id, user: User, library: Library, request: Request
) -> Response:
    """The card as a PNG around the picture that is sent, for a card whose own is none."""
    sheet = (await library.store.get(user, character_id)).sheet
    picture, _ = await _read_file(request)
    return _build_file_response(*await export_sheet(sheet, "png", picture), "png")


async def _read_file(request: Request) -> tuple[bytes, str | None]:
    """The bytes and name of the file that was sent: in a form, or as the body itself."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body(), None
    async with request.form(max_files=1, max_fields=8) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read(), value.filename
    raise CardError("file_empty")


def _build_file_response(data: bytes, name: str, form: CardFormat) -> Response:
    filename = quote(f"{name[: limits.CHARACTER_NAME_CHARS] or 'character'}.{form}", safe="")
    headers = {
        "Content-Disposition": f'attachment; filename="character.{form}"; '
        f"filename*=UTF-8''{filename}",
        "Cache-Control": "no-store",
    }
    return Response(data, media_type=MEDIA_TYPES[form], headers=headers)
