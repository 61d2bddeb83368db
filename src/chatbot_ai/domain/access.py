"""Who calls, and for whom they may speak. Pure values and the contract."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chatbot_ai.domain.errors import Forbidden
from chatbot_ai.domain.limits import LimitState

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
    A6  `spent` may come before or after `release`, and with less than nothing where an estimate
        was too high. Neither waits for a disk.
    """

    async def admit(self, details: Mapping[str, str], address: str) -> Principal: ...

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]: ...

    def spent(self, principal: Principal, tokens: int) -> None:
        """Count the tokens of an answered request towards the key's daily limit."""

    def release(self, principal: Principal) -> None:
        """The call has ended."""


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; a name or nonsense is not."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
