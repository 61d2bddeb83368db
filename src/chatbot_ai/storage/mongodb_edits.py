"""Changes of MongoDB conversations that take several writes, each whole after a crash half-way.

A plain mongod has no transaction over several documents. An edit is therefore one write that
decides, the new turn in the place of the old one, marked as having turns behind it that are to
go; the conversation's line says before it where to look. Whoever reads that line next, in
whatever process, finishes what was begun.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from pymongo.errors import DuplicateKeyError

from chatbot_ai.domain.conversation import ConversationKey, Turn
from chatbot_ai.storage import mongodb_turns as places
from chatbot_ai.storage.mongodb_documents import Document, document_of, identity, turn_of
from chatbot_ai.storage.mongodb_schema import Database
from chatbot_ai.storage.records import is_same_turn, preview

#: Turns that are removed at once.
_BATCH = 1000


async def append(database: Database, key: ConversationKey, new: Turn) -> Turn:
    """Put `new` behind the conversation's turns, unless its turn_id is there already."""
    known, line = await asyncio.gather(
        places.with_turn_id(database, key, new.turn_id), mended_line(database, key)
    )
    while known is None:
        index = await places.next_index(database, key, line["next_index"] if line else 0)
        stored = replace(new, index=index)
        if await places.insert(database, key, stored, is_new=line is None):
            is_gapless, _ = await asyncio.gather(
                places.is_gapless(database, key, index),
                places.tell_line(database, key, stored, may_be_first=False),
            )
            if is_gapless:
                return stored
            # turns before it were removed meanwhile
            await _close_up(database, key)
        known = await places.with_turn_id(database, key, new.turn_id)
        line = await mended_line(database, key)
    # Told again: whoever stored it may have died before telling.
    known_turn = turn_of(known)
    await places.tell_line(database, key, known_turn, may_be_first=False)
    return known_turn


async def replace_from(
    database: Database, key: ConversationKey, first: int, new: Turn
) -> Turn | None:
    """Put `new` in the place of turn `first` and all behind it; None where there is no such turn.

    A conversation that has a turn of that turn_id already keeps it, unless it stands at `first`
    and says something else.
    """
    known = await places.with_turn_id(database, key, new.turn_id)
    if known is not None:
        turn = turn_of(known)
        if turn.index != first or is_same_turn(turn, new):
            await mended_line(database, key)
            return turn
    await places.make_line(database, key)
    await database["conversations"].update_one(identity(key), {"$set": {"cut": first}})
    placed = replace(new, index=first)
    content = document_of(key, placed) | {"has_tail": True}
    named = {**identity(key), "index": first}
    result = await database["turns"].update_one(named, {"$set": content})
    await _finish(database, key, first)
    return placed if result.matched_count else None


async def mended_line(database: Database, key: ConversationKey) -> Document | None:
    """Return the conversation's line, after finishing an edit that somebody left half done."""
    line = await database["conversations"].find_one(identity(key))
    if line is not None and "cut" in line:
        await _finish(database, key, line["cut"])
        line = await database["conversations"].find_one(identity(key))
    return line


async def delete(database: Database, chosen: Document) -> int:
    """Remove turns and lines, also those of turns that are appended while it works."""
    removed = 0
    while True:
        removed += await places.remove(database, chosen)
        await database["conversations"].delete_many(chosen)
        if await database["turns"].find_one(chosen, {"_id": 1}) is None:
            return removed


async def _finish(database: Database, key: ConversationKey, first: int) -> None:
    """Remove what stands behind the marked turn `first`, if it is marked, and then the marks.

    Several may do so at once. Each removes only turns that it saw before the mark, so none that
    was appended after another one had finished.
    """
    turns = database["turns"]
    marked = {**identity(key), "index": first, "has_tail": True}
    behind = {**identity(key), "index": {"$gt": first}}
    while True:
        tail = await turns.find(behind, {"_id": 1}, limit=_BATCH).to_list()
        head = await turns.find_one(marked)
        if head is None or not tail:
            break
        await turns.delete_many({"_id": {"$in": [document["_id"] for document in tail]}})
    if head is not None:
        await places.shorten(database, key, first + 1)
        shown = {"$set": {"preview": preview(head["input"])}}
        await database["conversations"].update_one({**identity(key), "first_index": first}, shown)
        await turns.update_one(marked, {"$unset": {"has_tail": ""}})
    done = {"$unset": {"cut": ""}}
    await database["conversations"].update_one({**identity(key), "cut": first}, done)


async def _close_up(database: Database, key: ConversationKey) -> None:
    """Move turns down until they count from 0 without gaps, in their order.

    Taking the own turn back would not do: another one may have been put behind it by then.
    """
    turns = database["turns"]
    while True:
        found = await turns.find(identity(key), {"index": 1}, sort=[("index", 1)]).to_list()
        astray = [(n, turn) for n, turn in enumerate(found) if turn["index"] != n]
        if not astray:
            await places.shorten(database, key, len(found))
            return
        with suppress(DuplicateKeyError):  # somebody else moves them too: look again
            for place, turn in astray:
                await turns.update_one(turn, {"$set": {"index": place}})
