"""The SQLite file's schema, as an append-only list of named migrations.

Never change a migration that was released: add one. A file records the names it has had, so any
older file is brought up to date when it is opened, and a newer one is refused.

Why `answers` is a JSON column and no table of its own: alternatives are few, are always read and
written with their turn, and one row a turn keeps a read of n turns at n rows. Why turns refer to
a conversation's number: both unique indexes then hold two short values instead of four strings.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chatbot_ai.domain.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: a name that never changes, and the statements that take the step."""

    name: str
    statements: tuple[str, ...]


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
    # statement is needed, but an earlier version would drop them when it writes a turn anew.
    Migration("0002_what_each_answer_rests_on", ()),
)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring the file up to the newest of `migrations`; call inside a write transaction.

    Raises StoreUnavailable where the file has had a migration that this version does not know.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (name TEXT PRIMARY KEY, applied_at REAL NOT NULL) STRICT"
    )
    applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
    unknown = applied - {migration.name for migration in migrations}
    if unknown:
        raise StoreUnavailable(
            f"the database was written by a newer version ({', '.join(sorted(unknown))}): "
            "install that version, or restore a backup"
        )
    for migration in migrations:
        if migration.name not in applied:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?)", (migration.name, time.time())
            )
