"""Which conversation store the settings name."""

from __future__ import annotations

from collections.abc import Callable

from chatbot_ai.domain.character import CharacterStore
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import plain
from chatbot_ai.storage.outbox import OutboxConversationStore
from chatbot_ai.storage.outbox_queue import outbox_file
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

SQLITE_FILE = "chatbot.sqlite3"
CHARACTERS_FILE = "characters.sqlite3"


def mongodb_address(shared: Settings) -> str | None:
    """MongoDB's address, None where the embedded file is used. Raises ConfigurationError where
    its parts do not go together."""
    url = plain(shared.mongodb_url)
    if not url and not shared.mongo_host:
        return None
    from chatbot_ai.storage.mongodb_connection import mongodb_url  # noqa: PLC0415 - see below

    return mongodb_url(
        url,
        host=shared.mongo_host,
        port=shared.mongo_port,
        user=shared.mongo_admin_user,
        password=plain(shared.mongo_admin_password),
    )


def conversation_store(shared: Settings) -> ConversationStore:
    """MongoDB where it is configured, else one SQLite file; what a command works on."""
    address = mongodb_address(shared)
    if address is None:
        return SqliteConversationStore(shared.data_dir / SQLITE_FILE)
    # PyMongo is loaded where it is used only: a start on the embedded file is quicker without it
    from chatbot_ai.storage.mongodb_conversations import MongoConversationStore  # noqa: PLC0415

    return MongoConversationStore(address, shared.mongo_database)


def store_name(shared: Settings) -> str:
    """The conversation store as an operator knows it: MongoDB's hosts, or the file."""
    address = mongodb_address(shared)
    if address is None:
        return str(shared.data_dir.absolute() / SQLITE_FILE)
    from chatbot_ai.storage.mongodb_connection import server_name  # noqa: PLC0415

    return f"MongoDB {server_name(address)}"


def service_store(
    assistant: Assistant, shared: Settings
) -> tuple[ConversationStore, Callable[[], int]]:
    """The store of a service, and how many answered turns wait in its outbox.

    The outbox holds turns that were answered while MongoDB was down; the embedded file needs none.
    """
    store = conversation_store(shared)
    if isinstance(store, SqliteConversationStore):
        return store, lambda: 0
    outbox = OutboxConversationStore(store, outbox_file(shared.data_dir, assistant))
    return outbox, outbox.pending


def character_store(shared: Settings) -> CharacterStore:
    """The file of the characters that users keep."""
    return SqliteCharacterStore(shared.data_dir / CHARACTERS_FILE)
