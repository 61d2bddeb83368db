"""The MongoDB collections, as an append-only list of named migrations.

turns          one document a turn; unique on (key, index) and on (key, turn_id)
conversations  one line a conversation: title, preview, updated_at, and `first_index` and
               `next_index`, which only hint at where its turns are (see mongodb.py)
schema         the names of the migrations that this database has had, and the probe of `check`

MongoDB has no transaction around these steps, so that each must be harmless when repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from chatbot_ai.domain.errors import StoreUnavailable

Database = AsyncDatabase[dict[str, Any]]
_KEY = [("assistant", ASCENDING), ("user_id", ASCENDING), ("db_id", ASCENDING)]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: a name that never changes, and what takes the step."""

    name: str
    apply: Callable[[Database], Awaitable[None]]


async def _create_indexes(database: Database) -> None:
    turns, conversations = database["turns"], database["conversations"]
    await turns.create_index([*_KEY, ("index", ASCENDING)], unique=True, name="by_index")
    await turns.create_index([*_KEY, ("turn_id", ASCENDING)], unique=True, name="by_turn_id")
    await conversations.create_index(_KEY, unique=True, name="by_key")
    await conversations.create_index(
        [*_KEY[:2], ("updated_at", DESCENDING)], name="by_user_and_time"
    )


async def _nothing_to_change(database: Database) -> None:
    """Answers may hold their end, sources and time from here on, and lack them before. Documents
    stay, but an earlier version would drop them when it writes a turn anew, and is refused."""


MIGRATIONS: tuple[Migration, ...] = (
    Migration("0001_indexes", _create_indexes),
    Migration("0002_what_each_answer_rests_on", _nothing_to_change),
)


async def missing(database: Database) -> list[Migration]:
    """Return the migrations that the database has not had, oldest first.

    Raises StoreUnavailable where it has had one that this version does not know.
    """
    record = await database["schema"].find_one({"_id": "migrations"})
    applied = set(record["names"]) if record else set()
    unknown = applied - {migration.name for migration in MIGRATIONS}
    if unknown:
        raise StoreUnavailable(
            f"the database was written by a newer version ({', '.join(sorted(unknown))}): "
            "install that version, or restore a backup"
        )
    return [migration for migration in MIGRATIONS if migration.name not in applied]


async def migrate(database: Database, migration: Migration) -> None:
    """Take one step and record it."""
    await migration.apply(database)
    await database["schema"].update_one(
        {"_id": "migrations"}, {"$addToSet": {"names": migration.name}}, upsert=True
    )
