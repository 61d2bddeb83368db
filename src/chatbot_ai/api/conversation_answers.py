"""Another answer to a conversation: regenerated, continued, or to an edited input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.answering import ANSWER_RESPONSES, document_error, respond, wants_stream
from chatbot_ai.api.caller import User, principal_of, queue_name
from chatbot_ai.api.conversation_schemas import (
    Again,
    CharacterAgain,
    CharacterEdit,
    DbIdPath,
    Index,
    OfficeEdit,
)
from chatbot_ai.api.openapi import SPEAKING
from chatbot_ai.api.schemas import CharacterFields
from chatbot_ai.api.services import ApiOptions, services_of
from chatbot_ai.api.stored_characters import with_stored_character
from chatbot_ai.core.exchange import ChatRequest, Mode
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.conversation import ConversationKey
from chatbot_ai.domain.errors import NotFound

RESPONSES = {
    **ANSWER_RESPONSES,
    **document_error(404, "This user has no such conversation, turn or character."),
}


def router(options: ApiOptions) -> APIRouter:
    """The answering routes of one assistant's conversations."""
    routes = APIRouter(
        prefix="/conversations/{db_id}",
        tags=["conversations"],
        dependencies=[Depends(principal_of)],
    )

    async def again(
        request: Request,
        key: tuple[str, str],
        mode: Mode,
        body: Again | OfficeEdit | CharacterEdit,
        index: int | None = None,
    ) -> Response:
        services = services_of(request)
        user, db_id = key
        principal: Principal = request.state.principal
        clock = services.chat.clock
        services.chat.model(body.model)
        found = await services.chat.store.summary(ConversationKey(options.assistant, user, db_id))
        if found is None or (index is not None and index >= found.turns):
            raise NotFound("no such conversation or turn")
        wanted = ChatRequest(
            text=body.input_data if isinstance(body, OfficeEdit | CharacterEdit) else "",
            caller=queue_name(request, principal, user),
            deadline=clock.monotonic() + options.deadline_s,
            principal=principal,
            user_id=user,
            db_id=db_id,
            character=body.character if isinstance(body, CharacterFields) else None,
            search=body.google_access if isinstance(body, OfficeEdit) else False,
            stream=wants_stream(request),
            mode=mode,
            index=index,
        )
        if isinstance(body, CharacterFields):
            wanted = await with_stored_character(wanted, body.model, body, services)
        return await respond(body.model, wanted, request, services)

    if options.assistant == "office":

        async def regenerate(
            db_id: DbIdPath,
            user: User,
            request: Request,
            body: Annotated[Again | None, Body()] = None,
        ) -> Response:
            """Answer the last turn once more; the new answer is selected, the others are kept."""
            return await again(request, (user, db_id), "regenerate", body or Again())

        async def continue_answer(
            db_id: DbIdPath,
            user: User,
            request: Request,
            body: Annotated[Again | None, Body()] = None,
        ) -> Response:
            """Go on with the last answer where it stopped; the answer here is the new part."""
            return await again(request, (user, db_id), "continue", body or Again())

        async def edit(
            db_id: DbIdPath, index: Index, user: User, request: Request, body: OfficeEdit
        ) -> Response:
            """Say a turn differently: it and all after it give way to a new turn."""
            return await again(request, (user, db_id), "edit", body, index)

        ways: tuple[Callable[..., Any], ...] = (regenerate, continue_answer, edit)
    else:

        async def regenerate_line(
            db_id: DbIdPath, user: User, request: Request, body: CharacterAgain
        ) -> Response:
            """Let the character answer the last turn once more; the other answers are kept."""
            return await again(request, (user, db_id), "regenerate", body)

        async def continue_line(
            db_id: DbIdPath, user: User, request: Request, body: CharacterAgain
        ) -> Response:
            """Let the character go on where the last answer stopped; this is the new part."""
            return await again(request, (user, db_id), "continue", body)

        async def edit_line(
            db_id: DbIdPath, index: Index, user: User, request: Request, body: CharacterEdit
        ) -> Response:
            """Say a turn differently: it and all after it give way to a new turn."""
            return await again(request, (user, db_id), "edit", body, index)

        ways = (regenerate_line, continue_line, edit_line)
    paths = ("/regenerate", "/continue", "/turns/{index}/edit")
    for path, way in zip(paths, ways, strict=True):
        routes.add_api_route(
            path,
            way,
            methods=["POST"],
            responses=RESPONSES,
            response_class=JSONResponse,
            openapi_extra=SPEAKING,
        )
    return routes
