"""What waits for its database, in a small SQLite file for each service."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.domain.conversation import Assistant, ConversationKey
from chatbot_ai.sqlite import Migration, SqliteConnection
from chatbot_ai.storage.outbox_operations import (
    Operation,
    name_operation,
    operation_from_dict,
    operation_to_dict,
)

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001_waiting",
        (
            """
            CREATE TABLE waiting (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                assistant TEXT NOT NULL,
                user_id TEXT NOT NULL,
                db_id TEXT NOT NULL,
                turn_id TEXT NOT NULL,
                turn TEXT NOT NULL,
                UNIQUE (assistant, user_id, db_id, turn_id)
            ) STRICT
            """,
        ),
    ),
    # `turn` may hold other operations than a new turn from here on, and `turn_id` their names. No
    # statement is needed, but an earlier version could not read them.
    Migration("0002_operations", ()),
)
_OF_KEY = "assistant = ? AND user_id = ? AND db_id = ?"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One waiting operation; `number` is its place in the order of arrival."""

    number: int
    operation: Operation


class OutboxQueue:
    """Operations in order of arrival, each once by its name; durable as a store is."""

    def __init__(self, path: Path) -> None:
        self._connection = SqliteConnection(path, 5.0, MIGRATIONS)

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def put(self, key: ConversationKey, operation: Operation) -> list[Operation]:
        """Keep it, unless it waits already, and return what waits before it."""
        name, text = name_operation(operation), json.dumps(operation_to_dict(operation))

        def work(connection: sqlite3.Connection) -> list[str]:
            connection.execute(
                "INSERT INTO waiting (assistant, user_id, db_id, turn_id, turn)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*_identity(key), name, text),
            )
            rows = connection.execute(
                f"SELECT turn FROM waiting WHERE {_OF_KEY} AND number <"  # noqa: S608
                f" (SELECT number FROM waiting WHERE {_OF_KEY} AND turn_id = ?) ORDER BY number",
                (*_identity(key), *_identity(key), name),
            )
            return [row[0] for row in rows]

        return [operation_from_dict(json.loads(row)) for row in await self._connection.write(work)]

    async def first(self, key: ConversationKey) -> Waiting | None:
        """Return the conversation's oldest waiting operation."""
        statement = f"SELECT number, turn FROM waiting WHERE {_OF_KEY} ORDER BY number LIMIT 1"  # noqa: S608
        row = await self._connection.read(lambda c: c.execute(statement, _identity(key)).fetchone())
        return None if row is None else Waiting(row[0], operation_from_dict(json.loads(row[1])))

    async def remove(self, number: int) -> None:
        await self._connection.write(
            lambda c: c.execute("DELETE FROM waiting WHERE number = ?", (number,))
        )

    async def drop(self, key: ConversationKey) -> int:
        """Forget what waits for a conversation, and return how much it was."""
        statement = f"DELETE FROM waiting WHERE {_OF_KEY}"  # noqa: S608
        return await self._connection.write(lambda c: c.execute(statement, _identity(key)).rowcount)

    async def counts(self) -> dict[ConversationKey, int]:
        """Return how much waits for each conversation, the longest waiting first."""
        rows = await self._connection.read(
            lambda c: c.execute(
                "SELECT assistant, user_id, db_id, count(*) FROM waiting"
                " GROUP BY assistant, user_id, db_id ORDER BY min(number)"
            ).fetchall()
        )
        return {ConversationKey(*row[:3]): row[3] for row in rows}


def _identity(key: ConversationKey) -> tuple[str, str, str]:
    return key.assistant, key.user_id, key.db_id


def outbox_file(folder: Path, assistant: Assistant) -> Path:
    """Where the service of an assistant keeps what waits for its database."""
    return folder / f"outbox-{assistant}.sqlite3"


async def count_waiting(
    folder: Path, assistant: Assistant | None = None, user_id: str | None = None
) -> int:
    """Return how many turns and answers wait. Raises StoreUnavailable."""
    total = 0
    for path in await asyncio.to_thread(_find_files, folder):
        async with _open_queue(path) as queue:
            counts = await queue.counts()
        total += sum(n for key, n in counts.items() if _is_meant(key, assistant, user_id))
    return total


async def drop_user(folder: Path, user_id: str, assistant: Assistant | None = None) -> int:
    """Forget what waits for a user, so that it does not come back, and return how much it was.

    A service that runs meanwhile sees that it is gone. Raises StoreUnavailable.
    """
    dropped = 0
    for path in await asyncio.to_thread(_find_files, folder):
        async with _open_queue(path) as queue:
            for key in await queue.counts():
                if _is_meant(key, assistant, user_id):
                    dropped += await queue.drop(key)
    return dropped


def _find_files(folder: Path) -> list[Path]:
    """Those that are there, whatever name a replica gave its own."""
    return sorted(folder.glob("outbox-*.sqlite3"))


def _is_meant(key: ConversationKey, assistant: Assistant | None, user_id: str | None) -> bool:
    return assistant in {None, key.assistant} and user_id in {None, key.user_id}


@asynccontextmanager
async def _open_queue(path: Path) -> AsyncIterator[OutboxQueue]:
    queue = OutboxQueue(path)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()
