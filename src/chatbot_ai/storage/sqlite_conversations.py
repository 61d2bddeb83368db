"""Conversations in one SQLite file, which several processes may use at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from chatbot_ai.domain.conversation import (
    ASSISTANTS,
    Assistant,
    ConversationKey,
    ConversationSummary,
    NewTurn,
    Turn,
)
from chatbot_ai.domain.errors import NotFound
from chatbot_ai.sqlite import SqliteConnection, read_usage
from chatbot_ai.storage import sqlite_rows as rows
from chatbot_ai.storage.records import (
    Answers,
    ChangesAnswers,
    build_turn,
    is_same_turn,
    normalize_turn,
    repair_surrogates,
    validate_key,
    validate_name,
)

_MAX_INTEGER = 2**63 - 1


class SqliteConversationStore(ChangesAnswers):
    """The embedded ConversationStore: WAL journal, one fsync a write, no server.

    Reads have a connection of their own, so that they never wait behind a write's fsync. Every
    write is one BEGIN IMMEDIATE transaction; processes wait for each other up to `busy_timeout_s`
    seconds and fail with StoreUnavailable after it. A cancelled call either happened or did not;
    the next one finds the store in order.
    """

    def __init__(self, path: Path, busy_timeout_s: float = 5) -> None:
        self._writer = SqliteConnection(path, busy_timeout_s, rows.MIGRATIONS)
        self._reader = SqliteConnection(path, busy_timeout_s, rows.MIGRATIONS)

    async def open(self) -> None:
        try:
            await self._writer.open()
            await self._reader.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()

    async def check(self) -> None:
        def probe(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO probe VALUES (1, ?)", (time.time(),))

        await self._writer.write(probe)
        await self._reader.read(lambda c: c.execute("SELECT checked_at FROM probe").fetchone())

    async def append(self, key: ConversationKey, turn: NewTurn) -> Turn:
        validate_key(key)
        new = build_turn(0, turn)

        def work(connection: sqlite3.Connection) -> Turn:
            conversation = rows.ensure_conversation(connection, key)
            known = _find_turn(connection, key, new.turn_id)
            if known is not None:
                return known
            (index,) = connection.execute(rows.NEXT_INDEX, (conversation,)).fetchone()
            stored = replace(new, index=index)
            rows.insert_turn(connection, conversation, stored)
            return stored

        return await self._writer.write(work)

    async def replace_from(self, key: ConversationKey, first: int, turn: NewTurn) -> Turn:
        validate_key(key)
        new = build_turn(0, turn)

        def work(connection: sqlite3.Connection) -> Turn:
            conversation = rows.ensure_conversation(connection, key)
            known = _find_turn(connection, key, new.turn_id)
            if known is not None and (known.index != first or is_same_turn(known, new)):
                return known
            rows.truncate(connection, conversation, first)
            (index,) = connection.execute(rows.NEXT_INDEX, (conversation,)).fetchone()
            stored = replace(new, index=index)
            rows.insert_turn(connection, conversation, stored)
            return stored

        return await self._writer.write(work)

    async def recent_turns(self, key: ConversationKey, limit: int) -> list[Turn]:
        arguments = (*rows.identity(validate_key(key)), min(max(limit, 0), _MAX_INTEGER))
        return (await self._turns(rows.RECENT_TURNS, arguments))[::-1]

    async def turns(self, key: ConversationKey, *, first: int = 0, limit: int = 50) -> list[Turn]:
        limit = min(max(limit, 0), _MAX_INTEGER)
        return await self._turns(rows.TURNS_FROM, (*rows.identity(validate_key(key)), first, limit))

    async def find_turn(self, key: ConversationKey, turn_id: str) -> Turn | None:
        validate_key(key)
        validate_name("turn_id", turn_id)
        return await self._reader.read(lambda connection: _find_turn(connection, key, turn_id))

    async def truncate(self, key: ConversationKey, first: int) -> int:
        validate_key(key)

        def work(connection: sqlite3.Connection) -> int:
            conversation = rows.conversation_id(connection, key)
            if conversation is None:
                return 0
            return rows.truncate(connection, conversation, first)

        return await self._writer.write(work)

    async def set_title(self, key: ConversationKey, title: str | None) -> None:
        text = None if title is None else repair_surrogates(title)
        arguments = (text, *rows.identity(validate_key(key)))

        def work(connection: sqlite3.Connection) -> None:
            named = connection.execute(
                "UPDATE conversations SET title = ?"
                " WHERE assistant = ? AND user_id = ? AND db_id = ? AND turns > 0",
                arguments,
            ).rowcount
            if not named:
                raise NotFound("no such conversation")

        await self._writer.write(work)

    async def summary(self, key: ConversationKey) -> ConversationSummary | None:
        arguments = rows.identity(validate_key(key))
        row = await self._reader.read(lambda c: c.execute(rows.SUMMARY, arguments).fetchone())
        return None if row is None else rows.summary_from_row(row)

    async def list_conversations(
        self, assistant: Assistant, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[ConversationSummary]:
        validate_name("user_id", user_id)
        until = float("inf") if before is None else before
        arguments = (assistant, user_id, until, min(max(limit, 0), _MAX_INTEGER))
        found = await self._reader.read(
            lambda c: c.execute(rows.LIST_CONVERSATIONS, arguments).fetchall()
        )
        return [rows.summary_from_row(row) for row in found]

    async def delete_conversation(self, key: ConversationKey) -> int:
        return await self._delete(
            "assistant = ? AND user_id = ? AND db_id = ?", rows.identity(validate_key(key))
        )

    async def delete_user(self, user_id: str, assistant: Assistant | None = None) -> int:
        validate_name("user_id", user_id)
        chosen = ASSISTANTS if assistant is None else (assistant,)
        marks = ", ".join("?" for _ in chosen)
        return await self._delete(f"assistant IN ({marks}) AND user_id = ?", (*chosen, user_id))

    async def scan(
        self, assistant: Assistant | None = None, user_id: str | None = None
    ) -> AsyncIterator[tuple[ConversationKey, Turn]]:
        if user_id is not None:
            validate_name("user_id", user_id)
        last: tuple[str, str, str, int] | None = None
        while True:
            read_page = partial(rows.read_page, after=last, assistant=assistant, user_id=user_id)
            page = await self._reader.read(read_page)
            for key, turn in page:
                yield key, turn
                last = (*rows.identity(key), turn.index)
            if len(page) < rows.PAGE:
                return

    async def restore(self, key: ConversationKey, turn: Turn) -> bool:
        validate_key(key)
        restored = normalize_turn(turn)

        def work(connection: sqlite3.Connection) -> bool:
            conversation = rows.ensure_conversation(connection, key)
            return rows.insert_turn(connection, conversation, restored)

        return await self._writer.write(work)

    async def count_bytes(self, user_id: str) -> int:
        validate_name("user_id", user_id)
        return await self._reader.read(lambda connection: read_usage(connection, user_id))

    async def _turns(self, statement: str, arguments: tuple[object, ...]) -> list[Turn]:
        return await self._reader.read(
            lambda c: [rows.turn_from_row(row) for row in c.execute(statement, arguments)]
        )

    async def _change(
        self,
        key: ConversationKey,
        index: int,
        change: Callable[[Answers], tuple[Answers, int]],
        turn_id: str | None = None,
    ) -> Turn:
        validate_key(key)

        def work(connection: sqlite3.Connection) -> Turn:
            conversation, turn = rows.turn_at(connection, key, index)
            if turn_id not in {None, turn.turn_id}:
                raise NotFound(f"turn {index} is another one now")
            answers, selected = change(turn.answers)
            changed = replace(turn, answers=answers, selected=selected)
            rows.update_answers(connection, conversation, changed)
            return changed

        return await self._writer.write(work)

    async def _delete(self, condition: str, arguments: tuple[str, ...]) -> int:
        chosen = f"FROM conversations WHERE {condition}"

        def work(connection: sqlite3.Connection) -> int:
            statement = f"DELETE FROM turns WHERE conversation IN (SELECT id {chosen})"  # noqa: S608
            removed = connection.execute(statement, arguments).rowcount
            connection.execute(f"DELETE {chosen}", arguments)
            return removed

        removed = await self._writer.write(work)
        # The write-ahead file still holds the deleted text; where nobody reads, this empties it.
        await self._writer.read(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return removed


def _find_turn(connection: sqlite3.Connection, key: ConversationKey, turn_id: str) -> Turn | None:
    row = connection.execute(rows.FIND_TURN, (*rows.identity(key), turn_id)).fetchone()
    return None if row is None else rows.turn_from_row(row)
