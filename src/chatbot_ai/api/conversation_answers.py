"""Another answer to a conversation: regenerated, continued, or to an edited input."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.answering import respond, wants_stream, with_stored_character
from chatbot_ai.api.caller import principal_of, queue_name
from chatbot_ai.api.conversation_schemas import (
    Again,
    CharacterAgain,
    CharacterEdit,
    Index,
    OfficeEdit,
)
from chatbot_ai.api.conversations import Key
from chatbot_ai.api.openapi import ANSWER_RESPONSES, SPEAKING, document_error
from chatbot_ai.api.schemas import CharacterFields
from chatbot_ai.api.services import ApiOptions, services_of
from chatbot_ai.core.exchange import ChatRequest, Mode
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.conversation import Assistant, ConversationKey
from chatbot_ai.domain.errors import NotFound

RESPONSES = {
    **ANSWER_RESPONSES,
    **document_error(404, "This user has no such conversation, turn or character."),
}
ANSWERING: dict[str, Any] = {
    "responses": RESPONSES,
    "response_class": JSONResponse,
    "openapi_extra": SPEAKING,
}

office, character = (
    APIRouter(
        prefix="/conversations/{db_id}",
        tags=["conversations"],
        dependencies=[Depends(principal_of)],
    )
    for _ in range(2)
)
#: The answering routes of each assistant's conversations.
ROUTERS: dict[Assistant, APIRouter] = {"office": office, "character": character}


@office.post("/regenerate", **ANSWERING)
async def regenerate(
    key: Key, request: Request, body: Annotated[Again | None, Body()] = None
) -> Response:
    """Answer the last turn once more; the new answer is selected, the others are kept."""
    return await _answer(request, key, "regenerate", body or Again())


@office.post("/continue", **ANSWERING)
async def continue_answer(
    key: Key, request: Request, body: Annotated[Again | None, Body()] = None
) -> Response:
    """Go on with the last answer where it stopped; the answer here is the new part."""
    return await _answer(request, key, "continue", body or Again())


@office.post("/turns/{index}/edit", **ANSWERING)
async def edit(key: Key, index: Index, request: Request, body: OfficeEdit) -> Response:
    """Say a turn differently: it and all after it give way to a new turn."""
    return await _answer(request, key, "edit", body, index)


@character.post("/regenerate", **ANSWERING)
async def regenerate_line(key: Key, request: Request, body: CharacterAgain) -> Response:
    """Let the character answer the last turn once more; the other answers are kept."""
    return await _answer(request, key, "regenerate", body)


@character.post("/continue", **ANSWERING)
async def continue_line(key: Key, request: Request, body: CharacterAgain) -> Response:
    """Let the character go on where the last answer stopped; this is the new part."""
    return await _answer(request, key, "continue", body)


@character.post("/turns/{index}/edit", **ANSWERING)
async def edit_line(key: Key, index: Index, request: Request, body: CharacterEdit) -> Response:
    """Say a turn differently: it and all after it give way to a new turn."""
    return await _answer(request, key, "edit", body, index)


async def _answer(
    request: Request,
    key: ConversationKey,
    mode: Mode,
    body: Again | OfficeEdit | CharacterEdit,
    index: int | None = None,
) -> Response:
    services = services_of(request)
    options: ApiOptions = request.app.state.options
    principal: Principal = request.state.principal
    clock = services.chat.clock
    services.chat.model(body.model)
    found = await services.chat.store.summary(key)
    if found is None or (index is not None and index >= found.turns):
        raise NotFound("no such conversation or turn")
    wanted = ChatRequest(
        text=body.input_data if isinstance(body, OfficeEdit | CharacterEdit) else "",
        caller=queue_name(request, principal, key.user_id),
        deadline=clock.monotonic() + options.deadline_s,
        principal=principal,
        user_id=key.user_id,
        db_id=key.db_id,
        character=body.character if isinstance(body, CharacterFields) else None,
        search=body.google_access if isinstance(body, OfficeEdit) else False,
        stream=wants_stream(request),
        mode=mode,
        index=index,
    )
    if isinstance(body, CharacterFields):
        wanted = await with_stored_character(wanted, body.model, body, services)
    return await respond(body.model, wanted, request, services)
