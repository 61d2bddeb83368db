"""Access without keys: this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import Unauthorized


class LoopbackAccess:
    """Admits callers on this machine and nobody else.

    anywhere  admits everyone: for a gateway whose published address is loopback although the
              service sees another one, as behind a container's bridge
    """

    def __init__(self, *, anywhere: bool = False) -> None:
        self._anywhere = anywhere

    def admit(self, headers: Mapping[str, str], address: str) -> Principal:
        if self._anywhere or is_loopback(address):
            return Principal("open")
        raise Unauthorized("no key is configured, so only this machine may call")

    def headers(self, principal: Principal) -> Mapping[str, str]:
        return {}

    def spent(self, principal: Principal, tokens: int) -> None:
        return None


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; a name or nonsense is not."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
