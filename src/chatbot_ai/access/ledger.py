"""The file of keys: one SQLite database that both services and the command line share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from chatbot_ai.access.key import Key, KeyKind, Limits, hash_key, new_secret, read_id
from chatbot_ai.domain.errors import InvalidRequest, NotFound, StoreUnavailable
from chatbot_ai.domain.limits import USER_ID_CHARS
from chatbot_ai.domain.text import clean_text
from chatbot_ai.sqlite import SqliteFile

T = TypeVar("T")

FILE = "keys.sqlite3"
_COLUMNS = (
    "id, digest, name, kind, user_id, requests_per_minute, tokens_per_day, concurrent,"
    " created_at, last_used_at, revoked_at"
)
_INSERT = f"INSERT INTO keys ({_COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608 - constants
_SELECT = f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id"  # noqa: S608 - constants
#: Raise it with a further entry of _STEPS; never change a step that was released.
VERSION = 2

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
    # what a call may take yet of its key's tokens
    ("ALTER TABLE running ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0",),
)


def clean_names(kind: str, name: str, user_id: str | None) -> tuple[str, str | None]:
    """A key's name and user in the form that those of requests have, else a key of `user_id`
    would be another user's. Raises InvalidRequest where they do not fit the kind of key."""
    field = "name"
    try:
        name = clean_text(name).strip()
        field = "user_id"
        user_id = None if user_id is None else clean_text(user_id).strip()
    except UnicodeEncodeError:
        raise InvalidRequest(field, "field_surrogate") from None
    fits = user_id is None or 0 < len(user_id) <= USER_ID_CHARS
    if not fits or (kind == "user") != (user_id is not None):
        raise InvalidRequest("user_id", "field_invalid")
    return name, user_id


class KeyLedger:
    """One connection to the file; every call blocks and belongs to one thread at a time.

    Each call is one transaction. `durable` ones survive a power failure (a key that was shown, a
    key that was revoked); counters need not. Every failure of the file is StoreUnavailable.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._file = SqliteFile(
            path, migrate, synchronous="FULL" if durable else "NORMAL", label="the file of keys"
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Create or open the file, readable for this user alone, and bring it up to date."""
        self._file.open()

    def close(self) -> None:
        """Closing twice does nothing."""
        self._file.close()

    def reopen_if_replaced(self) -> bool:
        """Follow the path to another file where somebody has removed or replaced it."""
        if not self._file.is_replaced():
            return False
        self.close()
        self.open()
        return True

    def create(
        self,
        kind: KeyKind,
        *,
        name: str,
        now: float,
        user_id: str | None = None,
        limits: Limits | None = None,
    ) -> tuple[Key, str]:
        """Store a new key and return it with its text, which nothing can bring back later.

        Raises InvalidRequest as `clean_names` does.
        """
        name, user_id = clean_names(kind, name, user_id)
        secret = new_secret()
        known = limits or Limits()
        key = Key(read_id(secret), hash_key(secret), name, kind, user_id, known, now)
        row = (
            key.id, key.digest, name, kind, user_id,
            known.requests_per_minute, known.tokens_per_day, known.concurrent, now, None, None,
        )  # fmt: skip

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, row)
            _raise_revision(connection)

        self.write(insert)
        return key, secret

    def list_keys(self) -> list[Key]:
        """Every key, revoked ones too, oldest first."""
        return self.read(_all_keys)

    def revision(self) -> int:
        """A number that changes whenever a key is created, revoked or deleted."""
        return self.read(lambda c: int(c.execute("SELECT number FROM revision").fetchone()[0]))

    def tokens_of_day(self, day: str) -> dict[str, int]:
        """What each key has spent on a day; keys without any are left out."""
        return self.read(
            lambda c: dict(c.execute("SELECT key, tokens FROM usage WHERE day = ?", (day,)))
        )

    def revoke(self, key_id: str, now: float) -> None:
        """Refuse this key from now on. Raises NotFound."""
        self._change(
            "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (now, key_id)
        )

    def delete(self, key_id: str) -> None:
        """Forget this key and what it has used. Raises NotFound."""
        self._change("DELETE FROM keys WHERE id = ?", (key_id,))

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)`, outside a transaction."""
        return self._file.read(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)` in one transaction; an error that it raises undoes all of it."""
        self.reopen_if_replaced()
        return self._file.write(work)

    def _change(self, statement: str, parameters: tuple[object, ...]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if connection.execute(statement, parameters).rowcount == 0:
                raise NotFound(f"no such key: {parameters[-1]}")
            _raise_revision(connection)

        self.write(change)


def has_keys(path: Path) -> bool:
    """Whether any key, revoked ones too, is in the file; a file that is not there is not made."""
    if not path.exists():
        return False
    with KeyLedger(path) as ledger:
        return bool(ledger.list_keys())


def _all_keys(connection: sqlite3.Connection) -> list[Key]:
    rows = connection.execute(_SELECT)
    return [
        Key(key_id, digest, name, kind, user_id, Limits(rpm, tokens, concurrent), *times)
        for key_id, digest, name, kind, user_id, rpm, tokens, concurrent, *times in rows
    ]


def _raise_revision(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE revision SET number = number + 1")


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
