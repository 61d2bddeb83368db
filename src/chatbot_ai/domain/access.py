"""Who calls, and for whom they may speak. Pure values and the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from chatbot_ai.domain.errors import Forbidden

#: open: no keys are configured and the caller is on this machine; backend: a program that may
#: speak for any user; user: a key bound to one user.
PrincipalKind = Literal["open", "backend", "user"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An admitted caller."""

    kind: PrincipalKind
    key_id: str | None = None
    user_id: str | None = None

    def speaks_for(self, user_id: str | None) -> str | None:
        """The user that a request is for. Raises Forbidden where a user key names another one."""
        if self.kind != "user":
            return user_id
        if user_id is not None and user_id != self.user_id:
            raise Forbidden("a user key speaks for its own user only")
        return self.user_id


class Access(Protocol):
    """Decides who may call.

    A1  `admit` returns a Principal or raises Unauthorized; CallerLimited where the key is over one
        of its limits.
    A2  Every way of sending a key (Authorization: Bearer, X-API-Key) is treated alike.
    A3  Without any key configured only callers on this machine are admitted.
    A4  `headers` tells what is left of the key's limits; empty where it has none.
    """

    def admit(self, headers: Mapping[str, str], address: str) -> Principal: ...

    def headers(self, principal: Principal) -> Mapping[str, str]: ...

    def spent(self, principal: Principal, tokens: int) -> None:
        """Count the tokens of an answered request towards the key's daily limit."""
