"""Who calls, and for whom they may speak. Pure values and the contract."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chatbot_ai.domain.errors import Forbidden
from chatbot_ai.domain.limits import LimitState

#: Names by which proxies, tunnels and CDNs tell of a caller behind them, in lower case; so does
#: every `x-forwarded-…`. Sources: RFC 9110 section 7.6.3, RFC 7239, RFC 8586, and the manuals of
#: nginx, Apache, Envoy, Cloudflare, Akamai, Fastly, Fly, Azure, App Engine and Tailscale.
HOP_SIGNS = (
    "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ipcountry", "cf-ray", "cf-visitor",
    "client-ip", "do-connecting-ip", "fastly-client-ip", "fly-client-ip", "forwarded",
    "tailscale-user-login", "true-client-ip", "via", "x-appengine-user-ip", "x-azure-clientip",
    "x-client-ip", "x-cluster-client-ip", "x-envoy-external-address", "x-forwarded",
    "x-forwarded-access-token", "x-forwarded-by", "x-forwarded-client-cert", "x-forwarded-email",
    "x-forwarded-groups", "x-forwarded-path", "x-forwarded-port", "x-forwarded-preferred-username",
    "x-forwarded-protocol", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl",
    "x-forwarded-tls-client-cert", "x-forwarded-uri", "x-forwarded-user",
    "x-nf-client-connection-ip", "x-original-forwarded-for", "x-original-host", "x-proxyuser-ip",
)  # fmt: skip
#: What our own gateway tells of its caller; it tells of other hops with `via`, and with VOUCHED
#: that the proxy in front is a trusted one, whatever else that tells.
VOUCHED = ("x-forwarded-by", "trusted")
GATEWAY_SIGNS = (
    "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix",
)  # fmt: skip
#: RFC 9110 section 7.2: a name or an address, and a port.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+)(?::\d{0,5})?")
#: RFC 6454 section 7; `file://` and the like have no host.
_ORIGIN = re.compile(rf"null|[a-z][a-z0-9+.-]*://(?:{_HOST.pattern})?", re.IGNORECASE)

#: open: no keys are configured and the caller is on this machine; backend: a program that may
#: speak for any user; user: a key bound to one user.
PrincipalKind = Literal["open", "backend", "user"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An admitted caller. `visit` names the one call that was admitted, where limits need it."""

    kind: PrincipalKind
    key_id: str | None = None
    user_id: str | None = None
    visit: str | None = field(default=None, compare=False)

    def speaks_for(self, user_id: str | None) -> str | None:
        """The user that a request is for. Raises Forbidden where a user key names another one."""
        if self.kind != "user":
            return user_id
        if user_id is not None and user_id != self.user_id:
            raise Forbidden("a user key speaks for its own user only")
        return self.user_id


class Access(Protocol):
    """Decides who may call.

    A1  `admit` returns a Principal or raises Unauthorized; CallerLimited, with the limits of A4,
        where the key is over one of them; StoreUnavailable where the keys cannot be read, so that
        nobody is let in by a fault. `details` are what the call says of itself, by lower-case name:
        `authorization`, `x-api-key`, `host`, `origin`.
    A2  Both ways of sending a key are treated alike; two keys that differ are Unauthorized.
    A3  Without any key configured only callers on this machine are admitted.
    A4  `limits_of` tells what is left of the key's limits; empty where it has none.
    A5  Every admitted call is released once, after its last byte or when its caller has left;
        until then it counts as concurrent.
    A6  `reserve` tells what a call may take before it is made, so that those beside it that reserve
        too know; it raises CallerLimited where the day's tokens are spent or reserved by then, and
        may come again with a better estimate, which is not refused. A reservation ends with
        `spent`, `release` or the process. `spent` may come before or after `release`; neither waits
        for a disk.
    """

    async def admit(self, details: Mapping[str, str], address: str) -> Principal: ...

    def check_page(self, details: Mapping[str, str], address: str) -> None:
        """Raise Unauthorized where no key is configured and the caller is not on this machine: a
        page needs no key, but is nothing for who could not use it."""

    def trusts_host(self, host: str) -> bool:
        """Whether a host and port name this machine by an address or one of its own names."""

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]: ...

    async def reserve(self, principal: Principal, tokens: int) -> None: ...

    def spent(self, principal: Principal, tokens: int) -> None:
        """Count the tokens of an answered request towards the key's daily limit."""

    def release(self, principal: Principal) -> None:
        """The call has ended."""


def find_hop(details: Mapping[str, str]) -> str | None:
    """The name by which a proxy other than our gateway tells of a caller behind it."""
    told = details.get("x-forwarded-for")
    known = GATEWAY_SIGNS if told and told == details.get("x-real-ip") else ("x-real-ip",)
    vouched = known is GATEWAY_SIGNS and details.get(VOUCHED[0]) == VOUCHED[1]
    for name in details:
        is_hop = name in HOP_SIGNS or (name.startswith("x-forwarded-") and not vouched)
        is_ours = name in known or name == "x-forwarded-prefix" or (vouched and name == VOUCHED[0])
        if is_hop and not is_ours:
            return name
    return None


def read_host(told: str) -> str | None:
    """The name or address of a host and port, in lower case; None where it is none."""
    found = _HOST.fullmatch(told)
    name = found[1].lower().rstrip(".") if found else ""
    return name if not name.startswith("[") or _is_address(name) else None


def is_origin(told: str) -> bool:
    """Whether a page's origin can be read."""
    found = _ORIGIN.fullmatch(told)
    return found is not None and (found[1] is None or read_host(found[1]) is not None)


def is_own_host(name: str, names: Collection[str]) -> bool:
    """Whether nobody but this machine can be meant: by an address or one of `names`."""
    return _is_address(name) or name in names or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; a name or nonsense is not."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
