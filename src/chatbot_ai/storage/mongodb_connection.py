"""One pooled, time-limited client of a MongoDB server, which may be away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pymongo
import structlog
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import ConnectionFailure, PyMongoError

from chatbot_ai.domain.deadline import WRITE_LIMIT_S
from chatbot_ai.domain.errors import ConfigurationError, StoreUnavailable
from chatbot_ai.storage.mongodb_schema import Database, migrate, missing
from chatbot_ai.storage.mongodb_server import FAILURES, server_name, unavailable

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
        self.server = server_name(url)

    async def open(self) -> None:
        """Connect, and return also where the server is away: it is looked for at every access.

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
                await self._prepared(database)
            with pymongo.timeout(limit):
                yield database
        except FAILURES as error:
            if isinstance(error, ConnectionFailure):
                # Whoever comes back may be a new, empty server: look at its schema again.
                self._preparation = None
            raise unavailable(self.server, error) from error

    async def _prepared(self, database: Database) -> None:
        """Wait until the schema was looked at; all callers share one look, also its failure."""
        preparation = self._preparation
        if preparation is None:
            preparation = asyncio.create_task(self._prepare(database))
            preparation.add_done_callback(self._forget_failure)
            self._preparation = preparation
        await asyncio.shield(preparation)

    async def _prepare(self, database: Database) -> None:
        with pymongo.timeout(self._timeout_s):
            steps = await missing(database)
        for step in steps:
            with pymongo.timeout(_PREPARE_TIMEOUT_S):
                await migrate(database, step)

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
