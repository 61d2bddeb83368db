"""The predecessor's conversations in MongoDB, read as turns.

Its layout (ChatBot AI 1.7): a collection per user, `office_log_<user>` or `character_log_<user>`,
one growing document a conversation, {id, value: [{index, input_data, output_data}]}.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID, uuid5

from pymongo import AsyncMongoClient

from chatbot_ai.domain.conversation import (
    DB_ID_PATTERN,
    Assistant,
    ConversationKey,
    Turn,
    TurnAnswer,
)
from chatbot_ai.storage.mongodb_connection import FAILURES, server_error, server_name
from chatbot_ai.storage.records import repair_surrogates
from chatbot_ai.storage.transfer import Record, Tally

#: Model name of migrated turns: the predecessor did not record which model answered.
MODEL = "predecessor"
_COLLECTION = re.compile(r"(office|character)_log_(.{1,50})", re.DOTALL)
_NAMESPACE = UUID("6f1c1c0e-6d3c-5d0e-9a55-0c9a5e0f7b11")


class PredecessorHistory:
    """Reads, and never writes, the predecessor's database.

    Turns are numbered from 0 in the order of their `index`. Their turn_id follows from the
    document and their place in it, so that a second run finds what the first one wrote. Their
    time is that of the conversation's document, the only time there is.
    """

    def __init__(self, url: str, database: str, *, server_selection_timeout_s: float = 5.0) -> None:
        self._server = server_name(url)
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            url,
            appname="chatbot-ai-migration",
            serverSelectionTimeoutMS=int(server_selection_timeout_s * 1000),
        )
        self._database = self._client.get_database(database)

    async def close(self) -> None:
        await self._client.close()

    async def records(self, tally: Tally) -> AsyncIterator[Record]:
        """Yield every turn; what is no turn is counted in `tally.skipped`.

        Raises StoreUnavailable.
        """
        try:
            for name in sorted(await self._database.list_collection_names()):
                match = _COLLECTION.fullmatch(name)
                if match is not None:
                    async for document in self._database[name].find():
                        for record in _read_turns(match[1], match[2], document, tally):
                            yield record
        except FAILURES as error:
            raise server_error(self._server, error) from error


def _read_turns(
    assistant: str, user_id: str, document: dict[str, Any], tally: Tally
) -> list[Record]:
    db_id, entries = document.get("id"), document.get("value")
    place = f"{assistant}/{user_id}/{db_id} [_id {document['_id']}]"
    if not isinstance(entries, list):
        if entries is not None:
            tally.note("skipped", place)
        return []
    if not isinstance(db_id, str) or not DB_ID_PATTERN.fullmatch(db_id):
        if entries:
            tally.note("skipped", place, len(entries))
        return []
    good = [entry for entry in entries if _is_turn(entry)]
    if len(good) < len(entries):
        tally.note("skipped", place, len(entries) - len(good))
    key = ConversationKey(cast("Assistant", assistant), user_id, db_id)
    identifier = document["_id"]
    created_at = getattr(identifier, "generation_time", None)
    at = created_at.timestamp() if created_at else 0.0
    return [
        Record(
            key,
            Turn(
                index=index,
                turn_id=str(uuid5(_NAMESPACE, f"{identifier}/{index}")),
                input=repair_surrogates(entry["input_data"]),
                answers=(TurnAnswer(repair_surrogates(entry["output_data"]), MODEL, at),),
                selected=0,
                created_at=at,
            ),
        )
        for index, entry in enumerate(sorted(good, key=lambda entry: entry["index"]))
    ]


def _is_turn(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("index"), int | float)
        and isinstance(entry.get("input_data"), str)
        and isinstance(entry.get("output_data"), str)
    )
