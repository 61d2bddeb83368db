"""What the services need beside the machine: files, folders, ports, programs, a database, keys, and
Docker where containers are used."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.tools.doctor.check import (
    Fact,
    Finding,
    State,
    ask,
    fail,
    gigabytes,
    join_version,
    ok,
    warn,
)
from chatbot_ai.tools.doctor.machine import find_existing_parent

_DATABASE_TIMEOUT_MS = 3000


def check_models(library: ModelLibrary, names: Sequence[str]) -> list[Finding]:
    """Look at each model file by size and form; `models verify` reads the whole file."""
    return [_check_model(library, name) for name in dict.fromkeys(names)]


def _check_model(library: ModelLibrary, name: str) -> Finding:
    status = library.look(name)
    if status is None:
        return fail("model", "model_unknown", name=name, folder=str(library.folder))
    facts: dict[str, Fact] = {"name": name, "path": str(status.path)}
    if status.state is FileState.PRESENT:
        return ok("model", "model_ok", size_gb=gigabytes(status.size_bytes), **facts)
    return fail("model", f"model_{status.state}", **facts)


def check_folders(folders: Mapping[str, Path]) -> list[Finding]:
    """Look whether each folder can be written, or made where it does not exist."""
    return [_check_folder(purpose, folder) for purpose, folder in folders.items()]


def _check_folder(purpose: str, folder: Path) -> Finding:
    facts = {"purpose": purpose, "folder": str(folder)}
    there = find_existing_parent(folder)
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
    if output.returncode != 0 or version is None:
        return [fail("nginx", "nginx_broken", binary=binary, status=output.returncode)]
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
    folder = find_existing_parent(data_dir)
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


def check_ai_notice(*, is_published: bool, ai_notice: bool) -> list[Finding]:
    """Say whether the people of a published service are told that an AI answers."""
    if ai_notice:
        return [ok("notice", "ai_notice_on")]
    found = warn if is_published else ok
    return [found("notice", "ai_notice_off")]


_PROC = Path("/proc")
_LISTENING = "0A"  # linux/include/net/tcp_states.h TCP_LISTEN
_OWN_NAMES = ("chatbot-ai", "chatbot_ai")
_DOCKER_PROXY = "docker-proxy"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    command: str
    is_ours: bool


def check_ports(
    ports: Mapping[str, int], host: str, gateway_hosts: Sequence[str] = ()
) -> list[Finding]:
    """Try every port by binding it; a port that this system itself holds is fine.

    host           of every port
    gateway_hosts  further addresses of the gateway's port, on a machine that has them
    """
    found = [_check_port(service, port, host) for service, port in ports.items()]
    for other in gateway_hosts:
        finding = _check_port("gateway", ports["gateway"], other)
        if finding.state is not State.OK and finding.message != "port_address":
            found.append(finding)
    return found


def _check_port(service: str, port: int, host: str) -> Finding:
    facts: dict[str, Fact] = {"service": service, "port": port}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _judge_holder(port, facts)
            reason = "port_forbidden" if error.errno == errno.EACCES else "port_address"
            return fail("port", reason, host=host, **facts)
    return ok("port", "port_free", **facts)


def _judge_holder(port: int, facts: dict[str, Fact]) -> Finding:
    holder = find_holder(port)
    if holder is None:
        return fail("port", "port_taken", **facts)
    facts |= {"pid": holder.pid, "command": holder.command}
    if holder.is_ours:
        return ok("port", "port_ours", **facts)
    if holder.command == _DOCKER_PROXY:
        return warn("port", "port_docker", **facts)
    return fail("port", "port_taken_by", **facts)


def find_holder(port: int) -> Holder | None:
    """Return who listens on the port; None if that process belongs to another user."""
    sockets = {f"socket:[{inode}]" for inode in _find_inodes(port)}
    for process in _PROC.iterdir():
        if process.name.isdecimal() and _holds(process, sockets):
            pid = int(process.name)
            return Holder(pid, _read_text(process / "comm"), any(map(_is_own, _lineage(pid))))
    return None


def _find_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _read_text(_PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(opened.readlink()) in sockets for opened in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False


def _lineage(pid: int) -> Iterator[int]:
    """The process and those that started it: a gateway is ours because its parent is."""
    while pid > 1:
        yield pid
        _, _, rest = _read_text(_PROC / str(pid) / "stat").rpartition(")")
        pid = int(rest.split()[1]) if rest else 0


def _is_own(pid: int) -> bool:
    arguments = _read_text(_PROC / str(pid) / "cmdline").split("\0")
    return any(name in Path(part).name.split(".") for part in arguments for name in _OWN_NAMES)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\n")
    except OSError:
        return ""


#: `start_interval` of health checks came with this Engine, `required: false` and this Compose
#: file's other means with this Compose.
OLDEST_ENGINE, OLDEST_COMPOSE = (25, 0), (2, 26)
#: Before, machines of the same network could reach ports published on 127.0.0.1 (moby#45610).
LOOPBACK_SINCE = (28, 0)
#: What a deployment in containers cannot do without.
NEEDED = frozenset({"docker_unreachable", "docker_old", "compose_missing", "compose_old"})


def check_docker(*, required: bool = False) -> list[Finding]:
    """Look at the daemon, Compose v2 and the NVIDIA toolkit.

    Docker is optional and nothing fails, unless this deployment runs on it (`required`).
    """
    if not shutil.which("docker"):
        return [fail("docker", "docker_missing") if required else ok("docker", "docker_none")]
    findings = _look_at_docker()
    if required:
        findings = [
            replace(one, state=State.FAIL) if one.message in NEEDED else one for one in findings
        ]
    return findings


def _look_at_docker() -> list[Finding]:
    info = _ask_docker()
    if info is None:
        return [warn("docker", "docker_unreachable")]
    findings = [_judge_engine(str(info["ServerVersion"]))]
    compose = ask("docker", "compose", "version", "--short")
    if compose is None or compose.returncode != 0:
        findings.append(warn("docker", "compose_missing"))
    elif _parse_version(compose.stdout) < OLDEST_COMPOSE:
        facts = {"version": compose.stdout.strip(), "oldest": join_version(OLDEST_COMPOSE)}
        findings.append(warn("docker", "compose_old", **facts))
    if shutil.which("nvidia-smi"):
        findings.append(_judge_toolkit(info))
    return findings


def _judge_engine(version: str) -> Finding:
    if _parse_version(version) < OLDEST_ENGINE:
        return warn("docker", "docker_old", version=version, oldest=join_version(OLDEST_ENGINE))
    if _parse_version(version) < LOOPBACK_SINCE:
        return warn(
            "docker", "docker_loopback", version=version, since=join_version(LOOPBACK_SINCE)
        )
    return ok("docker", "docker_ok", version=version)


def _parse_version(text: str) -> tuple[int, ...]:
    """26.1.5+dfsg1 as (26, 1); what is no version counts as older than all."""
    match = re.match(r"\s*v?(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else ()


def _ask_docker() -> dict[str, Any] | None:
    """Return what the daemon says of itself, None if it does not answer.

    The client prints JSON without a server's version, and status 1, when it reaches no daemon.
    """
    output = ask("docker", "info", "--format", "{{json .}}")
    try:
        info = json.loads(output.stdout) if output else None
    except ValueError:
        return None
    return info if isinstance(info, dict) and info.get("ServerVersion") else None


def _judge_toolkit(info: dict[str, Any]) -> Finding:
    """A GPU reaches containers through the `nvidia` runtime or through CDI devices."""
    if "nvidia" in (info.get("Runtimes") or {}):
        return ok("toolkit", "toolkit_ok", way="nvidia runtime")
    devices = info.get("DiscoveredDevices") or []
    if any(str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices):
        return ok("toolkit", "toolkit_ok", way="CDI")
    if shutil.which("nvidia-ctk"):
        return warn("toolkit", "toolkit_unconfigured")
    return warn("toolkit", "toolkit_missing")
