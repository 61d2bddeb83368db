"""Which conversation store the settings name."""

from __future__ import annotations

from chatbot_ai.domain.characters import CharacterStore
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import plain
from chatbot_ai.storage.mongodb import MongoConversationStore
from chatbot_ai.storage.mongodb_server import mongodb_url
from chatbot_ai.storage.sqlite import SqliteConversationStore
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore

SQLITE_FILE = "chatbot.sqlite3"
CHARACTERS_FILE = "characters.sqlite3"


def mongodb_address(shared: Settings) -> str | None:
    """MongoDB's address, None where the embedded file is used. Raises ConfigurationError where
    its parts do not go together."""
    url = plain(shared.mongodb_url)
    if not url and not shared.mongo_host:
        return None
    return mongodb_url(
        url,
        host=shared.mongo_host,
        port=shared.mongo_port,
        user=shared.mongo_admin_user,
        password=plain(shared.mongo_admin_password),
    )


def conversation_store(shared: Settings) -> ConversationStore:
    """MongoDB where it is configured, else one SQLite file."""
    address = mongodb_address(shared)
    if address is None:
        return SqliteConversationStore(shared.data_dir / SQLITE_FILE)
    return MongoConversationStore(address, shared.mongo_database)


def character_store(shared: Settings) -> CharacterStore:
    """The file of the characters that users keep."""
    return SqliteCharacterStore(shared.data_dir / CHARACTERS_FILE)
