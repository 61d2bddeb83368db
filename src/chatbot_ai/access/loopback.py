"""Access without keys: this machine only."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chatbot_ai.domain.access import Principal, find_hop, is_loopback, is_own_host, read_host
from chatbot_ai.domain.errors import Unauthorized
from chatbot_ai.domain.limits import LimitState

#: Names that lead to this machine wherever they are looked up: RFC 6761 section 6.3, and what
#: Docker writes into its containers' and this machine's list of hosts.
OWN_NAMES = ("localhost", "host.docker.internal")


class LoopbackAccess:
    """Admits callers on this machine and nobody else.

    anywhere  admits every address: for a gateway whose published address is loopback although the
              service sees another one, as behind a container's bridge
    origins   pages of other sites that may call from this machine's browser, by their origin
    hosts     names of this machine, in lower case, besides OWN_NAMES

    Behind a proxy or a tunnel every caller looks local: what has come through one is refused. A
    page of another site is refused although the browser that shows it is on this machine: by what
    the browser says of it (Origin, Sec-Fetch-Site), and, where it has made its own name point to
    this machine (DNS rebinding), by the name it calls us.
    """

    def __init__(
        self,
        *,
        anywhere: bool = False,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
    ) -> None:
        self._anywhere = anywhere
        self._origins = frozenset(origins)
        self._hosts = frozenset((*OWN_NAMES, *hosts))

    async def admit(self, details: Mapping[str, str], address: str) -> Principal:
        self.check_page(details, address)
        host, origin = details.get("host", ""), details.get("origin")
        if not self.trusts_host(host):
            raise Unauthorized("no key, and not by a name of this machine", "unkeyed_host")
        if not origin or origin not in self._origins:
            foreign = origin and origin.partition("://")[2] != (host or None)
            if foreign or details.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                raise Unauthorized("no key, and from another site's page", "unkeyed_page")
        return Principal("open")

    def check_page(self, details: Mapping[str, str], address: str) -> None:
        if (hop := find_hop(details)) is not None:
            raise Unauthorized(f"no key, and through a proxy ({hop})", "unkeyed_forwarded")
        if not (self._anywhere or is_loopback(address)):
            raise Unauthorized("no key, and from another machine", "unkeyed_elsewhere")

    def trusts_host(self, host: str) -> bool:
        name = read_host(host)
        return not host or (name is not None and is_own_host(name, self._hosts))

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]:
        return ()

    async def reserve(self, principal: Principal, tokens: int) -> None:
        return None

    def spent(self, principal: Principal, tokens: int) -> None:
        return None

    def release(self, principal: Principal) -> None:
        return None
