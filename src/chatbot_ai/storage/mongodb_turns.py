"""Turns and conversations as MongoDB documents, and where a conversation's turns are.

A document of `conversations` says at which index the next turn goes, but only as a hint: turn and
conversation are two documents, and a plain mongod has no transaction over both. So everything here
is right with a wrong hint, and only slower. Reads name a range of indices instead of asking for
"the last n": such a range costs the same on every server that speaks the protocol.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError

from chatbot_ai.domain.conversation import ConversationKey, ConversationSummary, Turn
from chatbot_ai.storage.mongodb_connection import Database
from chatbot_ai.storage.records import (
    answer_from_dict,
    answer_to_dict,
    build_preview,
    count_turn_bytes,
)

Document = dict[str, Any]


def identity(key: ConversationKey) -> Document:
    """Return the filter that names a conversation."""
    return {"assistant": key.assistant, "user_id": key.user_id, "db_id": key.db_id}


def key_from_document(document: Document) -> ConversationKey:
    return ConversationKey(document["assistant"], document["user_id"], document["db_id"])


def turn_to_document(key: ConversationKey, turn: Turn) -> Document:
    document = {
        **identity(key),
        "index": turn.index,
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answers": [answer_to_dict(answer) for answer in turn.answers],
        "selected": turn.selected,
        "sent": turn.sent,
        "window_start": turn.window_start,
        "created_at": float(turn.created_at),
    }
    return document | {"bytes": count_turn_bytes(document)}


def turn_from_document(document: Document) -> Turn:
    created_at = document["created_at"]
    return Turn(
        index=document["index"],
        turn_id=document["turn_id"],
        input=document["input"],
        answers=tuple(answer_from_dict(fields, created_at) for fields in document["answers"]),
        selected=document["selected"],
        created_at=created_at,
        sent=document["sent"],
        window_start=document["window_start"],
    )


def summary_from_document(conversation: Document) -> ConversationSummary:
    return ConversationSummary(
        key=key_from_document(conversation),
        title=conversation.get("title"),
        preview=conversation.get("preview", ""),
        turns=conversation["next_index"] - conversation.get("first_index", 0),
        updated_at=conversation["updated_at"],
    )


_INDEX_ONLY = {"_id": 0, "index": 1}


async def find_next_index(database: Database, key: ConversationKey, hint: int) -> int:
    """Return the first index behind the conversation's turns."""
    low, high, width = max(hint - 1, 0), None, 1
    while True:
        found = await find_between(database, key, low, high, projection=_INDEX_ONLY)
        if found:
            return int(found[-1]["index"]) + 1
        if low == 0:
            return 0
        width *= 2
        low, high = max(low - width, 0), low


async def find_newest(
    database: Database, key: ConversationKey, hint: int, limit: int
) -> list[Document]:
    """Return the newest `limit` turns, oldest first."""
    low, width = max(hint - limit, 0), limit
    found = await find_between(database, key, low, None)
    while len(found) < limit and low > 0:
        width *= 2
        lower = max(low - width, 0)
        found = await find_between(database, key, lower, low) + found
        low = lower
    return found[-limit:]


async def find_from(
    database: Database, key: ConversationKey, first: int, limit: int
) -> list[Document]:
    """Return up to `limit` turns from index `first` on, also where a restore is half done."""
    found = await find_between(database, key, first, first + limit)
    if len(found) < limit:
        found += await find_between(database, key, first + limit, None, limit=limit - len(found))
    return found


async def find_between(
    database: Database,
    key: ConversationKey,
    low: int,
    high: int | None,
    *,
    projection: dict[str, int] | None = None,
    limit: int = 0,
) -> list[Document]:
    """Return the turns from `low` up to but not including `high`, oldest first."""
    bounds: dict[str, Any] = {"$gte": low} if high is None else {"$gte": low, "$lt": high}
    query = {**identity(key), "index": bounds}
    cursor = database["turns"].find(query, projection, sort=[("index", 1)], limit=limit)
    return await cursor.to_list()


async def find_by_turn_id(
    database: Database, key: ConversationKey, turn_id: str
) -> Document | None:
    return await database["turns"].find_one({**identity(key), "turn_id": turn_id})


async def is_gapless(database: Database, key: ConversationKey, index: int) -> bool:
    """Return whether the turn before `index` is there."""
    if index == 0:
        return True
    before = {**identity(key), "index": index - 1}
    return await database["turns"].find_one(before, _INDEX_ONLY) is not None


async def insert(database: Database, key: ConversationKey, turn: Turn, *, is_new: bool) -> bool:
    """Insert `turn`; False where its index or turn_id is taken. `update_conversation` must follow.

    With `is_new` the conversation's document is made first, so that no turn is ever without one:
    deleting a user and scanning go by these documents.
    """
    if is_new:
        await ensure_conversation(database, key)
    try:
        await database["turns"].insert_one(turn_to_document(key, turn))
    except DuplicateKeyError:
        return False
    return True


async def ensure_conversation(database: Database, key: ConversationKey) -> None:
    """Make the conversation's document, unless it is there."""
    blank = {"title": None, "next_index": 0, "updated_at": 0.0}
    with suppress(DuplicateKeyError):
        await database["conversations"].update_one(
            identity(key), {"$setOnInsert": blank}, upsert=True
        )


async def update_conversation(
    database: Database, key: ConversationKey, turn: Turn, *, may_be_first: bool
) -> None:
    """Bring the conversation's document up to date with a turn that was inserted.

    `may_be_first` says whether a turn with an index above 0 may be the conversation's first one,
    as while it is restored.
    """
    update: Document = {
        "$max": {"next_index": turn.index + 1, "updated_at": float(turn.created_at)},
        "$min": {"first_index": turn.index},
    }
    show = {"$set": {"preview": build_preview(turn.input)}}
    if turn.index == 0:
        update |= show
    # update_one, not find_one_and_update: one server that we test on scans the collection for
    # the latter (70 ms at 3,000 documents), and none needs it.
    result = await database["conversations"].update_one(identity(key), update)
    if not result.matched_count:
        await _recreate_conversation(database, key, turn, update)
    if turn.index > 0 and may_be_first:
        first = {**identity(key), "first_index": turn.index}
        await database["conversations"].update_one(first, show)


async def _recreate_conversation(
    database: Database, key: ConversationKey, turn: Turn, update: Document
) -> None:
    """Create the document again that a deletion removed while `turn` was inserted, if the turn is
    still there."""
    await ensure_conversation(database, key)
    await database["conversations"].update_one(identity(key), update)
    if await find_by_turn_id(database, key, turn.turn_id) is None:
        ghost = {**identity(key), "next_index": turn.index + 1}
        await database["conversations"].delete_one(ghost)


async def remove(database: Database, chosen: Document) -> int:
    """Remove every chosen turn, those too that are appended while it works."""
    removed = 0
    while deleted := (await database["turns"].delete_many(chosen)).deleted_count:
        removed += deleted
    return removed


async def shorten(database: Database, key: ConversationKey, first: int) -> None:
    """Note in the conversation's document that its turns from `first` on were removed."""
    index, last = await find_next_index(database, key, first), []
    while index > 0 and not (last := await find_between(database, key, index - 1, index)):
        index = await find_next_index(database, key, index)  # that one went too, meanwhile
    if index == 0:
        update: Document = {
            "$set": {"next_index": 0, "updated_at": 0.0},
            "$unset": {"first_index": "", "preview": ""},
        }
    else:
        update = {"$set": {"next_index": index, "updated_at": last[0]["created_at"]}}
    await database["conversations"].update_one(identity(key), update)
