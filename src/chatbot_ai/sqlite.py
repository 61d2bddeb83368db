"""SQLite files that several connections and processes share: conversations, characters, keys.

SqliteFile is one connection, for one thread at a time; SqliteConnection is the same on a thread of
its own, safe to use from asyncio. A whole transaction runs as one call on that thread. A caller
that is cancelled stops waiting, and the transaction still ends there, by COMMIT or by ROLLBACK;
with a hop for each statement, as aiosqlite works, a cancellation between two of them would leave
the transaction open for the next caller.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from chatbot_ai.domain.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_S = 5.0
#: Bounds the wait while a file is opened: another process may be migrating gigabytes.
MIGRATION_TIMEOUT_S = 300.0
#: All that a file can do to a transaction; anything else is a mistake of this program.
_FAILURES = (sqlite3.Error, sqlite3.Warning, OSError, json.JSONDecodeError, OverflowError)
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CAUSES = {
    sqlite3.SQLITE_BUSY: "another process holds it; stop that process or raise the busy timeout",
    sqlite3.SQLITE_LOCKED: "another connection holds it",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk, its space and its quota",
    sqlite3.SQLITE_READONLY: "it is read-only; give this user write access to file and folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists and is writable",
    sqlite3.SQLITE_PERM: "access is denied; give this user access to file and folder",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move it or set another path",
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: a name that never changes, and the statements that take the step."""

    name: str
    statements: tuple[str, ...]


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


def count_by_user(table: str, *, user: str, size: str, changing: str) -> tuple[str, ...]:
    """Return a migration's statements that keep a table `usage`: the bytes of each user's rows.

    Triggers do it, so that whatever statement writes or removes a row, its transaction counts it.

    user, size  expressions of a row's user and bytes (above 0), with `{row}` for the row's name
    changing    the columns that make up `size`
    """
    new, old = ({"row": row} for row in ("NEW", "OLD"))
    changes = {
        "INSERT": (new, size.format(**new)),
        "DELETE": (old, f"- ({size.format(**old)})"),
        f"UPDATE OF {changing}": (new, f"{size.format(**new)} - ({size.format(**old)})"),
    }
    triggers = (
        f"CREATE TRIGGER count_{event[:6].lower()} AFTER {event} ON {table} BEGIN"  # noqa: S608
        f" INSERT OR IGNORE INTO usage VALUES ({user.format(**row)}, 0);"
        f" UPDATE usage SET bytes = bytes + {delta} WHERE user_id = {user.format(**row)};"
        f" DELETE FROM usage WHERE user_id = {user.format(**row)} AND bytes <= 0; END"
        for event, (row, delta) in changes.items()
    )
    known = {"row": table}
    return (
        "CREATE TABLE usage (user_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL)"
        " STRICT, WITHOUT ROWID",
        f"INSERT INTO usage SELECT {user.format(**known)}, sum({size.format(**known)})"  # noqa: S608
        f" FROM {table} GROUP BY 1",
        *triggers,
    )


def read_usage(connection: sqlite3.Connection, user_id: str) -> int:
    """Return the bytes of `count_by_user`."""
    query = "SELECT coalesce(sum(bytes), 0) FROM usage WHERE user_id = ?"
    return int(connection.execute(query, (user_id,)).fetchone()[0])


def store_error(label: str, path: Path, error: BaseException) -> StoreUnavailable:
    """Return what a caller gets for `error`: the file, the cause and what to do about it."""
    cause = str(error)
    if isinstance(error, sqlite3.Error):
        cause = _CAUSES.get(_primary_code(error), cause)
    elif isinstance(error, json.JSONDecodeError):
        cause = f"a stored entry is unreadable ({cause}); restore a backup"
    return StoreUnavailable(f"{label} {path}: {cause} [{type(error).__name__}]")


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


class SqliteFile:
    """One connection to `path`. Every failure of the file is StoreUnavailable, named by `label`.

    prepare         brings the schema up to date, in a write transaction
    busy_timeout_s  bounds the wait for another process's lock, once the file is open
    synchronous     FULL where a transaction must survive a power failure
    """

    def __init__(
        self,
        path: Path,
        prepare: Work[None],
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        label: str = "store",
    ) -> None:
        self.path, self._prepare, self._label = path, prepare, label
        self._busy_timeout_s, self._synchronous = busy_timeout_s, synchronous
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def open(self) -> None:
        """Create or open the file and bring its schema up to date. Opening twice does nothing."""
        if self._connection is None:
            self._translate_errors(self._open)

    def close(self) -> None:
        """Closing twice does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, work: Work[T]) -> T:
        """Return `work(connection)`, run outside a transaction."""
        return self._translate_errors(lambda: work(self._current()))

    def write(self, work: Work[T]) -> T:
        """Return `work(connection)`, run in one transaction; an error that it raises undoes it."""
        return self._translate_errors(lambda: self._write(work))

    def is_replaced(self) -> bool:
        """Tell whether the path leads to another file now, or to none."""
        return self._identify() != self._inode

    def _translate_errors(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except _FAILURES as error:
            raise store_error(self._label, self.path, error) from error

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._create()
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            connection = sqlite3.connect(
                self.path,
                timeout=MIGRATION_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._configure(connection)
            except sqlite3.OperationalError as error:
                connection.close()
                # Two processes that create the file at once collide on the change to WAL, for
                # which SQLite does not wait by itself.
                if _primary_code(error) not in _BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            except BaseException:
                connection.close()
                raise
            else:
                self._connection, self._inode = connection, self._identify()
                return

    def _create(self) -> None:
        """Make the file, where it is new, private from its first byte on.

        SQLite gives the -wal and -shm files the same mode. A file that exists must never be
        opened and closed here: that would drop the locks that this process's other connections
        hold on it, and the next process to leave would delete their log.
        """
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        # A deleted conversation's text must not stay readable in free pages.
        connection.execute("PRAGMA secure_delete = ON")
        _run_transaction(connection, self._prepare)
        connection.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout_s * 1000)}")

    def _write(self, work: Work[T]) -> T:
        connection = self._current()
        if self.is_replaced():
            raise StoreUnavailable(
                f"{self._label} {self.path}: the file was replaced while open; restart the service"
            )
        return _run_transaction(connection, work)

    def _current(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"{self._label} {self.path}: it is not open")
        return self._connection

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


class SqliteConnection:
    """A SqliteFile with the thread that owns it; calls are served in order."""

    def __init__(self, path: Path, busy_timeout_s: float, migrations: Sequence[Migration]) -> None:
        prepare = partial(migrate, migrations=migrations)
        self._file = SqliteFile(path, prepare, busy_timeout_s=busy_timeout_s)
        self._executor: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open the file. Opening twice does nothing."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
            try:
                await self._submit(self._file.open)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Finish what was handed in, then close. Closing twice does nothing."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.submit(self._file.close)
            await asyncio.to_thread(executor.shutdown)

    async def read(self, work: Work[T]) -> T:
        """Return `work(connection)`, run outside a transaction."""
        return await self._submit(lambda: self._file.read(work))

    async def write(self, work: Work[T]) -> T:
        """Return `work(connection)`, run in one transaction that is durable on return."""
        return await self._submit(lambda: self._file.write(work))

    async def _submit(self, call: Callable[[], T]) -> T:
        if self._executor is None:
            raise StoreUnavailable(f"store {self._file.path}: it is not open")
        return await asyncio.wrap_future(self._executor.submit(call))


def _run_transaction(connection: sqlite3.Connection, work: Work[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
