"""Characters that users keep: a card, a picture, the files that travel with it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CharacterFile:
    """A file that travels with a card. `media_type` is None where it is never shown."""

    path: str
    data: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class CharacterSheet:
    """What a character is made of.

    name     what the card calls it, for lists
    tagline  the beginning of its first greeting, for lists
    card     the card's JSON, exactly as its author wrote it
    picture  without the card in it; None: it has none. `media_type` is the picture's
    """

    name: str
    tagline: str
    card: str
    picture: bytes | None = None
    media_type: str | None = None
    files: tuple[CharacterFile, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredCharacter:
    """A character of one user. Times are Unix seconds."""

    id: str
    user_id: str
    sheet: CharacterSheet
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class CharacterSummary:
    """One line of a list of characters."""

    id: str
    name: str
    tagline: str
    has_picture: bool
    created_at: float
    updated_at: float


class CharacterStore(Protocol):
    """Characters of users, durable.

    K1  `add` and `replace` return only when the character would survive kill -9 and a restart.
    K2  Every call names the user. Another user's character is NotFound, as one that never was.
    K3  Card, picture and files come back byte for byte as they went in.
    K4  `replace` changes card, picture and files together or not at all.
    K5  `list` is newest change first, `limit` at most, those changed before `before`; its cost does
        not depend on how large cards and pictures are.
    K6  `delete` and `delete_user` leave nothing of what they remove readable in the file.
    K7  Every failure of the file is StoreUnavailable; nothing else is raised for it.
    K8  `count_bytes` tells what a user's characters take as stored, pictures and files too. `add`
        and `replace` raise StorageFull, and change nothing, where that would exceed the limit of
        the store and grow; however many call at once. Neither cost depends on how much is there.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add(self, character: StoredCharacter) -> None: ...

    async def get(self, user_id: str, character_id: str) -> StoredCharacter: ...

    async def replace(
        self, user_id: str, character_id: str, sheet: CharacterSheet, updated_at: float
    ) -> None: ...

    async def list(
        self, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[CharacterSummary]: ...

    async def count(self, user_id: str) -> int: ...

    async def count_bytes(self, user_id: str) -> int: ...

    async def delete(self, user_id: str, character_id: str) -> None: ...

    async def delete_user(self, user_id: str) -> int:
        """Remove all characters of a user and return how many."""
