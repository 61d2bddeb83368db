"""Which addresses and URLs the page fetcher may touch. Pure: no name is resolved here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx2

from chatbot_ai.domain.errors import FetchRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARS = 2048

#: IANA IPv4 Special-Purpose Address Registry (2024), multicast (RFC 5771), reserved (RFC 1112),
#: and 168.63.129.16, a public-looking address that Azure answers from inside a machine's network.
_SPECIAL_V4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
"""
#: Inside 2000::/3: IETF protocol assignments (Teredo 2001::/32 and ORCHID among them),
#: documentation, 6to4, AS112 and the former 6bone.
_SPECIAL_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 3ffe::/16"
_REFUSED_V4 = tuple(IPv4Network(net) for net in _SPECIAL_V4.split())
_REFUSED_V6 = tuple(IPv6Network(net) for net in _SPECIAL_V6.split())
#: The only IPv6 space in global use (IANA IPv6 Global Unicast Address Space). Mapped, NAT64, ULA,
#: link-local, site-local and multicast addresses are outside.
_GLOBAL_V6 = IPv6Network("2000::/3")
#: Interface identifiers that carry an IPv4 address (ISATAP, RFC 5214 section 6.1).
_ISATAP = (0x00005EFE, 0x02005EFE)

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
#: Names that lead into a network rather than out of it (RFC 6761, 6762, 8375, and habit).
_INNER = "localhost localdomain local internal intranet lan home corp private onion home.arpa"
_INNER_SUFFIXES = frozenset(_INNER.split())


def is_public(address: Address) -> bool:
    """Tell whether an address is an ordinary one of the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in net for net in _REFUSED_V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in net for net in _REFUSED_V6)


class AddressPolicy:
    """What may be fetched: http and https, on `ports`, at public addresses.

    ports   the only ports that are connected to
    denied  further networks to refuse, such as the operator's own public ones
    allow   told an address and a port, makes an exception to both rules; for tests
    """

    def __init__(
        self,
        *,
        ports: Sequence[int] = (80, 443),
        denied: Sequence[str] = (),
        allow: Callable[[Address, int], bool] | None = None,
    ) -> None:
        self._ports = frozenset(ports)
        self._denied: tuple[Network, ...] = tuple(ip_network(net) for net in denied)
        self._allow = allow

    def parse(self, text: str, base: httpx2.URL | None = None) -> httpx2.URL:
        """Parse a URL once, relative to `base` if given. Raises FetchRefused.

        What comes back is what is resolved, connected to and sent as Host.
        """
        text = text.strip(" \t\r\n")
        if not text or len(text) > MAX_URL_CHARS or _UNSAFE.search(text):
            raise FetchRefused("url")
        try:
            url = httpx2.URL(text) if base is None else base.join(text)
        except (httpx2.InvalidURL, ValueError) as error:
            raise FetchRefused("url") from error
        if url.scheme not in ("http", "https"):
            raise FetchRefused("scheme")
        if url.userinfo:
            raise FetchRefused("userinfo")
        self._check_host(url)
        return url

    def check(self, address: Address, port: int) -> None:
        """Refuse an address that must not be connected to. Raises FetchRefused."""
        if self._allow is not None and self._allow(address, port):
            return
        if port not in self._ports:
            raise FetchRefused("port")
        if not is_public(address):
            raise FetchRefused("address")
        if any(address.version == net.version and address in net for net in self._denied):
            raise FetchRefused("address")

    def _check_host(self, url: httpx2.URL) -> None:
        host = url.raw_host.decode("ascii", "replace")
        port = find_port(url)
        if not 0 < port < 65536:
            raise FetchRefused("port")
        name = host.removesuffix(".")
        if ":" in host or _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
            try:
                self.check(ip_address(host), port)
            except ValueError as error:  # 127.1, 0x7f.1, 2130706433, 0177.0.0.1 and the like
                raise FetchRefused("host") from error
            return
        labels = name.split(".")
        inner = labels[-1] in _INNER_SUFFIXES or ".".join(labels[-2:]) in _INNER_SUFFIXES
        if inner or not _HOST_NAME.fullmatch(name):
            raise FetchRefused("host")
        if self._allow is None and port not in self._ports:
            raise FetchRefused("port")


def find_port(url: httpx2.URL) -> int:
    """Return the port that a connection for `url` goes to."""
    if url.port is not None:
        return url.port
    return 443 if url.scheme == "https" else 80
