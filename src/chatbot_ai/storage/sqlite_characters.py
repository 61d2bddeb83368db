"""Characters in one SQLite file of their own."""

from __future__ import annotations

import builtins
import sqlite3
from pathlib import Path
from typing import TypeVar

from chatbot_ai.domain.character import (
    CharacterFile,
    CharacterSheet,
    CharacterSummary,
    StoredCharacter,
)
from chatbot_ai.domain.errors import NotFound, StorageFull
from chatbot_ai.sqlite import Migration, SqliteConnection, count_by_user, read_usage
from chatbot_ai.storage.records import ENTRY_BYTES

#: What a row of `characters` takes with all that belongs to it.
_SIZE = f"""{ENTRY_BYTES} + length(CAST(name || tagline AS BLOB))
    + (SELECT length(CAST(card AS BLOB)) + coalesce(length(picture), 0) FROM sheets
        WHERE character = id)
    + (SELECT coalesce(sum(length(CAST(path AS BLOB)) + length(data)), 0) FROM files
        WHERE character = id)"""  # noqa: S608
#: Cards and pictures have a table of their own: a list then never reads over their pages.
CHARACTER_MIGRATIONS = (
    Migration(
        "0001_characters",
        (
            """
            CREATE TABLE characters (
                id TEXT PRIMARY KEY,
                user_id TEXT NOT NULL,
                name TEXT NOT NULL,
                tagline TEXT NOT NULL,
                media_type TEXT,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX characters_by_time ON characters (user_id, updated_at DESC)",
            """
            CREATE TABLE sheets (
                character TEXT PRIMARY KEY REFERENCES characters (id) ON DELETE CASCADE,
                card TEXT NOT NULL,
                picture BLOB
            ) STRICT
            """,
            """
            CREATE TABLE files (
                character TEXT NOT NULL REFERENCES characters (id) ON DELETE CASCADE,
                position INTEGER NOT NULL,
                path TEXT NOT NULL,
                media_type TEXT,
                data BLOB NOT NULL,
                PRIMARY KEY (character, position)
            ) STRICT
            """,
        ),
    ),
    Migration(
        "0002_bytes_of_each_user",
        (
            "ALTER TABLE characters ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
            f"UPDATE characters SET bytes = {_SIZE}",  # noqa: S608 (a constant)
            *count_by_user(
                "characters", user="{row}.user_id", size="{row}.bytes", changing="bytes"
            ),
        ),
    ),
)

T = TypeVar("T")

_SUMMARY = "id, name, tagline, media_type IS NOT NULL, created_at, updated_at"


class SqliteCharacterStore:
    """The embedded CharacterStore; processes may share the file, as with conversations.

    user_bytes  what one user's characters may take; None: as much as there is
    """

    def __init__(
        self, path: Path, busy_timeout_s: float = 5, *, user_bytes: int | None = None
    ) -> None:
        self._file = SqliteConnection(path, busy_timeout_s, CHARACTER_MIGRATIONS)
        self._user_bytes = user_bytes

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def add(self, character: StoredCharacter) -> None:
        def work(connection: sqlite3.Connection) -> None:
            sheet = character.sheet
            connection.execute(
                "INSERT INTO characters VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    character.id,
                    character.user_id,
                    sheet.name,
                    sheet.tagline,
                    sheet.media_type,
                    character.created_at,
                    character.updated_at,
                ),
            )
            self._write_sheet(connection, character.user_id, character.id, sheet)

        await self._file.write(work)

    async def get(self, user_id: str, character_id: str) -> StoredCharacter:
        def work(connection: sqlite3.Connection) -> StoredCharacter | None:
            row = connection.execute(
                "SELECT name, tagline, media_type, created_at, updated_at, card, picture"
                " FROM characters JOIN sheets ON character = id WHERE id = ? AND user_id = ?",
                (character_id, user_id),
            ).fetchone()
            if row is None:
                return None
            name, tagline, media_type, created_at, updated_at, card, picture = row
            files = connection.execute(
                "SELECT path, data, media_type FROM files WHERE character = ? ORDER BY position",
                (character_id,),
            )
            carried = tuple(CharacterFile(*file) for file in files)
            sheet = CharacterSheet(name, tagline, card, picture, media_type, carried)
            return StoredCharacter(character_id, user_id, sheet, created_at, updated_at)

        return _require(await self._file.read(work), character_id)

    async def replace(
        self, user_id: str, character_id: str, sheet: CharacterSheet, updated_at: float
    ) -> None:
        def work(connection: sqlite3.Connection) -> bool | None:
            changed = connection.execute(
                "UPDATE characters SET name = ?, tagline = ?, media_type = ?, updated_at = ?"
                " WHERE id = ? AND user_id = ?",
                (sheet.name, sheet.tagline, sheet.media_type, updated_at, character_id, user_id),
            ).rowcount
            if not changed:
                return None
            connection.execute("DELETE FROM sheets WHERE character = ?", (character_id,))
            connection.execute("DELETE FROM files WHERE character = ?", (character_id,))
            self._write_sheet(connection, user_id, character_id, sheet)
            return True

        _require(await self._file.write(work), character_id)

    async def list(
        self, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[CharacterSummary]:
        def work(connection: sqlite3.Connection) -> builtins.list[CharacterSummary]:
            rows = connection.execute(
                f"SELECT {_SUMMARY} FROM characters"  # noqa: S608 (a constant)
                " WHERE user_id = ? AND updated_at < ? ORDER BY updated_at DESC LIMIT ?",
                (user_id, float("inf") if before is None else before, max(0, limit)),
            )
            return [
                CharacterSummary(id_, name, tagline, bool(has_picture), created_at, updated_at)
                for id_, name, tagline, has_picture, created_at, updated_at in rows
            ]

        return await self._file.read(work)

    async def count(self, user_id: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT COUNT(*) FROM characters WHERE user_id = ?"
            (count,) = connection.execute(query, (user_id,)).fetchone()
            return int(count)

        return await self._file.read(work)

    async def count_bytes(self, user_id: str) -> int:
        return await self._file.read(lambda connection: read_usage(connection, user_id))

    async def delete(self, user_id: str, character_id: str) -> None:
        def work(connection: sqlite3.Connection) -> bool | None:
            query = "DELETE FROM characters WHERE id = ? AND user_id = ?"
            return bool(connection.execute(query, (character_id, user_id)).rowcount) or None

        _require(await self._file.write(work), character_id)

    async def delete_user(self, user_id: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            query = "DELETE FROM characters WHERE user_id = ?"
            return connection.execute(query, (user_id,)).rowcount

        return await self._file.write(work)

    def _write_sheet(
        self, connection: sqlite3.Connection, user_id: str, character_id: str, sheet: CharacterSheet
    ) -> None:
        """Raises StorageFull, which undoes the transaction."""
        before = read_usage(connection, user_id)
        connection.execute(
            "INSERT INTO sheets VALUES (?, ?, ?)", (character_id, sheet.card, sheet.picture)
        )
        connection.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
            [
                (character_id, position, file.path, file.media_type, file.data)
                for position, file in enumerate(sheet.files)
            ],
        )
        connection.execute(
            f"UPDATE characters SET bytes = {_SIZE} WHERE id = ?",  # noqa: S608 (a constant)
            (character_id,),
        )
        after = read_usage(connection, user_id)
        if self._user_bytes is not None and self._user_bytes < after > before:
            raise StorageFull("characters_full", before, self._user_bytes)


def _require(value: T | None, character_id: str) -> T:
    if value is None:
        raise NotFound(f"character {character_id}")
    return value
