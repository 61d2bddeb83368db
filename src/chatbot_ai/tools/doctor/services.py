"""What the services need beside the machine: files, folders, programs, a database, keys."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pymongo
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.tools.doctor.finding import Finding, fail, gigabytes, ok, warn
from chatbot_ai.tools.doctor.machine import existing_parent
from chatbot_ai.tools.doctor.program import ask

_DATABASE_TIMEOUT_MS = 3000


def check_models(library: ModelLibrary, names: Sequence[str]) -> list[Finding]:
    """Look at each model file by size and form; `models verify` reads the whole file."""
    return [_check_model(library, name) for name in dict.fromkeys(names)]


def _check_model(library: ModelLibrary, name: str) -> Finding:
    status = library.look(name)
    if status is None:
        return fail("model", "model_unknown", name=name, folder=str(library.folder))
    facts: dict[str, str | int | float] = {"name": name, "path": str(status.path)}
    if status.state is FileState.PRESENT:
        return ok("model", "model_ok", size_gb=gigabytes(status.size_bytes), **facts)
    return fail("model", f"model_{status.state}", **facts)


def check_folders(folders: Mapping[str, Path]) -> list[Finding]:
    """Look whether each folder can be written, or made where it does not exist."""
    return [_check_folder(purpose, folder) for purpose, folder in folders.items()]


def _check_folder(purpose: str, folder: Path) -> Finding:
    facts = {"purpose": purpose, "folder": str(folder)}
    there = existing_parent(folder)
    if not there.is_dir():
        return fail("folder", "folder_is_file", **facts)
    try:
        with tempfile.TemporaryFile(dir=there):
            return ok("folder", "folder_ok", **facts)
    except OSError as error:
        cause = error.strerror or str(error)
        return fail("folder", "folder_closed", user=os.getuid(), cause=cause, **facts)


def check_nginx(binary: str | None) -> list[Finding]:
    """Start the gateway's program; `binary` is None where none was found."""
    output = ask(binary, "-v") if binary else None
    if binary is None or output is None:
        return [fail("nginx", "nginx_missing")]
    version = re.search(r"nginx/([\w.]+)", output.stderr + output.stdout)
    if output.status != 0 or version is None:
        return [fail("nginx", "nginx_broken", binary=binary, status=output.status)]
    return [ok("nginx", "nginx_ok", binary=binary, version=version[1])]


def check_database(mongodb_url: str | None, data_dir: Path) -> list[Finding]:
    """Ask MongoDB for its version, or try SQLite's WAL mode in the data folder without one."""
    return [_check_sqlite(data_dir) if mongodb_url is None else _check_mongodb(mongodb_url)]


def _check_mongodb(url: str) -> Finding:
    try:
        with pymongo.MongoClient[dict[str, object]](
            url,
            serverSelectionTimeoutMS=_DATABASE_TIMEOUT_MS,
            connectTimeoutMS=_DATABASE_TIMEOUT_MS,
            socketTimeoutMS=_DATABASE_TIMEOUT_MS,
        ) as client:
            version = str(client.server_info()["version"])
            client.list_database_names()  # needs the login that server_info does not
    except (MongoConfigurationError, ValueError) as error:
        return fail("database", "mongodb_url", cause=type(error).__name__)
    except OperationFailure as error:
        return fail("database", "mongodb_login", status=error.code or 0)
    except ConnectionFailure:
        return fail("database", "mongodb_unreachable", timeout_s=_DATABASE_TIMEOUT_MS / 1000)
    except PyMongoError as error:
        return fail("database", "mongodb_broken", cause=type(error).__name__)
    return ok("database", "mongodb_ok", version=version)


def _check_sqlite(data_dir: Path) -> Finding:
    folder = existing_parent(data_dir)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            connection = sqlite3.connect(Path(place, "probe.sqlite3"))
            try:
                mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                connection.execute("CREATE TABLE probe (id INTEGER)")
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        cause = type(error).__name__
        return fail("database", "sqlite_broken", folder=str(data_dir), cause=cause)
    if mode != "wal":
        return warn("database", "sqlite_no_wal", folder=str(data_dir))
    return ok("database", "sqlite_ok", version=sqlite3.sqlite_version, folder=str(data_dir))


def check_keys(
    *, has_google_key: bool, has_search_engine_id: bool, has_openai_key: bool
) -> list[Finding]:
    """Say which keys are there; takes no key, so that none can be shown."""
    if has_google_key != has_search_engine_id:
        missing = "SEARCH_ENGINE_ID" if has_google_key else "GOOGLE_API_KEY"
        search = warn("keys", "search_half", missing=missing)
    else:
        search = ok("keys", "search_google" if has_google_key else "search_duckduckgo")
    return [search, ok("keys", "openai_key" if has_openai_key else "openai_none")]
