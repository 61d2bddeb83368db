"""Where `chatbot-ai history` finds things: stores by their names, and what lies beside them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings import process_environment
from chatbot_ai.storage.outbox_files import drop_user, waiting_in
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore


@dataclass(frozen=True, slots=True)
class DataFolder:
    """What belongs to a deployment beside its conversation store: outboxes and characters."""

    outboxes: Path
    characters: Path

    async def waiting(self, user_id: str | None, assistant: Assistant | None) -> int:
        """Return how many turns and answers wait for the database."""
        return await waiting_in(self.outboxes, assistant, user_id)

    async def forget(self, user_id: str, assistant: Assistant | None) -> tuple[int, int]:
        """Delete what waits for a user and the user's characters; return how many of each."""
        dropped = await drop_user(self.outboxes, user_id, assistant)
        if assistant == "office" or not await asyncio.to_thread(self.characters.is_file):
            return dropped, 0
        store = SqliteCharacterStore(self.characters)
        await store.open()
        try:
            return dropped, await store.delete_user(user_id)
        finally:
            await store.close()


def resolved(location: str) -> str:
    """Return `location`, or the value of the variable that `env:NAME` names: a command line shows
    its passwords to everybody on the machine."""
    if not location.startswith("env:"):
        return location
    name = location.removeprefix("env:")
    value = process_environment().get(name)
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value
