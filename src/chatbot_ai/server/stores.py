"""The conversation stores: which one the settings choose, and which one a command line names.

A further kind is a module of `storage`, its settings, and one entry of STORES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from chatbot_ai.domain.character import CharacterStore
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import reveal
from chatbot_ai.storage.outbox import OutboxConversationStore
from chatbot_ai.storage.outbox_queue import outbox_file
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

SQLITE_FILE = "chatbot.sqlite3"
CHARACTERS_FILE = "characters.sqlite3"


@dataclass(frozen=True, slots=True)
class StoreKind:
    """One kind of store; the stores that it builds are not yet open.

    prefixes    what a location on a command line begins with
    from_settings  the store that the settings name; None where they name none of this kind
    at          the store at a location; with True, one that must be there already
    describe    the store of the settings as an operator knows it
    has_outbox  whether it may be away, so that answered turns wait in an outbox
    """

    prefixes: tuple[str, ...]
    from_settings: Callable[[Settings], ConversationStore | None]
    at: Callable[[str, bool], ConversationStore]
    describe: Callable[[Settings], str]
    has_outbox: bool = True


def mongodb_address(shared: Settings) -> str | None:
    """MongoDB's address, None where the embedded file is used. Raises ConfigurationError where
    its parts do not go together."""
    url = reveal(shared.mongodb_url)
    if not url and not shared.mongo_host:
        return None
    # PyMongo is loaded where it is used only: a start on the embedded file is quicker without it
    from chatbot_ai.storage.mongodb_connection import mongodb_url  # noqa: PLC0415

    return mongodb_url(
        url,
        host=shared.mongo_host,
        port=shared.mongo_port,
        user=shared.mongo_admin_user,
        password=reveal(shared.mongo_admin_password),
    )


def parse_database(url: str) -> str:
    """Return the database that a MongoDB URL names in its path; ConfigurationError if none."""
    from chatbot_ai.storage.mongodb_connection import server_name  # noqa: PLC0415

    if find_kind(url) is not _MONGODB:
        raise _unknown_location()
    path = url.rpartition("@")[2] if "@" in url else url.partition("://")[2]
    database = unquote(path.partition("?")[0].partition("/")[2])
    if not database:
        raise ConfigurationError(f"the URL of {server_name(url)} names no database after its host")
    return database


def _mongodb_of_settings(shared: Settings) -> ConversationStore | None:
    address = mongodb_address(shared)
    if address is None:
        return None
    from chatbot_ai.storage.mongodb_conversations import MongoConversationStore  # noqa: PLC0415

    return MongoConversationStore(address, shared.mongo_database)


def _mongodb_at(url: str, must_exist: bool) -> ConversationStore:
    from chatbot_ai.storage.mongodb_conversations import MongoConversationStore  # noqa: PLC0415

    return MongoConversationStore(url, parse_database(url), timeout_s=30.0)


def _describe_mongodb(shared: Settings) -> str:
    from chatbot_ai.storage.mongodb_connection import server_name  # noqa: PLC0415

    return f"MongoDB {server_name(mongodb_address(shared) or '')}"


def _sqlite_at(location: str, must_exist: bool) -> ConversationStore:
    path = Path(location.removeprefix("sqlite:"))
    if must_exist and not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    return SqliteConversationStore(path)


_MONGODB = StoreKind(
    ("mongodb://", "mongodb+srv://"), _mongodb_of_settings, _mongodb_at, _describe_mongodb
)
_SQLITE = StoreKind(
    ("sqlite:",),
    lambda shared: SqliteConversationStore(shared.data_dir / SQLITE_FILE),
    _sqlite_at,
    lambda shared: str(shared.data_dir.absolute() / SQLITE_FILE),
    has_outbox=False,
)
#: The first one that the settings name is used; the embedded file needs no setting.
STORES = (_MONGODB, _SQLITE)


def find_kind(location: str) -> StoreKind | None:
    """Return the kind of store that a location names; None where it has another form."""
    for kind in STORES:
        if any(location.startswith(p) and len(location) > len(p) for p in kind.prefixes):
            return kind
    return None


def build_store(location: str, *, must_exist: bool = False) -> ConversationStore:
    """Return the store at `location`, not yet open; ConfigurationError for any other form.

    With `must_exist` a SQLite file that is not there is an error, not a new, empty store.
    """
    kind = find_kind(location)
    if kind is None:
        raise _unknown_location()
    return kind.at(location, must_exist)


def conversation_store(shared: Settings) -> ConversationStore:
    """The store that the settings name; what a command works on."""
    return _choose(shared)[1]


def store_name(shared: Settings) -> str:
    """The conversation store as an operator knows it: MongoDB's hosts, or the file."""
    return _choose(shared)[0].describe(shared)


def service_store(
    assistant: Assistant, shared: Settings
) -> tuple[ConversationStore, Callable[[], int]]:
    """The store of a service, and how many answered turns wait in its outbox.

    The outbox holds turns that were answered while MongoDB was down; the embedded file needs none.
    """
    kind, store = _choose(shared)
    if not kind.has_outbox:
        return store, lambda: 0
    outbox = OutboxConversationStore(store, outbox_file(shared.data_dir, assistant))
    return outbox, outbox.pending


def character_store(shared: Settings) -> CharacterStore:
    """The file of the characters that users keep."""
    return SqliteCharacterStore(
        shared.data_dir / CHARACTERS_FILE, user_bytes=shared.user_characters_bytes
    )


def _choose(shared: Settings) -> tuple[StoreKind, ConversationStore]:
    for kind in STORES:
        store = kind.from_settings(shared)
        if store is not None:
            return kind, store
    raise ConfigurationError("no conversation store is set")


def _unknown_location() -> ConfigurationError:
    return ConfigurationError("a store is named sqlite:PATH or mongodb://HOST/DATABASE")
