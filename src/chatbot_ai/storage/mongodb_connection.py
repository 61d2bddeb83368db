"""One pooled, time-limited client of a MongoDB server, which may be away for a while.

Its collections come about by an append-only list of named migrations:

turns          one document a turn; unique on (key, index) and on (key, turn_id)
conversations  one document a conversation: title, preview, updated_at, and `first_index` and
               `next_index`, which only hint at where its turns are (see mongodb_turns.py)
usage          one document a user: what its turns take (see mongodb_usage.py)
schema         the names of the migrations that this database has had, how far the turns of an
               earlier version were counted, and the probe of `check`

MongoDB has no transaction around these steps, so that each must be harmless when repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import pymongo
import structlog
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, UpdateOne, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from chatbot_ai.domain.deadline import WRITE_LIMIT_S
from chatbot_ai.domain.errors import ConfigurationError, StoreUnavailable
from chatbot_ai.storage.records import count_turn_bytes

#: All that the driver raises for a server's or a network's failure.
FAILURES = (PyMongoError, BSONError, OSError, OverflowError)
#: Server error codes. Source: MongoDB's error_codes.yml.
_UNAUTHORIZED, _AUTHENTICATION_FAILED, _OUT_OF_DISK_SPACE = 13, 18, 14031


def mongodb_url(
    url: str | None = None,
    *,
    host: str | None = None,
    port: int,
    user: str | None = None,
    password: str | None = None,
) -> str:
    """Return the server's URL: `url` itself, else one made of the parts.

    User and password may hold any character; they are quoted. With a user, the credentials are
    looked up in the `admin` database, where an administrator's are. Raises ConfigurationError
    where neither `url` nor `host` is given, or only one of user and password.
    """
    if url:
        return url
    if not host:
        raise ConfigurationError("set MONGODB_URL, or MONGO_HOST and its companions")
    if bool(user) != bool(password):
        raise ConfigurationError("set both MONGO_ADMIN_USER and MONGO_ADMIN_PASSWORD, or neither")
    bare = host.strip("[]")
    place = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
    if not user or not password:
        return f"mongodb://{place}/"
    return f"mongodb://{quote_plus(user)}:{quote_plus(password)}@{place}/?authSource=admin"


def server_name(url: str) -> str:
    """Return the hosts of `url` for logs and errors: never its credentials, never its options."""
    _, _, rest = url.partition("://")
    return rest.rpartition("@")[2].partition("/")[0].partition("?")[0]


def server_error(server: str, error: BaseException) -> StoreUnavailable:
    """Return what a caller gets for `error`: the server, the cause and what to do about it."""
    code = error.code if isinstance(error, OperationFailure) else None
    if code in (_UNAUTHORIZED, _AUTHENTICATION_FAILED):
        cause = "it refuses these credentials; check user, password and the user's rights"
    elif code == _OUT_OF_DISK_SPACE:
        cause = "its disk is full; free some space"
    elif isinstance(error, WTimeoutError):
        cause = "a majority of its members did not confirm the write in time"
    elif isinstance(error, ServerSelectionTimeoutError):
        cause = "it cannot be reached; check that it runs and that host and port are right"
    elif isinstance(error, PyMongoError) and error.timeout:
        cause = "it did not answer in time; check that it runs, is reachable and not overloaded"
    elif isinstance(error, ConnectionFailure):
        cause = "the connection was lost"
    else:
        cause = f"it failed with code {code}" if code else "the request failed"
    return StoreUnavailable(f"MongoDB at {server}: {cause} [{type(error).__name__}]")


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
    stay, but an earlier version would drop them when it rewrites a turn, and is refused."""


async def _index_sizes(database: Database) -> None:
    """Add the index that adds up `bytes`; `count_old_turns` gives them to the turns of before."""
    by_user = [("user_id", ASCENDING), ("bytes", ASCENDING)]
    await database["turns"].create_index(by_user, name="by_user")


async def count_old_turns(database: Database) -> bool:
    """Give the next turns that may lack them their `bytes`; True where none is left.

    Where it got to is noted in the database, so that it may be stopped at any point.
    """
    turns, schema, record = database["turns"], database["schema"], {"_id": "bytes_of_old_turns"}
    state = await schema.find_one(record) or {}
    if state.get("is_done"):
        return True
    rest = {"_id": {"$gt": state["last"]}} if "last" in state else {}
    counted = dict.fromkeys(("user_id", "turn_id", "input", "sent", "answers", "bytes"), 1)
    found = await turns.find(rest, counted, sort=[("_id", ASCENDING)], limit=_COUNTED).to_list()
    sizes = [
        UpdateOne(
            {"_id": turn["_id"], "bytes": {"$exists": False}},  # else somebody changed it
            {"$set": {"bytes": count_turn_bytes(turn)}},
        )
        for turn in found
        if "bytes" not in turn
    ]
    if sizes:
        await turns.bulk_write(sizes, ordered=False)
    # also where all were counted: the process may have died before it came to this
    recount = {"$unset": {"counted": ""}, "$inc": {"revision": 1}}
    users = list({turn["user_id"] for turn in found})
    await database["usage"].update_many({"_id": {"$in": users}}, recount)
    step = {"last": found[-1]["_id"]} if found else {}
    is_done = len(found) < _COUNTED
    await schema.update_one(record, {"$set": {**step, "is_done": is_done}}, upsert=True)
    return is_done


MIGRATIONS: tuple[Migration, ...] = (
    Migration("0001_indexes", _create_indexes),
    Migration("0002_what_each_answer_rests_on", _nothing_to_change),
    Migration("0003_bytes_of_each_user", _index_sizes),
)


async def find_missing(database: Database) -> list[Migration]:
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


#: Turns that are counted at once, seconds that the first access waits for all, and the pause
#: after a failure.
_COUNTED, _COUNT_WAIT_S, _COUNT_PAUSE_S = 500, 1.0, 5.0
#: Building an index over a large old database takes longer than a request may.
_PREPARE_TIMEOUT_S = 120.0


class MongoConnection:
    """Gives access to a database whose schema is up to date.

    timeout_s                   bound of everything done within one `access`, retries included; a
                                caller's own limit (WRITE_LIMIT_S) may be shorter
    server_selection_timeout_s  how long to look for a server that was not there last time
    max_pool_size               connections at most
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        timeout_s: float,
        server_selection_timeout_s: float,
        max_pool_size: int,
    ) -> None:
        self._url = url
        self._database_name = database
        self._timeout_s = timeout_s
        self._server_selection_timeout_s = server_selection_timeout_s
        self._max_pool_size = max_pool_size
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self._preparation: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self.server = server_name(url)

    async def open(self) -> None:
        """Connect, and return also where the server is down: it is looked for at every access.

        Raises ConfigurationError for a URL or database name that can never work.
        """
        if self._client is not None:
            return
        self._client = self._new_client()
        try:
            async with self.access():
                pass
        except StoreUnavailable as error:
            structlog.get_logger().warning(
                "store.away_at_start", server=self.server, reason=str(error)
            )

    async def close(self) -> None:
        client, self._client = self._client, None
        counting, self._counting = self._counting, None
        if counting is not None:
            counting.cancel()
            await asyncio.wait([counting])
        if client is not None:
            await client.close()
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            await asyncio.wait([preparation])

    @asynccontextmanager
    async def access(self) -> AsyncIterator[Database]:
        """Yield the database; every failure inside is StoreUnavailable."""
        client = self._client
        if client is None:
            raise StoreUnavailable(f"MongoDB at {self.server}: the store is not open")
        database = client.get_database(
            self._database_name, write_concern=WriteConcern(w="majority", j=True)
        )
        try:
            if not client.topology_description.has_writable_server():
                # Under a time limit the driver looks for a server as long as that lasts; one
                # that is known to be away must fail sooner.
                with pymongo.timeout(self._server_selection_timeout_s):
                    await client.admin.command("ping")
            wished = WRITE_LIMIT_S.get()
            limit = self._timeout_s if wished is None else min(wished, self._timeout_s)
            async with asyncio.timeout(None if wished is None else limit):
                await self._ensure_prepared(database)
            with pymongo.timeout(limit):
                yield database
        except FAILURES as error:
            if isinstance(error, ConnectionFailure):
                # The server may be a new, empty one now: check its schema again.
                self._preparation = None
            raise server_error(self.server, error) from error

    async def _ensure_prepared(self, database: Database) -> None:
        """Wait until the schema was looked at; all callers share one look, also its failure."""
        preparation = self._preparation
        if preparation is None:
            preparation = asyncio.create_task(self._prepare(database))
            preparation.add_done_callback(self._forget_failure)
            self._preparation = preparation
        await asyncio.shield(preparation)

    async def _prepare(self, database: Database) -> None:
        with pymongo.timeout(self._timeout_s):
            steps = await find_missing(database)
        for step in steps:
            with pymongo.timeout(_PREPARE_TIMEOUT_S):
                await migrate(database, step)
        if self._client is not None and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count_old_turns(database))
            await asyncio.wait([self._counting], timeout=_COUNT_WAIT_S)

    async def _count_old_turns(self, database: Database) -> None:
        """Until all have their bytes; a large database is served meanwhile, and counts too little
        of its users' turns."""
        is_done = False
        while not is_done:
            try:
                with pymongo.timeout(_PREPARE_TIMEOUT_S):
                    is_done = await count_old_turns(database)
            except FAILURES as error:
                reason = str(server_error(self.server, error))
                structlog.get_logger().warning("store.turns_not_counted_yet", reason=reason)
                await asyncio.sleep(_COUNT_PAUSE_S)

    def _forget_failure(self, preparation: asyncio.Task[None]) -> None:
        has_failed = preparation.cancelled() or preparation.exception() is not None
        if has_failed and self._preparation is preparation:
            self._preparation = None

    def _new_client(self) -> AsyncMongoClient[dict[str, Any]]:
        try:
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                self._url,
                appname="chatbot-ai",
                serverSelectionTimeoutMS=int(self._server_selection_timeout_s * 1000),
                connectTimeoutMS=int(self._server_selection_timeout_s * 1000),
                maxPoolSize=self._max_pool_size,
                retryWrites=True,
                retryReads=True,
            )
            client.get_database(self._database_name)
        except (PyMongoError, ValueError, TypeError) as error:
            # The driver's text may quote the URL with its password, so it is not passed on.
            raise ConfigurationError(
                f"MongoDB at {self.server}: URL or database name is not valid"
                f" [{type(error).__name__}]; special characters in user and password must be"
                " percent-encoded"
            ) from None
        return client
