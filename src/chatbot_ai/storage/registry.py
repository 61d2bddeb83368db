"""Stores named on a command line: `sqlite:PATH` or a MongoDB URL with its database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.mongodb_connection import server_name
from chatbot_ai.storage.mongodb_conversations import MongoConversationStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

_MONGODB = ("mongodb://", "mongodb+srv://")


def build_store(location: str, *, must_exist: bool = False) -> ConversationStore:
    """Return the store at `location`, not yet open; ConfigurationError for any other form.

    With `must_exist` a SQLite file that is not there is an error, not a new, empty store.
    """
    if location.startswith("sqlite:") and len(location) > len("sqlite:"):
        path = Path(location.removeprefix("sqlite:"))
        if must_exist and not path.is_file():
            raise ConfigurationError(f"there is no file {path}")
        return SqliteConversationStore(path)
    return MongoConversationStore(location, parse_database(location), timeout_s=30.0)


def parse_database(url: str) -> str:
    """Return the database that a MongoDB URL names in its path; ConfigurationError if none."""
    if not url.startswith(_MONGODB):
        raise ConfigurationError("a store is named sqlite:PATH or mongodb://HOST/DATABASE")
    path = url.rpartition("@")[2] if "@" in url else url.partition("://")[2]
    database = unquote(path.partition("?")[0].partition("/")[2])
    if not database:
        raise ConfigurationError(f"the URL of {server_name(url)} names no database after its host")
    return database
