"""Changes of MongoDB conversations that take several writes, each whole after a crash half-way.

A plain mongod has no transaction over several documents. An edit is therefore one write that
decides, the new turn in the place of the old one, marked as having turns behind it that are to
go; the conversation's document says before it where to look. The next reader of that document, in
whatever process, finishes what was begun.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from pymongo.errors import DuplicateKeyError

from chatbot_ai.domain.conversation import ConversationKey, Turn
from chatbot_ai.storage import mongodb_turns as queries
from chatbot_ai.storage.mongodb_connection import Database
from chatbot_ai.storage.mongodb_turns import (
    Document,
    identity,
    turn_from_document,
    turn_to_document,
)
from chatbot_ai.storage.mongodb_usage import Growth
from chatbot_ai.storage.records import build_preview, is_same_turn

#: Turns that are removed at once.
_BATCH = 1000


async def append(database: Database, key: ConversationKey, new: Turn, growth: Growth) -> Turn:
    """Put `new` behind the conversation's turns, unless its turn_id is there already; `growth`
    gets what it takes."""
    growth.bytes = 0
    known, conversation = await asyncio.gather(
        queries.find_by_turn_id(database, key, new.turn_id), repair_conversation(database, key)
    )
    while known is None:
        index = await queries.find_next_index(
            database, key, conversation["next_index"] if conversation else 0
        )
        stored = replace(new, index=index)
        if await queries.insert(database, key, stored, is_new=conversation is None):
            growth.bytes = turn_to_document(key, stored)["bytes"]
            is_gapless, _ = await asyncio.gather(
                queries.is_gapless(database, key, index),
                queries.update_conversation(database, key, stored, may_be_first=False),
            )
            if is_gapless:
                return stored
            # turns before it were removed meanwhile
            await _close_up(database, key)
        known = await queries.find_by_turn_id(database, key, new.turn_id)
        conversation = await repair_conversation(database, key)
    # Once more: the process that stored it may have died before this update.
    known_turn = turn_from_document(known)
    await queries.update_conversation(database, key, known_turn, may_be_first=False)
    return known_turn


async def replace_from(
    database: Database, key: ConversationKey, first: int, new: Turn
) -> Turn | None:
    """Put `new` in the place of turn `first` and all behind it; None where there is no such turn.

    A conversation that has a turn of that turn_id already keeps it, unless it stands at `first`
    and says something else.
    """
    known = await queries.find_by_turn_id(database, key, new.turn_id)
    if known is not None:
        turn = turn_from_document(known)
        if turn.index != first or is_same_turn(turn, new):
            await repair_conversation(database, key)
            return turn
    await queries.ensure_conversation(database, key)
    await database["conversations"].update_one(identity(key), {"$set": {"cut": first}})
    placed = replace(new, index=first)
    content = turn_to_document(key, placed) | {"has_tail": True}
    named = {**identity(key), "index": first}
    result = await database["turns"].update_one(named, {"$set": content})
    await _finish(database, key, first)
    return placed if result.matched_count else None


async def repair_conversation(database: Database, key: ConversationKey) -> Document | None:
    """Return the conversation's document, after finishing an edit that somebody left half done."""
    conversation = await database["conversations"].find_one(identity(key))
    if conversation is not None and "cut" in conversation:
        await _finish(database, key, conversation["cut"])
        conversation = await database["conversations"].find_one(identity(key))
    return conversation


async def delete(database: Database, chosen: Document) -> int:
    """Remove turns and conversations, also those of turns that are appended while it works."""
    removed = 0
    while True:
        removed += await queries.remove(database, chosen)
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
        await queries.shorten(database, key, first + 1)
        shown = {"$set": {"preview": build_preview(head["input"])}}
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
            await queries.shorten(database, key, len(found))
            return
        with suppress(DuplicateKeyError):  # somebody else moves them too: look again
            for place, turn in astray:
                await turns.update_one(turn, {"$set": {"index": place}})
