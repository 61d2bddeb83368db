"""Access without keys: this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from chatbot_ai.domain.access import Principal, is_loopback
from chatbot_ai.domain.errors import Unauthorized
from chatbot_ai.domain.limits import LimitState

#: Never in public DNS: RFC 6761 sections 6.2 and 6.3; ICANN resolution 2024.07.29.06.
PRIVATE_DOMAINS = (".localhost", ".test", ".internal")


class LoopbackAccess:
    """Admits callers on this machine and nobody else.

    anywhere  admits every address: for a gateway whose published address is loopback although the
              service sees another one, as behind a container's bridge
    origins   pages of other sites that may call from this machine's browser, by their origin

    A page of another site is refused although the browser that shows it is on this machine: by
    its Origin, and, where it has made its own name point to this machine (DNS rebinding), by the
    name it calls us. That also refuses callers that come through a tunnel with a public name.
    """

    def __init__(self, *, anywhere: bool = False, origins: Collection[str] = ()) -> None:
        self._anywhere = anywhere
        self._origins = frozenset(origins)

    async def admit(self, details: Mapping[str, str], address: str) -> Principal:
        host, origin = details.get("host", ""), details.get("origin")
        if not (self._anywhere or is_loopback(address)):
            raise Unauthorized("no key is configured, so only this machine may call")
        if _is_public_name(host):
            raise Unauthorized("no key is configured, so no public name may lead here")
        if origin and origin not in self._origins and urlsplit(origin).netloc != host:
            raise Unauthorized("no key is configured, so no other site's page may call")
        return Principal("open")

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]:
        return ()

    def spent(self, principal: Principal, tokens: int) -> None:
        return None

    def release(self, principal: Principal) -> None:
        return None


def _is_public_name(host: str) -> bool:
    """Whether a Host header holds a name that public DNS could give to anybody.

    Addresses point nowhere else, and names of one part or below PRIVATE_DOMAINS are no public ones.
    """
    if not host:
        return False
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return False
    return "." in name and not name.endswith(PRIVATE_DOMAINS)
