"""Conversations: listed, read, named, exported, copied and deleted by the user they belong to.

Nothing here tells another user's conversation from one that does not exist: the user is part of
what names a conversation, so there is nothing to compare and nothing to leak.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from chatbot_ai.api.answering import CALLER_RESPONSES, document_error
from chatbot_ai.api.caller import REPLAYED, User, owner_of, principal_of, read_claim
from chatbot_ai.api.conversation_schemas import (
    MAX_INDEX,
    Branching,
    Conversation,
    ConversationPage,
    DbIdPath,
    Deleted,
    Index,
    Naming,
    Selection,
    StoredTurn,
    TurnPage,
)
from chatbot_ai.api.export import MEDIA_TYPES, exported
from chatbot_ai.api.openapi import MAKING
from chatbot_ai.api.services import ServicesOf, services_of
from chatbot_ai.core.conversation_library import ConversationLibrary
from chatbot_ai.domain import limits
from chatbot_ai.domain.conversation import ConversationKey
from chatbot_ai.domain.text import normalize

Limit = Annotated[int, Query(ge=1, le=limits.PAGE_ENTRIES, description="Most entries of one page.")]
Before = Annotated[
    float | None,
    Query(allow_inf_nan=False, description="Only those updated before this Unix time."),
]
Wanted = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=limits.SEARCH_CHARS,
        description="Only those with this text in title or first input. A page looks through the "
        "1000 newest before `before`; `next_before` goes on from there.",
    ),
]
Prefix = Annotated[
    str | None,
    Query(max_length=limits.DB_ID_CHARS, description="Only those whose `db_id` begins with this."),
]


class Search:
    """Which conversations are meant."""

    def __init__(self, q: Wanted = None, db_id_prefix: Prefix = None) -> None:
        self.wanted = normalize(q) if q else None
        self.prefix = db_id_prefix


RESPONSES = {
    **CALLER_RESPONSES,
    **document_error(403, "A user key that names another user."),
    **document_error(422, "A parameter is wrong; `fields` names it."),
    **document_error(503, "The conversation store is down; see Retry-After."),
}
BODY_RESPONSES = {
    **document_error(400, "Not JSON."),
    **document_error(413, "The body is too large."),
}
NOT_FOUND = document_error(404, "This user has no such conversation, or it has no such turn.")


async def library_of(services: ServicesOf) -> ConversationLibrary:
    """This assistant's conversations; a FastAPI dependency."""
    return ConversationLibrary(services.chat.assistant, services.chat.store)


LibraryOf = Annotated[ConversationLibrary, Depends(library_of)]


async def key_of(db_id: DbIdPath, user: User, library: LibraryOf) -> ConversationKey:
    """What the path and the user name together; a FastAPI dependency."""
    return ConversationKey(library.assistant, user, db_id)


Key = Annotated[ConversationKey, Depends(key_of)]


def router() -> APIRouter:
    """The routes of one assistant's conversations."""
    routes = APIRouter(
        prefix="/conversations",
        tags=["conversations"],
        dependencies=[Depends(principal_of)],
        responses=RESPONSES,
    )

    async def list_conversations(
        user: User,
        library: LibraryOf,
        search: Annotated[Search, Depends()],
        limit: Limit = 50,
        before: Before = None,
    ) -> ConversationPage:
        """List a user's conversations, newest first. A page holds more than `limit` only where
        several have the very same time."""
        found, more = await library.page(
            user, limit=limit, before=before, wanted=search.wanted, prefix=search.prefix
        )
        return ConversationPage(
            conversations=[Conversation.of(one) for one in found], next_before=more
        )

    async def delete_conversations(user: User, library: LibraryOf) -> Deleted:
        """Delete all conversations that a user has with this assistant."""
        return Deleted(deleted_turns=await library.store.delete_user(user, library.assistant))

    async def read_conversation(key: Key, library: LibraryOf) -> Conversation:
        """Read one conversation's title, length and time."""
        return Conversation.of(await library.summary(key))

    async def name_conversation(key: Key, body: Naming, library: LibraryOf) -> Conversation:
        """Give a conversation a title."""
        await library.store.set_title(key, body.title)
        return Conversation.of(await library.summary(key))

    async def delete_conversation(key: Key, library: LibraryOf) -> Deleted:
        """Delete a conversation with all its turns."""
        await library.summary(key)
        return Deleted(deleted_turns=await library.store.delete_conversation(key))

    async def read_turns(
        key: Key,
        library: LibraryOf,
        first: Annotated[int, Query(ge=0, le=MAX_INDEX, description="Turn to begin with.")] = 0,
        limit: Limit = 50,
    ) -> TurnPage:
        """Read a conversation's turns, oldest first."""
        await library.summary(key)
        found = await library.store.turns(key, first=first, limit=limit + 1)
        more = found[limit].index if len(found) > limit else None
        return TurnPage(turns=[StoredTurn.of(turn) for turn in found[:limit]], next_first=more)

    async def select_answer(
        key: Key, index: Index, body: Selection, library: LibraryOf
    ) -> StoredTurn:
        """Choose which of a turn's answers counts, also for the model."""
        return StoredTurn.of(await library.store.select_output(key, index, body.selected))

    async def branch(
        key: Key, body: Branching, library: LibraryOf, request: Request, response: Response
    ) -> Conversation:
        """Copy a conversation up to a turn into a new one, which then goes its own way."""
        claim = await read_claim(request, owner_of(request, request.state.principal, key.user_id))
        made = claim.thing_id if claim else None
        name = body.db_id or str(uuid.UUID(hex=made) if made else uuid.uuid4())
        copy = ConversationKey(key.assistant, key.user_id, name)
        async with services_of(request).creations.one_at_a_time(claim):
            found, is_new = await library.branch(key, copy, last=body.turn, claim_id=made)
        if not is_new:
            response.headers.update(REPLAYED)
        return Conversation.of(found)

    async def export(
        key: Key,
        library: LibraryOf,
        format: Annotated[
            Literal["jsonl", "markdown"], Query(description="JSON lines or a readable document.")
        ] = "jsonl",
    ) -> StreamingResponse:
        """Download a whole conversation as a file."""
        summary = await library.summary(key)
        media_type, ending = MEDIA_TYPES[format]
        headers = {"Content-Disposition": f'attachment; filename="{key.db_id}.{ending}"'}
        return StreamingResponse(
            exported(library, summary, format), media_type=media_type, headers=headers
        )

    add = routes.add_api_route
    add("", list_conversations, methods=["GET"])
    add("", delete_conversations, methods=["DELETE"])
    one = "/{db_id}"
    add(one, read_conversation, methods=["GET"], responses=NOT_FOUND)
    add(one, name_conversation, methods=["PATCH"], responses=NOT_FOUND | BODY_RESPONSES)
    add(one, delete_conversation, methods=["DELETE"], responses=NOT_FOUND)
    add(f"{one}/turns", read_turns, methods=["GET"], responses=NOT_FOUND)
    add(
        f"{one}/turns/{{index}}/select",
        select_answer,
        methods=["POST"],
        responses=NOT_FOUND | BODY_RESPONSES,
    )
    add(
        f"{one}/branch",
        branch,
        methods=["POST"],
        responses=NOT_FOUND | BODY_RESPONSES,
        openapi_extra=MAKING,
    )
    files = {kind: {"schema": {"type": "string"}} for kind, _ in MEDIA_TYPES.values()}
    add(
        f"{one}/export",
        export,
        methods=["GET"],
        response_class=StreamingResponse,
        responses=NOT_FOUND | {200: {"description": "The file.", "content": files}},
    )
    return routes
