"""Tests see nothing of the machine they run on: not its settings, home or outer network."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chatbot_ai.settings.assistant import AssistantSettings
from chatbot_ai.settings.load import list_setting_names
from chatbot_ai.settings.shared import Settings

PREFIXES = ("CHATBOT_", "GATEWAY_", "OFFICE_", "CHARACTER_", "OPENAI_", "GOOGLE_", "MONGO")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class OutgoingConnection(RuntimeError):
    """A test reached for a machine other than this one."""


class NetworkGuard:
    """Refuses connections and look-ups beyond loopback while `closed`.

    Python's audit events show every socket of this process, whatever library made it (PEP 578).
    """

    def __init__(self) -> None:
        self.closed = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.closed:
            return
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if isinstance(address, tuple) and not is_loopback(address[0]):
                raise OutgoingConnection(f"{event} {address[0]}")
        elif event == "socket.getaddrinfo" and not is_address(arguments[0]):
            raise OutgoingConnection(f"{event} {arguments[0]!r}")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let this block use the network: the first fetch of the model file."""
        before, self.closed = self.closed, False
        try:
            yield
        finally:
            self.closed = before


guard = NetworkGuard()


def is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def own_variables(environment: Iterator[str]) -> list[str]:
    """The names in `environment` that are settings of ours, or that would bend a connection."""
    names = {*list_setting_names(Settings), *list_setting_names(AssistantSettings), *PROXIES}
    return [name for name in environment if name in names or name.startswith(PREFIXES)]


def is_address(host: object) -> bool:
    """Whether looking `host` up asks nobody: it is an address already, or this machine's name."""
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return is_loopback(host)
    return True
