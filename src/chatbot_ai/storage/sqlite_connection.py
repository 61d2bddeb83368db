"""A SQLite connection on a thread of its own, safe to use from asyncio.

A whole transaction runs as one call on that thread. A caller that is cancelled stops waiting, and
the transaction still ends there, by COMMIT or by ROLLBACK. With a hop for each statement, as
aiosqlite works, a cancellation between two of them would leave the transaction open for the next
caller.
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
from pathlib import Path
from typing import TypeVar

from chatbot_ai.domain.errors import StoreUnavailable
from chatbot_ai.storage.sqlite_schema import Migration, migrate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

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


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def unavailable(path: Path, error: BaseException) -> StoreUnavailable:
    """Return what a caller gets for `error`: the file, the cause and what to do about it."""
    cause = str(error)
    if isinstance(error, sqlite3.Error):
        cause = _CAUSES.get(_primary_code(error), cause)
    elif isinstance(error, json.JSONDecodeError):
        cause = f"a stored entry is unreadable ({cause}); restore a backup"
    return StoreUnavailable(f"store {path}: {cause} [{type(error).__name__}]")


class SqliteConnection:
    """One connection to `path` and the thread that owns it; calls are served in order.

    Every failure of the file is StoreUnavailable. `busy_timeout_s` bounds the wait for another
    process's lock; `migrations` make the schema.
    """

    def __init__(self, path: Path, busy_timeout_s: float, migrations: Sequence[Migration]) -> None:
        self._migrations = migrations
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._executor: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Create or open the file and bring its schema up to date. Opening twice does nothing."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
            try:
                await self._submit(self._open)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Finish what was handed in, then close. Closing twice does nothing."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.submit(self._close)
            await asyncio.to_thread(executor.shutdown)

    async def read(self, work: Work[T]) -> T:
        """Return `work(connection)`, run outside a transaction."""
        return await self._submit(lambda: work(self._current()))

    async def write(self, work: Work[T]) -> T:
        """Return `work(connection)`, run in one transaction that is durable on return."""
        return await self._submit(lambda: self._transaction(work))

    async def _submit(self, call: Callable[[], T]) -> T:
        if self._executor is None:
            raise StoreUnavailable(f"store {self._path}: it is not open")
        return await asyncio.wrap_future(self._executor.submit(self._translated, call))

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except _FAILURES as error:
            raise unavailable(self._path, error) from error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._create()
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            connection = sqlite3.connect(
                self._path, timeout=self._busy_timeout_s, isolation_level=None
            )
            try:
                self._prepare(connection)
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
                self._connection = connection
                self._inode = self._file_identity()
                return

    def _create(self) -> None:
        """Make the file, where it is new, private from its first byte on.

        SQLite gives the -wal and -shm files the same mode. A file that exists must never be
        opened and closed here: that would drop the locks that this process's other connections
        hold on it, and the next process to leave would delete their log.
        """
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # A deleted conversation's text must not stay readable in free pages.
        connection.execute("PRAGMA secure_delete = ON")
        self._run(connection, lambda c: migrate(c, self._migrations))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _transaction(self, work: Work[T]) -> T:
        connection = self._current()
        if self._file_identity() != self._inode:
            raise StoreUnavailable(
                f"store {self._path}: the file was replaced while open; restart the service"
            )
        return self._run(connection, work)

    @staticmethod
    def _run(connection: sqlite3.Connection, work: Work[T]) -> T:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _current(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"store {self._path}: it is not open")
        return self._connection

    def _file_identity(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino
