"""POST /Llama and POST /{model}: one message in, one answer out, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.access import address_of, principal_of
from chatbot_ai.api.errors import error_body, language_for, request_id_of
from chatbot_ai.api.presence import while_present
from chatbot_ai.api.schemas import CharacterRequest, OfficeRequest
from chatbot_ai.api.services import ApiOptions, Services, services_of
from chatbot_ai.api.streaming import EventStream, first_event
from chatbot_ai.core.admission import QueuePosition
from chatbot_ai.core.exchange import ChatEvent, ChatRequest, Delta, Done
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.citations import cited_in, source_list
from chatbot_ai.domain.errors import BackendProtocolError, ChatbotError
from chatbot_ai.domain.generation import Restarted
from chatbot_ai.domain.persona import Character

LLAMA = "Llama"

ServicesOf = Annotated[Services, Depends(services_of)]
Alias = Annotated[str, Path(max_length=100, description="Alias of an OpenAI model.")]

_ERROR = {"$ref": "#/components/schemas/Error"}


def _documented(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as one JSON string; with `Accept: text/event-stream` the events "
        "`queued`, `sources`, `delta`, `done`, `error`.",
        "content": {
            "application/json": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    },
    **_documented(400, "Not JSON, or no such model."),
    **_documented(413, "The body is too large."),
    **_documented(422, "A field is wrong; `fields` names it."),
    **_documented(429, "Over this caller's own limit; see Retry-After."),
    **_documented(503, "Busy, or something it needs is down; see Retry-After."),
}


def router(options: ApiOptions) -> APIRouter:
    """The routes of one assistant."""
    routes = APIRouter(tags=["chat"], dependencies=[Depends(principal_of)])

    async def office(
        alias: str, body: OfficeRequest, request: Request, services: Services
    ) -> Response:
        return await respond(alias, _chat_request(body, request, options), request, services)

    async def character(
        alias: str, body: CharacterRequest, request: Request, services: Services
    ) -> Response:
        who = Character(body.character_name, body.greeting, body.context)
        return await respond(alias, _chat_request(body, request, options, who), request, services)

    if options.assistant == "office":

        @routes.post("/Llama", responses=RESPONSES, response_class=JSONResponse)
        async def office_llama(
            body: OfficeRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Ask the office assistant; the team's own model answers."""
            return await office(LLAMA, body, request, services)

        @routes.post("/{model}", responses=RESPONSES, response_class=JSONResponse)
        async def office_model(
            model: Alias, body: OfficeRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Ask the office assistant; an OpenAI model answers."""
            return await office(model, body, request, services)

    else:

        @routes.post("/Llama", responses=RESPONSES, response_class=JSONResponse)
        async def character_llama(
            body: CharacterRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Talk to a character; the team's own model plays it."""
            return await character(LLAMA, body, request, services)

        @routes.post("/{model}", responses=RESPONSES, response_class=JSONResponse)
        async def character_model(
            model: Alias, body: CharacterRequest, request: Request, services: ServicesOf
        ) -> Response:
            """Talk to a character; an OpenAI model plays it."""
            return await character(model, body, request, services)

    return routes


def wants_stream(request: Request) -> bool:
    """Whether the caller accepts server-sent events and says so."""
    return "text/event-stream" in request.headers.get("accept", "").lower()


def wants_sources(request: Request) -> bool:
    """Whether a JSON answer is to end with the list of its sources."""
    asked = request.headers.get("x-include-sources", "").lower()
    return asked in ("1", "true", "yes")


def _chat_request(
    body: OfficeRequest | CharacterRequest,
    request: Request,
    options: ApiOptions,
    character: Character | None = None,
) -> ChatRequest:
    clock = services_of(request).chat.clock
    principal: Principal = request.state.principal
    user_id = principal.speaks_for(body.user_id)
    return ChatRequest(
        text=body.input_data,
        caller=user_id or principal.key_id or f"address:{address_of(request)}",
        deadline=clock.monotonic() + options.deadline_s,
        user_id=user_id,
        db_id=body.db_id,
        character=character,
        search=body.google_access if isinstance(body, OfficeRequest) else False,
        stream=wants_stream(request),
    )


async def respond(
    alias: str, chat_request: ChatRequest, request: Request, services: Services
) -> Response:
    """Answer as the caller wished: events, or one JSON string with what it took in headers."""
    events = services.chat.answer(alias, chat_request)
    if chat_request.stream:
        pending = await first_event(request.receive, events)
        return EventStream(pending, events, _error_body_for(request))
    text, first, done = await while_present(request.receive, collect(events))
    if done.sources and wants_sources(request):
        text += source_list(done.sources, cited_in(text, done.sources), language_for(request))
    return JSONResponse(text, headers=answer_headers(first, done))


def _error_body_for(request: Request) -> Any:
    language, request_id = language_for(request), request_id_of(request)

    def body(error: BaseException) -> dict[str, Any]:
        known = error if isinstance(error, ChatbotError) else ChatbotError()
        return error_body(known, language, request_id)

    return body


async def collect(
    events: AsyncGenerator[ChatEvent, None],
) -> tuple[str, QueuePosition | None, Done]:
    """The whole answer, the place in the queue at arrival if there was one, and the end."""
    parts: list[str] = []
    first: QueuePosition | None = None
    done: Done | None = None
    async for event in events:
        match event:
            case Delta():
                parts.append(event.text)
            case QueuePosition():
                first = first or event
            case Restarted():
                parts.clear()
            case Done():
                done = event
    if done is None:
        raise BackendProtocolError("the answer never ended")
    return "".join(parts), first, done


def answer_headers(first: QueuePosition | None, done: Done) -> dict[str, str]:
    """What a JSON answer took. Server-Timing is in milliseconds (W3C Server Timing)."""
    times = done.timings
    parts = {
        "queue": times.queue_s,
        "search": times.search_s,
        "prefill": times.prefill_s,
        "first_token": times.first_token_s,
        "generation": times.generation_s,
        "total": times.total_s,
    }
    headers = {
        "X-Model": done.model,
        "X-Queue-Position": str(first.position if first else 0),
        "Server-Timing": ", ".join(
            f"{name};dur={seconds * 1000:.1f}"
            for name, seconds in parts.items()
            if seconds is not None
        ),
    }
    if first is not None and first.wait_s is not None:
        headers["X-Queue-Wait"] = f"{first.wait_s:.1f}"
    if done.backup:
        headers["X-Backup-Answer"] = "true"
    if done.warnings:
        headers["X-Warnings"] = ", ".join(done.warnings)
    if done.turn is not None:
        headers["X-Turn"] = str(done.turn)
    return headers
