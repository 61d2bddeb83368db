"""Characters as files: import, export and the picture."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from chatbot_ai.api.caller import User, principal_of
from chatbot_ai.api.character_access import (
    PATH,
    RESPONSES,
    UPLOAD_LIMITS,
    Format,
    Id,
    Making,
    Store,
    checked_picture,
)
from chatbot_ai.api.character_bodies import CharacterView, sheet_of
from chatbot_ai.api.openapi import MAKING
from chatbot_ai.cards import Asset, CharacterCard, read_card, write_card
from chatbot_ai.cards.errors import CardError
from chatbot_ai.domain.character import CharacterFile, CharacterSheet
from chatbot_ai.domain.errors import NotFound

_MEDIA_TYPES = {"png": "image/png", "json": "application/json", "charx": "application/zip"}


def router() -> APIRouter:
    """The routes that take or give files."""
    routes = APIRouter(
        prefix=PATH, tags=["characters"], dependencies=[Depends(principal_of)], responses=RESPONSES
    )

    @routes.post(
        "/import",
        status_code=201,
        openapi_extra={"requestBody": _file_body("The card's file.")} | MAKING,
    )
    async def import_card(making: Annotated[Making, Depends()], request: Request) -> CharacterView:
        """Import a Character Card V1, V2 or V3 from a PNG, JSON or CHARX file."""
        data, filename = await _file_of(request)
        read = await asyncio.to_thread(read_card, data, filename, UPLOAD_LIMITS)
        files = tuple(CharacterFile(a.path, a.data, a.media_type) for a in read.assets)
        sheet = sheet_of(read.card, picture=read.picture, media_type=read.media_type, files=files)
        return await making.keep(sheet, read.warnings, data)

    @routes.get(
        "/{character_id}/picture",
        response_class=Response,
        responses={304: {"description": "The picture of If-None-Match is the newest."}},
    )
    async def picture(character_id: Id, user: User, store: Store, request: Request) -> Response:
        """The character's picture; 404 where it has none."""
        sheet = (await store.get(user, character_id)).sheet
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

    @routes.get("/{character_id}/export", response_class=Response)
    async def export(
        character_id: Id, user: User, store: Store, format: Format = "png"
    ) -> Response:
        """The card as a file of that format."""
        sheet = (await store.get(user, character_id)).sheet
        return await _exported(sheet, format)

    @routes.post(
        "/{character_id}/export",
        response_class=Response,
        openapi_extra={"requestBody": _file_body("A PNG.")},
    )
    async def export_with_picture(
        character_id: Id, user: User, store: Store, request: Request
    ) -> Response:
        """The card as a PNG around the picture that is sent, for a card whose own is none."""
        sheet = (await store.get(user, character_id)).sheet
        data, _ = await _file_of(request)
        checked_picture(data)
        return await _exported(replace(sheet, picture=data), "png")

    return routes


async def _file_of(request: Request) -> tuple[bytes, str | None]:
    """The bytes and name of the file that was sent: in a form, or as the body itself."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body(), None
    async with request.form(max_files=1, max_fields=8) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read(), value.filename
    raise CardError("file_empty")


async def _exported(sheet: CharacterSheet, format: Format) -> Response:
    card = CharacterCard.from_text(sheet.card)
    files = tuple(Asset(f.path, f.data, f.media_type) for f in sheet.files)
    picture = sheet.picture if format != "json" else None
    data = await asyncio.to_thread(write_card, card, picture, format, files)
    name = quote(f"{card.spoken_name or 'character'}.{format}", safe="")
    headers = {
        "Content-Disposition": f'attachment; filename="character.{format}"; '
        f"filename*=UTF-8''{name}",
        "Cache-Control": "no-store",
    }
    return Response(data, media_type=_MEDIA_TYPES[format], headers=headers)


def _file_body(description: str) -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
    }
    content = {"application/octet-stream": binary, "multipart/form-data": form}
    return {"description": description, "required": True, "content": content}
