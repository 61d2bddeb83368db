"""Turns that wait for their database, in a small SQLite file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, NewTurn
from chatbot_ai.storage.records import answer_fields, answer_from
from chatbot_ai.storage.sqlite_connection import SqliteConnection
from chatbot_ai.storage.sqlite_schema import Migration

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
)
_OF_KEY = "assistant = ? AND user_id = ? AND db_id = ?"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One waiting turn; `number` is its place in the order of arrival."""

    number: int
    turn: NewTurn


class OutboxQueue:
    """Turns in order of arrival, each once per conversation and turn_id; durable as a store is."""

    def __init__(self, path: Path) -> None:
        self._connection = SqliteConnection(path, 5.0, MIGRATIONS)

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def put(self, key: ConversationKey, turn: NewTurn) -> int:
        """Keep `turn`, unless it waits already, and return how many wait before it."""
        name, text = turn.turn_id, json.dumps(_fields(turn))

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT INTO waiting (assistant, user_id, db_id, turn_id, turn)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*_identity(key), name, text),
            )
            row = connection.execute(
                f"SELECT count(*) FROM waiting WHERE {_OF_KEY} AND number <"  # noqa: S608
                f" (SELECT number FROM waiting WHERE {_OF_KEY} AND turn_id = ?)",
                (*_identity(key), *_identity(key), name),
            ).fetchone()
            before: int = row[0]
            return before

        return await self._connection.write(work)

    async def first(self, key: ConversationKey) -> Waiting | None:
        """Return the conversation's oldest waiting turn."""
        statement = f"SELECT number, turn FROM waiting WHERE {_OF_KEY} ORDER BY number LIMIT 1"  # noqa: S608
        row = await self._connection.read(lambda c: c.execute(statement, _identity(key)).fetchone())
        return None if row is None else Waiting(row[0], _turn(json.loads(row[1])))

    async def remove(self, number: int) -> None:
        await self._connection.write(
            lambda c: c.execute("DELETE FROM waiting WHERE number = ?", (number,))
        )

    async def drop(self, key: ConversationKey) -> int:
        """Forget a conversation's waiting turns, and return how many there were."""
        statement = f"DELETE FROM waiting WHERE {_OF_KEY}"  # noqa: S608
        return await self._connection.write(lambda c: c.execute(statement, _identity(key)).rowcount)

    async def counts(self) -> dict[ConversationKey, int]:
        """Return how many turns wait for each conversation, the longest waiting first."""
        rows = await self._connection.read(
            lambda c: c.execute(
                "SELECT assistant, user_id, db_id, count(*) FROM waiting"
                " GROUP BY assistant, user_id, db_id ORDER BY min(number)"
            ).fetchall()
        )
        return {ConversationKey(*row[:3]): row[3] for row in rows}


def _fields(turn: NewTurn) -> dict[str, Any]:
    return {
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answer": answer_fields(turn.answer),
        "sent": turn.sent,
        "window_start": turn.window_start,
    }


def _turn(fields: dict[str, Any]) -> NewTurn:
    """Return a waiting turn, also as an earlier version left it: with the answer's fields flat."""
    answer = fields.get("answer")
    if answer is None:
        answer = {name: fields[name] for name in ("model", "status", "created_at")}
        answer["text"] = fields["output"]
    return NewTurn(
        turn_id=fields["turn_id"],
        input=fields["input"],
        answer=answer_from(answer, answer["created_at"]),
        sent=fields["sent"],
        window_start=fields["window_start"],
    )


def _identity(key: ConversationKey) -> tuple[str, str, str]:
    return key.assistant, key.user_id, key.db_id
