"""POST /Llama and POST /{model}: one message in, one answer out, whole or as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.answering import respond, wants_stream
from chatbot_ai.api.caller import principal_of, queue_name
from chatbot_ai.api.openapi import ANSWER_RESPONSES, SPEAKING, document_error
from chatbot_ai.api.schemas import CharacterRequest, OfficeRequest
from chatbot_ai.api.services import ApiOptions, Services, ServicesOf, services_of
from chatbot_ai.api.stored_characters import with_stored_character
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.limits import MODEL_ALIAS_CHARS

LLAMA = "Llama"
PLAYED_RESPONSES = {
    **ANSWER_RESPONSES,
    **document_error(404, "This user has no character of that id."),
}

Alias = Annotated[str, Path(max_length=MODEL_ALIAS_CHARS, description="Alias of an OpenAI model.")]


def routers(options: ApiOptions) -> tuple[APIRouter, APIRouter]:
    """The routes of one assistant: to its own model, which is asked the most and so is looked for
    first, and to all others, which come last as they take any name."""
    own, others = (APIRouter(tags=["chat"], dependencies=[Depends(principal_of)]) for _ in range(2))

    async def office(
        alias: str, body: OfficeRequest, request: Request, services: Services
    ) -> Response:
        return await respond(alias, _chat_request(body, request, options), request, services)

    async def character(
        alias: str, body: CharacterRequest, request: Request, services: Services
    ) -> Response:
        wanted = _chat_request(body, request, options)
        wanted = await with_stored_character(wanted, alias, body, services)
        return await respond(alias, wanted, request, services)

    if options.assistant == "office":

        @own.post(
            "/Llama",
            openapi_extra=SPEAKING,
            responses=ANSWER_RESPONSES,
            response_class=JSONResponse,
        )
        async def office_llama(
            body: OfficeRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Ask the office assistant; the team's own model answers."""
            return await office(LLAMA, body, request, services)

        @others.post(
            "/{model}",
            openapi_extra=SPEAKING,
            responses=ANSWER_RESPONSES,
            response_class=JSONResponse,
        )
        async def office_model(
            model: Alias, body: OfficeRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Ask the office assistant; an OpenAI model answers."""
            return await office(model, body, request, services)

    else:

        @own.post(
            "/Llama",
            openapi_extra=SPEAKING,
            responses=PLAYED_RESPONSES,
            response_class=JSONResponse,
        )
        async def character_llama(
            body: CharacterRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Talk to a character; the team's own model plays it."""
            return await character(LLAMA, body, request, services)

        @others.post(
            "/{model}",
            openapi_extra=SPEAKING,
            responses=PLAYED_RESPONSES,
            response_class=JSONResponse,
        )
        async def character_model(
            model: Alias, body: CharacterRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Talk to a character; an OpenAI model plays it."""
            return await character(model, body, request, services)

    return own, others


def _chat_request(
    body: OfficeRequest | CharacterRequest,
    request: Request,
    options: ApiOptions,
) -> ChatRequest:
    clock = services_of(request).chat.clock
    principal: Principal = request.state.principal
    user_id = principal.speaks_for(body.user_id)
    return ChatRequest(
        text=body.input_data,
        caller=queue_name(request, principal, user_id),
        deadline=clock.monotonic() + options.deadline_s,
        principal=principal,
        user_id=user_id,
        db_id=body.db_id,
        character=body.character if isinstance(body, CharacterRequest) else None,
        search=body.google_access if isinstance(body, OfficeRequest) else False,
        stream=wants_stream(request),
    )
