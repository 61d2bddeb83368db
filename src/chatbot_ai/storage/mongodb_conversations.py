"""Conversations in MongoDB, for several machines and for operators who run it already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from chatbot_ai.domain.conversation import (
    ASSISTANTS,
    Assistant,
    ConversationKey,
    ConversationSummary,
    NewTurn,
    Turn,
)
from chatbot_ai.domain.errors import NotFound
from chatbot_ai.storage import mongodb_edits as edits
from chatbot_ai.storage import mongodb_turns as queries
from chatbot_ai.storage import mongodb_usage as usage
from chatbot_ai.storage.mongodb_connection import Database, MongoConnection
from chatbot_ai.storage.mongodb_turns import (
    Document,
    identity,
    key_from_document,
    summary_from_document,
    turn_from_document,
)
from chatbot_ai.storage.mongodb_usage import Growth
from chatbot_ai.storage.records import (
    Answers,
    ChangesAnswers,
    answer_to_dict,
    build_turn,
    count_turn_bytes,
    normalize_turn,
    repair_surrogates,
    validate_key,
    validate_name,
)
from chatbot_ai.storage.uninterrupted import finish_when_cancelled, wait_until_done

#: Documents that `scan` holds in memory at once.
_PAGE = 256
_MAX_LIMIT = 2**31 - 1


class MongoConversationStore(ChangesAnswers):
    """ConversationStore over PyMongo's asynchronous API: majority-confirmed, journalled writes.

    Works on a standalone server, a replica set and a sharded cluster: it needs no transaction.
    A server that is down at `open` is no error there; calls raise StoreUnavailable until it is
    back. A call takes `timeout_s` at most, and `server_selection_timeout_s` while the server is
    known to be away. A cancelled call goes on to its end by itself.
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        timeout_s: float = 5.0,
        server_selection_timeout_s: float = 2.0,
        max_pool_size: int = 20,
    ) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._connection = MongoConnection(
            url,
            database,
            timeout_s=timeout_s,
            server_selection_timeout_s=server_selection_timeout_s,
            max_pool_size=max_pool_size,
        )

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await wait_until_done(self._running)
        await self._connection.close()

    @finish_when_cancelled
    async def check(self) -> None:
        async with self._connection.access() as database:
            probe = {"$set": {"checked_at": time.time()}}
            await database["schema"].update_one({"_id": "probe"}, probe, upsert=True)
            await database["schema"].find_one({"_id": "probe"})

    @finish_when_cancelled
    async def append(self, key: ConversationKey, turn: NewTurn) -> Turn:
        validate_key(key)
        new = build_turn(0, turn)
        async with self._change_turns(key.user_id) as (database, growth):
            return await edits.append(database, key, new, growth)

    @finish_when_cancelled
    async def replace_from(self, key: ConversationKey, first: int, turn: NewTurn) -> Turn:
        validate_key(key)
        new = build_turn(0, turn)
        async with self._change_turns(key.user_id) as (database, _):
            stored = await edits.replace_from(database, key, first, new)
            return stored or await edits.append(database, key, new, Growth())

    @finish_when_cancelled
    async def recent_turns(self, key: ConversationKey, limit: int) -> list[Turn]:
        validate_key(key)
        if limit <= 0:
            return []
        async with self._connection.access() as database:
            conversation = await edits.repair_conversation(database, key)
            hint = conversation["next_index"] if conversation else 0
            found = await queries.find_newest(database, key, hint, min(limit, _MAX_LIMIT))
        return [turn_from_document(document) for document in found]

    @finish_when_cancelled
    async def turns(self, key: ConversationKey, *, first: int = 0, limit: int = 50) -> list[Turn]:
        validate_key(key)
        if limit <= 0:
            return []
        async with self._connection.access() as database:
            found = await queries.find_from(database, key, first, min(limit, _MAX_LIMIT))
        return [turn_from_document(document) for document in found]

    @finish_when_cancelled
    async def find_turn(self, key: ConversationKey, turn_id: str) -> Turn | None:
        validate_key(key)
        validate_name("turn_id", turn_id)
        async with self._connection.access() as database:
            found = await queries.find_by_turn_id(database, key, turn_id)
        return None if found is None else turn_from_document(found)

    @finish_when_cancelled
    async def truncate(self, key: ConversationKey, first: int) -> int:
        validate_key(key)
        async with self._change_turns(key.user_id) as (database, _):
            removed = await queries.remove(database, {**identity(key), "index": {"$gte": first}})
            if removed:
                await queries.shorten(database, key, max(first, 0))
            return removed

    @finish_when_cancelled
    async def set_title(self, key: ConversationKey, title: str | None) -> None:
        named = {**identity(validate_key(key)), "next_index": {"$gt": 0}}
        text = None if title is None else repair_surrogates(title)
        async with self._connection.access() as database:
            result = await database["conversations"].update_one(named, {"$set": {"title": text}})
        if not result.matched_count:
            raise NotFound("no such conversation")

    @finish_when_cancelled
    async def summary(self, key: ConversationKey) -> ConversationSummary | None:
        validate_key(key)
        async with self._connection.access() as database:
            conversation = await edits.repair_conversation(database, key)
        return (
            summary_from_document(conversation)
            if conversation is not None and conversation["next_index"] > 0
            else None
        )

    @finish_when_cancelled
    async def list_conversations(
        self, assistant: Assistant, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[ConversationSummary]:
        validate_name("user_id", user_id)
        if limit <= 0:
            return []
        query: Document = {"assistant": assistant, "user_id": user_id, "next_index": {"$gt": 0}}
        if before is not None:
            query["updated_at"] = {"$lt": before}
        async with self._connection.access() as database:
            cursor = database["conversations"].find(query).sort("updated_at", -1)
            conversations = await cursor.limit(min(limit, _MAX_LIMIT)).to_list()
        return [summary_from_document(conversation) for conversation in conversations]

    async def delete_conversation(self, key: ConversationKey) -> int:
        return await self._delete(identity(validate_key(key)))

    async def delete_user(self, user_id: str, assistant: Assistant | None = None) -> int:
        validate_name("user_id", user_id)
        chosen = ASSISTANTS if assistant is None else (assistant,)
        removed = 0
        for name in chosen:
            removed += await self._delete({"assistant": name, "user_id": user_id})
        return removed

    async def scan(
        self, assistant: Assistant | None = None, user_id: str | None = None
    ) -> AsyncIterator[tuple[ConversationKey, Turn]]:
        wanted = {"assistant": assistant, "user_id": user_id}
        query: Document = {name: value for name, value in wanted.items() if value is not None}
        while True:
            conversations = await self._read_conversations(query)
            for conversation in conversations:
                key, first = key_from_document(conversation), 0
                while page := await self.turns(key, first=first, limit=_PAGE):
                    for turn in page:
                        yield key, turn
                    first = page[-1].index + 1
                    if len(page) < _PAGE:
                        break
            if len(conversations) < _PAGE:
                return
            query["_id"] = {"$gt": conversations[-1]["_id"]}

    @finish_when_cancelled
    async def restore(self, key: ConversationKey, turn: Turn) -> bool:
        validate_key(key)
        restored = normalize_turn(turn)
        async with self._connection.access() as database:
            async with usage.count_change(database, key.user_id) as growth:
                is_written = await queries.insert(database, key, restored, is_new=True)
                growth.bytes = queries.turn_to_document(key, restored)["bytes"] * is_written
            # Also where the turn was there: the process may have died before this update.
            known = await queries.find_by_turn_id(database, key, restored.turn_id)
            if known is not None:
                await queries.update_conversation(
                    database, key, turn_from_document(known), may_be_first=True
                )
            return is_written

    @finish_when_cancelled
    async def count_bytes(self, user_id: str) -> int:
        validate_name("user_id", user_id)
        async with self._connection.access() as database:
            return await usage.count_bytes(database, user_id)

    @asynccontextmanager
    async def _change_turns(self, user_id: str) -> AsyncIterator[tuple[Database, Growth]]:
        async with (
            self._connection.access() as database,
            usage.count_change(database, user_id) as growth,
        ):
            yield database, growth

    @finish_when_cancelled
    async def _read_conversations(self, query: Document) -> list[Document]:
        async with self._connection.access() as database:
            cursor = database["conversations"].find(query, sort=[("_id", 1)], limit=_PAGE)
            conversations = await cursor.to_list()
            for conversation in conversations:
                if "cut" in conversation:
                    await edits.repair_conversation(database, key_from_document(conversation))
            return conversations

    @finish_when_cancelled
    async def _change(
        self,
        key: ConversationKey,
        index: int,
        change: Callable[[Answers], tuple[Answers, int]],
        turn_id: str | None = None,
    ) -> Turn:
        """Write `change(answers)`, unless another caller did meanwhile: then again."""
        named = {**identity(validate_key(key)), "index": index}
        named |= {} if turn_id is None else {"turn_id": turn_id}
        async with self._connection.access() as database:
            while True:
                document = await database["turns"].find_one(named)
                if document is None:
                    raise NotFound(f"no such turn {index} in this conversation")
                turn = turn_from_document(document)
                answers, selected = change(turn.answers)
                after = {"answers": [answer_to_dict(a) for a in answers], "selected": selected}
                unchanged = {name: document[name] for name in ("_id", *after)}
                after["bytes"] = count_turn_bytes(document | after)
                async with usage.count_change(database, key.user_id) as growth:
                    result = await database["turns"].update_one(unchanged, {"$set": after})
                    grown = count_turn_bytes(document | after) - count_turn_bytes(document)
                    growth.bytes = grown if result.matched_count else 0
                if result.matched_count:
                    return replace(turn, answers=answers, selected=selected)

    @finish_when_cancelled
    async def _delete(self, chosen: Document) -> int:
        async with self._connection.access() as database:
            async with usage.count_change(database, chosen["user_id"]):
                removed = await edits.delete(database, chosen)
            await usage.count_bytes(database, chosen["user_id"])  # keeps no line of an empty user
            return removed
