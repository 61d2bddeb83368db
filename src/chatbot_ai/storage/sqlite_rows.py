"""The SQLite store's schema, its statements, and turns as rows.

Every function runs in a transaction.

Never change a migration that was released: add one. A file records the names it has had, so any
older file is brought up to date when it is opened, and a newer one is refused.

Why `answers` is a JSON column and no table of its own: alternatives are few, are always read and
written with their turn, and one row a turn keeps a read of n turns at n rows. Why turns refer to
a conversation's number: both unique indexes then hold two short values instead of four strings.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from chatbot_ai.domain.conversation import (
    ConversationKey,
    ConversationSummary,
    Turn,
)
from chatbot_ai.domain.errors import NotFound
from chatbot_ai.sqlite import Migration, count_by_user
from chatbot_ai.storage.records import (
    ENTRY_BYTES,
    answer_from_dict,
    build_preview,
    encode_answers,
)

#: The bytes of a row of `turns`, as count_turn_bytes counts them.
_SIZE = f"{ENTRY_BYTES} + " + " + ".join(
    f"length(CAST({text} AS BLOB))"
    for text in ("{row}.turn_id", "{row}.input", "coalesce({row}.sent, '')", "{row}.answers")
)
MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001_conversations_and_turns",
        (
            """
            CREATE TABLE conversations (
                id INTEGER PRIMARY KEY,
                assistant TEXT NOT NULL,
                user_id TEXT NOT NULL,
                db_id TEXT NOT NULL,
                title TEXT,
                preview TEXT NOT NULL DEFAULT '',
                turns INTEGER NOT NULL DEFAULT 0,
                updated_at REAL NOT NULL DEFAULT 0,
                UNIQUE (assistant, user_id, db_id)
            ) STRICT
            """,
            """
            CREATE INDEX conversations_by_time
                ON conversations (assistant, user_id, updated_at DESC)
            """,
            """
            CREATE TABLE turns (
                conversation INTEGER NOT NULL REFERENCES conversations (id),
                idx INTEGER NOT NULL CHECK (idx >= 0),
                turn_id TEXT NOT NULL,
                input TEXT NOT NULL,
                answers TEXT NOT NULL,
                selected INTEGER NOT NULL,
                sent TEXT,
                window_start INTEGER NOT NULL,
                created_at REAL NOT NULL,
                UNIQUE (conversation, idx),
                UNIQUE (conversation, turn_id)
            ) STRICT
            """,
            "CREATE TABLE probe (id INTEGER PRIMARY KEY, checked_at REAL NOT NULL) STRICT",
        ),
    ),
    # `answers` may hold an answer's end, sources and time from here on, and lacks them before. No
    # statement is needed, but an earlier version would drop them when it rewrites a turn.
    Migration("0002_what_each_answer_rests_on", ()),
    Migration(
        "0003_bytes_of_each_user",
        (
            *count_by_user(
                "turns",
                user="(SELECT user_id FROM conversations WHERE id = {row}.conversation)",
                size=_SIZE,
                changing="answers, input, sent",
            ),
        ),
    ),
)

#: Turns that a scan holds in memory at once.
PAGE = 256
COLUMNS = "t.idx, t.turn_id, t.input, t.answers, t.selected, t.sent, t.window_start, t.created_at"
_CONVERSATION_ID = (
    "(SELECT id FROM conversations WHERE assistant = ? AND user_id = ? AND db_id = ?)"
)

RECENT_TURNS = (
    f"SELECT {COLUMNS} FROM turns t WHERE t.conversation = {_CONVERSATION_ID}"  # noqa: S608
    " ORDER BY t.idx DESC LIMIT ?"
)
TURNS_FROM = (
    f"SELECT {COLUMNS} FROM turns t WHERE t.conversation = {_CONVERSATION_ID}"  # noqa: S608
    " AND t.idx >= ? ORDER BY t.idx LIMIT ?"
)
FIND_TURN = (
    f"SELECT {COLUMNS} FROM turns t WHERE t.conversation = {_CONVERSATION_ID}"  # noqa: S608
    " AND t.turn_id = ?"
)
NEXT_INDEX = "SELECT coalesce(max(idx) + 1, 0) FROM turns WHERE conversation = ?"
_SUMMARY_COLUMNS = "assistant, user_id, db_id, title, preview, turns, updated_at"
SUMMARY = (
    f"SELECT {_SUMMARY_COLUMNS} FROM conversations"  # noqa: S608
    " WHERE assistant = ? AND user_id = ? AND db_id = ? AND turns > 0"
)
LIST_CONVERSATIONS = (
    f"SELECT {_SUMMARY_COLUMNS} FROM conversations"  # noqa: S608
    " WHERE assistant = ? AND user_id = ? AND turns > 0 AND updated_at < ?"
    " ORDER BY updated_at DESC LIMIT ?"
)


def identity(key: ConversationKey) -> tuple[str, str, str]:
    return key.assistant, key.user_id, key.db_id


def turn_from_row(row: Sequence[Any]) -> Turn:
    """Return the turn of a row of COLUMNS."""
    index, turn_id, text, answers_json, selected, sent, window_start, created_at = row
    return Turn(
        index=index,
        turn_id=turn_id,
        input=text,
        answers=tuple(answer_from_dict(fields, created_at) for fields in json.loads(answers_json)),
        selected=selected,
        created_at=created_at,
        sent=sent,
        window_start=window_start,
    )


def summary_from_row(row: Sequence[Any]) -> ConversationSummary:
    """Return the summary of a row of _SUMMARY_COLUMNS."""
    assistant, user_id, db_id, title, first_input, turns, updated_at = row
    key = ConversationKey(assistant, user_id, db_id)
    return ConversationSummary(key, title, first_input, turns, updated_at)


def conversation_id(connection: sqlite3.Connection, key: ConversationKey) -> int | None:
    row = connection.execute(f"SELECT {_CONVERSATION_ID}", identity(key)).fetchone()
    number: int | None = row[0]
    return number


def ensure_conversation(connection: sqlite3.Connection, key: ConversationKey) -> int:
    """Return the conversation's number, creating it where it is new."""
    known = conversation_id(connection, key)
    if known is not None:
        return known
    row = connection.execute(
        "INSERT INTO conversations (assistant, user_id, db_id) VALUES (?, ?, ?) RETURNING id",
        identity(key),
    ).fetchone()
    created: int = row[0]
    return created


def insert_turn(connection: sqlite3.Connection, conversation: int, turn: Turn) -> bool:
    """Insert `turn` and count it; False where its index or turn_id is there already."""
    inserted = connection.execute(
        "INSERT INTO turns (conversation, idx, turn_id, input, answers, selected, sent,"
        " window_start, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            conversation,
            turn.index,
            turn.turn_id,
            turn.input,
            encode_answers(turn.answers),
            turn.selected,
            turn.sent,
            turn.window_start,
            turn.created_at,
        ),
    ).rowcount
    if inserted:
        update_summary(connection, conversation, added=1)
    return inserted == 1


def truncate(connection: sqlite3.Connection, conversation: int, first: int) -> int:
    """Remove the turns from `first` on and return how many there were."""
    removed = connection.execute(
        "DELETE FROM turns WHERE conversation = ? AND idx >= ?", (conversation, first)
    ).rowcount
    update_summary(connection, conversation, added=-removed)
    return removed


def update_summary(connection: sqlite3.Connection, conversation: int, added: int) -> None:
    """Bring a conversation's line up to date after `added` turns came (or, negative, went)."""
    first = connection.execute(
        "SELECT input FROM turns WHERE conversation = ? ORDER BY idx LIMIT 1", (conversation,)
    ).fetchone()
    newest = connection.execute(
        "SELECT created_at FROM turns WHERE conversation = ? ORDER BY idx DESC LIMIT 1",
        (conversation,),
    ).fetchone()
    connection.execute(
        "UPDATE conversations SET turns = turns + ?, preview = ?, updated_at = ? WHERE id = ?",
        (added, build_preview(first[0]) if first else "", newest[0] if newest else 0, conversation),
    )


def turn_at(connection: sqlite3.Connection, key: ConversationKey, index: int) -> tuple[int, Turn]:
    """Return conversation number and the turn at `index`, or raise NotFound."""
    row = connection.execute(
        f"SELECT t.conversation, {COLUMNS} FROM turns t"  # noqa: S608
        f" WHERE t.conversation = {_CONVERSATION_ID} AND t.idx = ?",
        (*identity(key), index),
    ).fetchone()
    if row is None:
        raise NotFound(f"no turn {index} in this conversation")
    return row[0], turn_from_row(row[1:])


def update_answers(connection: sqlite3.Connection, conversation: int, turn: Turn) -> None:
    """Write a turn's answers and selection."""
    connection.execute(
        "UPDATE turns SET answers = ?, selected = ? WHERE conversation = ? AND idx = ?",
        (encode_answers(turn.answers), turn.selected, conversation, turn.index),
    )


def read_page(
    connection: sqlite3.Connection,
    after: tuple[str, str, str, int] | None,
    assistant: str | None,
    user_id: str | None,
) -> list[tuple[ConversationKey, Turn]]:
    """Return the next PAGE turns of a scan, by conversation and index, after `after`.

    Each page is a read of its own: a long scan neither blocks writers nor lets the WAL grow.
    """
    columns = f"c.assistant, c.user_id, c.db_id, {COLUMNS}"
    source = "FROM conversations c CROSS JOIN turns t ON t.conversation = c.id"
    conditions, arguments = "", []
    for column, value in (("assistant", assistant), ("user_id", user_id)):
        if value is not None:
            conditions += f" AND c.{column} = ?"
            arguments.append(value)
    found: list[Sequence[Any]] = []
    if after is not None:
        found = connection.execute(
            f"SELECT {columns} {source} WHERE c.assistant = ? AND c.user_id = ?"
            " AND c.db_id = ? AND t.idx > ? ORDER BY t.idx LIMIT ?",
            (*after, PAGE),
        ).fetchall()
    if len(found) < PAGE:
        found += connection.execute(
            f"SELECT {columns} {source}"
            f" WHERE (c.assistant, c.user_id, c.db_id) > (?, ?, ?){conditions}"
            " ORDER BY c.assistant, c.user_id, c.db_id, t.idx LIMIT ?",
            (*(after[:3] if after else ("", "", "")), *arguments, PAGE - len(found)),
        ).fetchall()
    return [(ConversationKey(*row[:3]), turn_from_row(row[3:])) for row in found]
