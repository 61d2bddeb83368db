"""How many bytes a user's turns take, counted beside them.

A turn and its user's document are two documents, and a plain mongod has no transaction over both.
So a writer says in the user's document first that it is about to change turns, and afterwards how
much they grew. Where that is not known (turns were removed, a process died in between), the next
one who asks adds up the turns, from an index that holds their sizes.

bytes     what the turns take; true while `counted` is set
counted   absent until the turns were added up, and after an unknown change
writers   how many are changing turns now, those who died among them
since     when the newest of them began, in Unix seconds
revision  counts every step, so that adding up notices what happened meanwhile
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from chatbot_ai.storage.mongodb_connection import Database

#: Seconds after which a writer that has not said its end has died; no access lasts so long.
WRITER_DEAD_S = 60.0


@dataclass(slots=True)
class Growth:
    """By how much the turns grew, to be set by the writer; None where it does not know."""

    bytes: int | None = None


@asynccontextmanager
async def count_change(database: Database, user_id: str) -> AsyncIterator[Growth]:
    """Enclose a change of a user's turns, and count what it says."""
    usage, growth, step = database["usage"], Growth(), {"revision": 1}
    begun = {"$inc": {"writers": 1, **step}, "$set": {"since": time.time()}}
    while True:
        with suppress(DuplicateKeyError):  # some servers do not repeat one that met another
            await usage.update_one({"_id": user_id}, begun, upsert=True)
            break
    yield growth
    ended: dict[str, Any] = {"$inc": {"writers": -1, "bytes": growth.bytes or 0, **step}}
    if growth.bytes is None:
        ended["$unset"] = {"counted": ""}
    await usage.update_one({"_id": user_id}, ended)


async def count_bytes(database: Database, user_id: str) -> int:
    """Return what the user's turns take, of both assistants."""
    usage = database["usage"]
    found = await usage.find_one({"_id": user_id})
    has_dead = bool(found and found["writers"] and found["since"] < time.time() - WRITER_DEAD_S)
    if found is not None and found.get("counted") and not has_dead:
        return int(found["bytes"])
    query = {"user_id": user_id, "bytes": {"$gt": 0}}
    sizes = database["turns"].find(query, {"_id": 0, "bytes": 1})
    total: int = sum([turn["bytes"] async for turn in sizes])
    if found is not None and (has_dead or not found["writers"]):
        # kept only if nobody has begun or ended a change meanwhile
        same = {"_id": user_id, "revision": found["revision"]}
        if total:
            counted = {"bytes": total, "counted": True, "writers": 0}
            await usage.update_one(same, {"$set": counted, "$inc": {"revision": 1}})
        else:
            await usage.delete_one(same)
    return total
