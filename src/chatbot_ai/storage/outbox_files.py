"""The outboxes of a data folder, looked at from outside the services that own them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chatbot_ai.domain.conversation import Assistant, ConversationKey
from chatbot_ai.storage.outbox_queue import OutboxQueue


def outbox_file(folder: Path, assistant: Assistant) -> Path:
    """Where the service of an assistant keeps what waits for its database."""
    return folder / f"outbox-{assistant}.sqlite3"


async def waiting_in(
    folder: Path, assistant: Assistant | None = None, user_id: str | None = None
) -> int:
    """Return how many turns and answers wait. Raises StoreUnavailable."""
    total = 0
    for path in await asyncio.to_thread(_files, folder):
        async with _opened(path) as queue:
            counts = await queue.counts()
        total += sum(n for key, n in counts.items() if _is_meant(key, assistant, user_id))
    return total


async def drop_user(folder: Path, user_id: str, assistant: Assistant | None = None) -> int:
    """Forget what waits for a user, so that it does not come back, and return how much it was.

    A service that runs meanwhile sees that it is gone. Raises StoreUnavailable.
    """
    dropped = 0
    for path in await asyncio.to_thread(_files, folder):
        async with _opened(path) as queue:
            for key in await queue.counts():
                if _is_meant(key, assistant, user_id):
                    dropped += await queue.drop(key)
    return dropped


def _files(folder: Path) -> list[Path]:
    """Those that are there, whatever name a replica gave its own."""
    return sorted(folder.glob("outbox-*.sqlite3"))


def _is_meant(key: ConversationKey, assistant: Assistant | None, user_id: str | None) -> bool:
    return assistant in {None, key.assistant} and user_id in {None, key.user_id}


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[OutboxQueue]:
    queue = OutboxQueue(path)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()
