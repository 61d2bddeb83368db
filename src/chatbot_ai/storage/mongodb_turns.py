"""Where a MongoDB conversation's turns are: reads bounded on both sides, and the next index.

A line of `conversations` says at which index the next turn goes, but only as a hint: turn and
line are two documents, and a plain mongod has no transaction over both. So everything here is
right with a wrong hint, and only slower. Reads name a range of indices instead of asking for "the
last n": such a range costs the same on every server that speaks the protocol.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError

from chatbot_ai.domain.conversation import ConversationKey, Turn
from chatbot_ai.storage.mongodb_documents import Document, document_of, identity
from chatbot_ai.storage.mongodb_schema import Database
from chatbot_ai.storage.records import preview

_INDEX_ONLY = {"_id": 0, "index": 1}


async def next_index(database: Database, key: ConversationKey, hint: int) -> int:
    """Return the first index behind the conversation's turns."""
    low, high, width = max(hint - 1, 0), None, 1
    while True:
        found = await between(database, key, low, high, projection=_INDEX_ONLY)
        if found:
            return int(found[-1]["index"]) + 1
        if low == 0:
            return 0
        width *= 2
        low, high = max(low - width, 0), low


async def newest(database: Database, key: ConversationKey, hint: int, limit: int) -> list[Document]:
    """Return the newest `limit` turns, oldest first."""
    low, width = max(hint - limit, 0), limit
    found = await between(database, key, low, None)
    while len(found) < limit and low > 0:
        width *= 2
        lower = max(low - width, 0)
        found = await between(database, key, lower, low) + found
        low = lower
    return found[-limit:]


async def from_index(
    database: Database, key: ConversationKey, first: int, limit: int
) -> list[Document]:
    """Return up to `limit` turns from index `first` on, also where a restore is half done."""
    found = await between(database, key, first, first + limit)
    if len(found) < limit:
        found += await between(database, key, first + limit, None, limit=limit - len(found))
    return found


async def between(
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


async def with_turn_id(database: Database, key: ConversationKey, turn_id: str) -> Document | None:
    return await database["turns"].find_one({**identity(key), "turn_id": turn_id})


async def is_gapless(database: Database, key: ConversationKey, index: int) -> bool:
    """Return whether the turn before `index` is there."""
    if index == 0:
        return True
    before = {**identity(key), "index": index - 1}
    return await database["turns"].find_one(before, _INDEX_ONLY) is not None


async def insert(database: Database, key: ConversationKey, turn: Turn, *, is_new: bool) -> bool:
    """Insert `turn`; False where its index or turn_id is taken. `tell_line` must follow.

    With `is_new` the conversation's line is made first, so that no turn is ever without one:
    deleting a user and scanning go by the lines.
    """
    if is_new:
        await make_line(database, key)
    try:
        await database["turns"].insert_one(document_of(key, turn))
    except DuplicateKeyError:
        return False
    return True


async def make_line(database: Database, key: ConversationKey) -> None:
    """Make the conversation's line, unless it is there."""
    blank = {"title": None, "next_index": 0, "updated_at": 0.0}
    with suppress(DuplicateKeyError):
        await database["conversations"].update_one(
            identity(key), {"$setOnInsert": blank}, upsert=True
        )


async def tell_line(
    database: Database, key: ConversationKey, turn: Turn, *, may_be_first: bool
) -> None:
    """Bring the conversation's line up to date with a turn that was inserted.

    `may_be_first` says whether a turn with an index above 0 may be the conversation's first one,
    as while it is restored.
    """
    update: Document = {
        "$max": {"next_index": turn.index + 1, "updated_at": float(turn.created_at)},
        "$min": {"first_index": turn.index},
    }
    show = {"$set": {"preview": preview(turn.input)}}
    if turn.index == 0:
        update |= show
    # update_one, not find_one_and_update: one server that we test on scans the collection for
    # the latter (70 ms at 3,000 documents), and none needs it.
    result = await database["conversations"].update_one(identity(key), update)
    if not result.matched_count:
        await _line_again(database, key, turn, update)
    if turn.index > 0 and may_be_first:
        first = {**identity(key), "first_index": turn.index}
        await database["conversations"].update_one(first, show)


async def _line_again(
    database: Database, key: ConversationKey, turn: Turn, update: Document
) -> None:
    """Make the line anew that a deletion took while `turn` was inserted, if the turn is left."""
    await make_line(database, key)
    await database["conversations"].update_one(identity(key), update)
    if await with_turn_id(database, key, turn.turn_id) is None:
        ghost = {**identity(key), "next_index": turn.index + 1}
        await database["conversations"].delete_one(ghost)


async def remove(database: Database, chosen: Document) -> int:
    """Remove every chosen turn, those too that are appended while it works."""
    removed = 0
    while deleted := (await database["turns"].delete_many(chosen)).deleted_count:
        removed += deleted
    return removed


async def shorten(database: Database, key: ConversationKey, first: int) -> None:
    """Tell the conversation's line that its turns from `first` on were removed."""
    index, last = await next_index(database, key, first), []
    while index > 0 and not (last := await between(database, key, index - 1, index)):
        index = await next_index(database, key, index)  # that one went too, meanwhile
    if index == 0:
        update: Document = {
            "$set": {"next_index": 0, "updated_at": 0.0},
            "$unset": {"first_index": "", "preview": ""},
        }
    else:
        update = {"$set": {"next_index": index, "updated_at": last[0]["created_at"]}}
    await database["conversations"].update_one(identity(key), update)
