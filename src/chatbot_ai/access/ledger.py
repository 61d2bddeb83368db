"""The file of keys: one SQLite database that both services and the command line share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from chatbot_ai.access.key import Key, KeyKind, Limits, digest_of, id_of, new_secret
from chatbot_ai.access.schema import migrate
from chatbot_ai.domain.errors import InvalidRequest, NotFound, StoreUnavailable
from chatbot_ai.domain.limits import USER_ID_CHARS
from chatbot_ai.domain.text import clean_text

T = TypeVar("T")

FILE = "keys.sqlite3"
BUSY_TIMEOUT_S = 5.0
_COLUMNS = (
    "id, digest, name, kind, user_id, requests_per_minute, tokens_per_day, concurrent,"
    " created_at, last_used_at, revoked_at"
)
_INSERT = f"INSERT INTO keys ({_COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608 - constants
_SELECT = f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id"  # noqa: S608 - constants
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def cleaned(kind: str, name: str, user_id: str | None) -> tuple[str, str | None]:
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
        self._durable = durable
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

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
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            deadline = time.monotonic() + BUSY_TIMEOUT_S
            while self._connection is None:
                connection = sqlite3.connect(
                    self.path,
                    timeout=BUSY_TIMEOUT_S,
                    isolation_level=None,
                    check_same_thread=False,
                )
                try:
                    self._prepare(connection)
                except sqlite3.OperationalError as error:
                    connection.close()
                    # SQLite does not wait when two processes change a new file to WAL at once
                    if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                except BaseException:
                    connection.close()
                    raise
                else:
                    self._connection = connection
                    self._identity = self._file_identity()

    def close(self) -> None:
        """Closing twice does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def reopen_if_replaced(self) -> bool:
        """Follow the path to another file where somebody has removed or replaced it."""
        if self._file_identity() == self._identity:
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

        Raises InvalidRequest as `cleaned` does.
        """
        name, user_id = cleaned(kind, name, user_id)
        secret = new_secret()
        known = limits or Limits()
        key = Key(id_of(secret), digest_of(secret), name, kind, user_id, known, now)
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
        with self._translated():
            return work(self._open_connection())

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)` in one transaction; an error that it raises undoes all of it."""
        with self._translated():
            return _transaction(self._open_connection(), work)

    def _change(self, statement: str, parameters: tuple[object, ...]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if connection.execute(statement, parameters).rowcount == 0:
                raise NotFound(f"no such key: {parameters[-1]}")
            _raise_revision(connection)

        self.write(change)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        _transaction(connection, migrate)

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"the file of keys {self.path} is not open")
        return self._connection

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"the file of keys {self.path}: {error}; check that this user may write to it and "
                f"its folder and that the disk has space [{type(error).__name__}]"
            ) from error


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


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
