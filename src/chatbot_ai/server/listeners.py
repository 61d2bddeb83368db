"""Where the group's parts meet: socket files in a folder of ours, and ports that are never free.

While a process restarts, another user of this machine could listen on its port and would get keys
and what people wrote. What is ours to send goes through socket files instead, in a folder that only
this user may write to; the ports for others are held by the supervisor, which never dies before
its children, and handed to each of them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings import Config

#: As nginx's own (NGX_LISTEN_BACKLOG).
BACKLOG = 511
#: Of a socket's path (unix(7): 108 with the end), less the longest file name in the folder.
_MOST_FOLDER_BYTES = 107 - len("/engine-character.sock")
NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PREFIX = "chatbot-ai-"
#: A folder that is older and not locked belongs to nobody any more.
_LOCKED_AFTER_S = 60
#: Written into nginx.conf and addresses as they are.
_PLAIN = re.compile(r"/[A-Za-z0-9._/-]*")


@dataclass(frozen=True, slots=True)
class Listeners:
    """What the supervisor keeps open: the gateway's and each service's ports, and the folder of
    socket files."""

    gateway: Sequence[socket.socket]
    services: dict[Assistant, socket.socket]
    folder: Path

    def file(self, name: str) -> Path:
        """The socket file of an engine or a service."""
        return self.folder / f"{name}.sock"


@contextmanager
def open_listeners(config: Config) -> Iterator[Listeners]:
    """Take every port until the end. Raises ConfigurationError, naming the setting, for one that
    cannot be had."""
    shared = config.shared
    with ExitStack() as stack:
        gateway = []
        for host in shared.gateway_hosts:
            with _forgive_missing_ipv6(host, shared.gateway_host):
                held = open_port(host, shared.gateway_port, "GATEWAY_PORT", listen=True)
                gateway.append(stack.enter_context(held))
        services = {}
        for name in ASSISTANTS:
            own = config.assistant(name)
            held = open_port(own.host, own.service_port, f"{name.upper()}_PORT", listen=True)
            services[name] = stack.enter_context(held)
        folder = stack.enter_context(socket_folder(shared.run_dir))
        yield Listeners(gateway, services, folder)


@contextmanager
def _forgive_missing_ipv6(host: str, wished: str) -> Iterator[None]:
    """A machine without IPv6 lacks the address that only `localhost` would have brought."""
    try:
        yield
    except ConfigurationError as error:
        missing = getattr(error.__cause__, "errno", None) in NO_SUCH_ADDRESS
        if host == wished or not missing:
            raise


_PORT_REMEDIES = {
    errno.EADDRINUSE: "stop the program that uses it or set {setting} to another port",
    errno.EACCES: "set {setting} to a port from 1024",
    errno.EADDRNOTAVAIL: "this machine has no such address: set {host_setting} to one that it has",
    socket.EAI_NONAME: "no such name is known: set {host_setting} to an address of this machine",
}


def open_port(host: str, port: int, setting: str, *, listen: bool) -> socket.socket:
    """A TCP socket that has this port. Raises ConfigurationError, naming the setting.

    listen  at once, so that nobody else can take the port: callers wait in its queue
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = None
    try:
        opened = socket.socket(family)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((host, port))
        if listen:
            opened.listen(BACKLOG)
    except OSError as error:
        if opened is not None:
            opened.close()
        remedy = _PORT_REMEDIES.get(error.errno or 0, _PORT_REMEDIES[errno.EADDRINUSE])
        raise ConfigurationError(
            f"port {port} on {host} cannot be used ({error.strerror}); "
            + remedy.format(setting=setting, host_setting=setting.replace("PORT", "HOST"))
        ) from error
    # those who accept share this flag, and none of them may block
    opened.setblocking(False)
    return opened


def bind_file(path: Path, owner: int) -> socket.socket:
    """A socket file that only the user `owner` may connect to, not listening yet."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    path.chmod(0o600)
    if owner != os.geteuid():
        os.chown(path, owner, -1)
    return bound


@contextmanager
def socket_folder(preferred: Path) -> Iterator[Path]:
    """A fresh folder for socket files that nobody else may write to: in `preferred`, or where a
    path there would be too long for a socket, in the system's folder for temporary files.

    Others may pass through it where this is root, whose gateway has workers of another user.
    """
    temporary = Path(tempfile.gettempdir())
    parent = next((p for p in (preferred, temporary) if _may_hold_sockets(p)), Path("/tmp"))  # noqa: S108
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.geteuid() == 0:
            folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _may_hold_sockets(parent: Path) -> bool:
    longest = len(os.fsencode(parent / f"{_PREFIX}12345678"))
    fits = longest <= _MOST_FOLDER_BYTES and _PLAIN.fullmatch(str(parent)) is not None
    return fits and parent.is_dir() and os.access(parent, os.W_OK)


def _remove_abandoned(parent: Path) -> None:
    """Folders of groups that were killed: nobody holds their lock any more."""
    for folder in parent.glob(f"{_PREFIX}????????"):
        with suppress(OSError):
            found = folder.lstat()
            is_young = time.time() - found.st_mtime < _LOCKED_AFTER_S
            if is_young or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
