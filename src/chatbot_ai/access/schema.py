"""The tables of the file of keys."""

from __future__ import annotations

import sqlite3

from chatbot_ai.domain.errors import StoreUnavailable

#: Raise it with a further entry of _STEPS; never change a step that was released.
VERSION = 1

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            name TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('backend', 'user')),
            user_id TEXT,
            requests_per_minute INTEGER CHECK (requests_per_minute > 0),
            tokens_per_day INTEGER CHECK (tokens_per_day > 0),
            concurrent INTEGER CHECK (concurrent > 0),
            created_at REAL NOT NULL,
            last_used_at REAL,
            revoked_at REAL,
            CHECK ((kind = 'user') = (user_id IS NOT NULL))
        ) STRICT
        """,
        # raised with every change to what keys are, not with their use
        "CREATE TABLE revision (number INTEGER NOT NULL) STRICT",
        "INSERT INTO revision VALUES (1)",
        """
        CREATE TABLE requests (
            key TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
            at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX requests_by_time ON requests (key, at)",
        """
        CREATE TABLE usage (
            key TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
            day TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (key, day)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE TABLE processes (id TEXT PRIMARY KEY, seen_at REAL NOT NULL) STRICT",
        """
        CREATE TABLE running (
            visit TEXT PRIMARY KEY,
            key TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
            process TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX running_by_key ON running (key)",
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file up to VERSION; call inside a write transaction.

    Raises StoreUnavailable for a file that a newer version of this program has written.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise StoreUnavailable("the file of keys was written by a newer version: install that one")
    for statements in _STEPS[found:]:
        for statement in statements:
            connection.execute(statement)
    if found < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
