"""POST /Llama and POST /{model}: one message in, one answer out, whole or as a stream."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.answering import respond, wants_stream, with_stored_character
from chatbot_ai.api.caller import principal_of, queue_name
from chatbot_ai.api.openapi import ANSWER_RESPONSES, SPEAKING, document_error
from chatbot_ai.api.schemas import CharacterRequest, OfficeRequest
from chatbot_ai.api.services import deadline_of, services_of
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.limits import MODEL_ALIAS_CHARS

LLAMA = "Llama"
SPOKEN: dict[str, Any] = {
    "openapi_extra": SPEAKING,
    "responses": ANSWER_RESPONSES,
    "response_class": JSONResponse,
}
PLAYED: dict[str, Any] = SPOKEN | {
    "responses": {
        **ANSWER_RESPONSES,
        **document_error(404, "This user has no character of that id."),
    }
}
Alias = Annotated[str, Path(max_length=MODEL_ALIAS_CHARS, description="Alias of an OpenAI model.")]

office, office_others, character, character_others = (
    APIRouter(tags=["chat"], dependencies=[Depends(principal_of)]) for _ in range(4)
)
#: The route to an assistant's own model, which is asked the most and so is looked for first.
OWN: dict[Assistant, APIRouter] = {"office": office, "character": character}
#: The route to all others, which comes last as it takes any name.
OTHERS: dict[Assistant, APIRouter] = {"office": office_others, "character": character_others}


@office.post("/Llama", **SPOKEN)
async def office_llama(body: OfficeRequest, request: Request) -> Response:
    """Ask the office assistant; the team's own model answers."""
    return await _answer(LLAMA, body, request)


@office_others.post("/{model}", **SPOKEN)
async def office_model(model: Alias, body: OfficeRequest, request: Request) -> Response:
    """Ask the office assistant; an OpenAI model answers."""
    return await _answer(model, body, request)


@character.post("/Llama", **PLAYED)
async def character_llama(body: CharacterRequest, request: Request) -> Response:
    """Talk to a character; the team's own model plays it."""
    return await _answer(LLAMA, body, request)


@character_others.post("/{model}", **PLAYED)
async def character_model(model: Alias, body: CharacterRequest, request: Request) -> Response:
    """Talk to a character; an OpenAI model plays it."""
    return await _answer(model, body, request)


async def _answer(alias: str, body: OfficeRequest | CharacterRequest, request: Request) -> Response:
    services = services_of(request)
    principal: Principal = request.state.principal
    user_id = principal.speaks_for(body.user_id)
    wanted = ChatRequest(
        text=body.input_data,
        caller=queue_name(request, principal, user_id),
        deadline=deadline_of(request),
        principal=principal,
        user_id=user_id,
        db_id=body.db_id,
        character=body.character if isinstance(body, CharacterRequest) else None,
        search=isinstance(body, OfficeRequest) and body.google_access,
        stream=wants_stream(request),
    )
    if isinstance(body, CharacterRequest):
        wanted = await with_stored_character(wanted, alias, body, services)
    return await respond(alias, wanted, request, services)
