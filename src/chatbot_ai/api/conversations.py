"""Conversations: listed, read, named, exported, copied and deleted by the user they belong to.

Nothing here tells another user's conversation from one that does not exist: the user is part of
what names a conversation, so there is nothing to compare and nothing to leak.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

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
from chatbot_ai.api.error_responses import language_for
from chatbot_ai.api.openapi import CALLER_RESPONSES, MAKING, document_error
from chatbot_ai.api.services import ApiOptions, ServicesOf
from chatbot_ai.core.conversation_library import ConversationLibrary
from chatbot_ai.domain import limits
from chatbot_ai.domain.conversation import ConversationKey, ConversationSummary, Turn
from chatbot_ai.domain.text import normalize
from chatbot_ai.messages import get_message

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
        "1000 newest before `before`; `next_before` continues from there.",
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
ExportFormat = Literal["jsonl", "markdown"]
#: Media type and file ending of each format.
EXPORTS: dict[ExportFormat, tuple[str, str]] = {
    "jsonl": ("application/jsonl", "jsonl"),
    "markdown": ("text/markdown", "md"),
}


async def library_of(services: ServicesOf) -> ConversationLibrary:
    """This assistant's conversations; a FastAPI dependency."""
    chat = services.chat
    return ConversationLibrary(
        chat.assistant, chat.store, services.creations, chat.memory.check_room
    )


Library = Annotated[ConversationLibrary, Depends(library_of)]


async def key_of(db_id: DbIdPath, user: User, library: Library) -> ConversationKey:
    """What the path and the user name together; a FastAPI dependency."""
    return ConversationKey(library.assistant, user, db_id)


Key = Annotated[ConversationKey, Depends(key_of)]

router = APIRouter(
    prefix="/conversations",
    tags=["conversations"],
    dependencies=[Depends(principal_of)],
    responses=RESPONSES,
)


@router.get("")
async def list_conversations(
    user: User,
    library: Library,
    search: Annotated[Search, Depends()],
    limit: Limit = 50,
    before: Before = None,
) -> ConversationPage:
    """List a user's conversations, newest first. A page holds more than `limit` only where
    several have the very same time."""
    found, more = await library.list_page(
        user, limit=limit, before=before, wanted=search.wanted, prefix=search.prefix
    )
    return ConversationPage(conversations=[Conversation.of(one) for one in found], next_before=more)


@router.delete("")
async def delete_conversations(user: User, library: Library) -> Deleted:
    """Delete all conversations that a user has with this assistant."""
    return Deleted(deleted_turns=await library.store.delete_user(user, library.assistant))


@router.get("/{db_id}", responses=NOT_FOUND)
async def read_conversation(key: Key, library: Library) -> Conversation:
    """Read one conversation's title, length and time."""
    return Conversation.of(await library.read_summary(key))


@router.patch("/{db_id}", responses=NOT_FOUND | BODY_RESPONSES)
async def name_conversation(key: Key, body: Naming, library: Library) -> Conversation:
    """Give a conversation a title."""
    return Conversation.of(await library.rename(key, body.title))


@router.delete("/{db_id}", responses=NOT_FOUND)
async def delete_conversation(key: Key, library: Library) -> Deleted:
    """Delete a conversation with all its turns."""
    return Deleted(deleted_turns=await library.delete(key))


@router.get("/{db_id}/turns", responses=NOT_FOUND)
async def read_turns(
    key: Key,
    library: Library,
    first: Annotated[int, Query(ge=0, le=MAX_INDEX, description="Turn to begin with.")] = 0,
    limit: Limit = 50,
) -> TurnPage:
    """Read a conversation's turns, oldest first."""
    turns, more = await library.read_turns(key, first=first, limit=limit)
    return TurnPage(turns=[StoredTurn.of(turn) for turn in turns], next_first=more)


@router.post("/{db_id}/turns/{index}/select", responses=NOT_FOUND | BODY_RESPONSES)
async def select_answer(key: Key, index: Index, body: Selection, library: Library) -> StoredTurn:
    """Choose which of a turn's answers counts, also for the model."""
    return StoredTurn.of(await library.store.select_output(key, index, body.selected))


@router.post("/{db_id}/branch", responses=NOT_FOUND | BODY_RESPONSES, openapi_extra=MAKING)
async def branch(
    key: Key, body: Branching, library: Library, request: Request, response: Response
) -> Conversation:
    """Copy a conversation up to a turn into a new one, which then goes its own way."""
    claim = await read_claim(request, owner_of(request, request.state.principal, key.user_id))
    found, is_new = await library.branch(key, body.db_id, last=body.turn, claim=claim)
    if not is_new:
        response.headers.update(REPLAYED)
    return Conversation.of(found)


@router.get(
    "/{db_id}/export",
    response_class=StreamingResponse,
    responses=NOT_FOUND
    | {
        200: {
            "description": "The file.",
            "content": {kind: {"schema": {"type": "string"}} for kind, _ in EXPORTS.values()},
        }
    },
)
async def export(
    key: Key,
    library: Library,
    services: ServicesOf,
    request: Request,
    format: Annotated[
        ExportFormat, Query(description="JSON lines or a readable document.")
    ] = "jsonl",
) -> StreamingResponse:
    """Download a whole conversation as a file, with times in the team's zone."""
    summary = await library.read_summary(key)
    media_type, ending = EXPORTS[format]
    headers = {"Content-Disposition": f'attachment; filename="{key.db_id}.{ending}"'}
    zone = services.chat.local_time().tzinfo
    if format == "markdown":
        options: ApiOptions = request.app.state.options
        label = get_message("api.ai_label", language_for(request)) if options.ai_notice else ""
        lines = _write_markdown(library, summary, zone, label)
    else:
        lines = _write_json(library, summary, zone)
    return StreamingResponse(lines, media_type=media_type, headers=headers)


async def _write_json(
    library: ConversationLibrary, summary: ConversationSummary, zone: dt.tzinfo | None
) -> AsyncIterator[str]:
    """A line for each turn: what GET …/turns tells of it, its time as people read it, and that an
    AI wrote the output."""
    async for turn in library.walk_turns(summary.key):
        local_time = dt.datetime.fromtimestamp(turn.created_at, zone).isoformat()
        line = {**StoredTurn.of(turn).model_dump(), "local_time": local_time, "ai_generated": True}
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


async def _write_markdown(
    library: ConversationLibrary, summary: ConversationSummary, zone: dt.tzinfo | None, label: str
) -> AsyncIterator[str]:
    title = summary.title or summary.preview or summary.key.db_id
    yield f"# {' '.join(title.split())}\n"
    if label:
        yield f"\n_{label}_\n"
    async for turn in library.walk_turns(summary.key):
        yield _format_section(turn, zone)


def _format_section(turn: Turn, zone: dt.tzinfo | None) -> str:
    when = dt.datetime.fromtimestamp(turn.created_at, zone)
    notes = [when.isoformat(" ", "minutes"), turn.answer.model]
    if turn.answer.status == "interrupted":
        notes.append("interrupted")
    if len(turn.answers) > 1:
        notes.append(f"answer {turn.selected + 1} of {len(turn.answers)}")
    quoted = "\n".join(f"> {line}".rstrip() for line in turn.input.split("\n"))
    return f"\n## {turn.index + 1}\n\n_{' · '.join(notes)}_\n\n{quoted}\n\n{turn.output}\n"
