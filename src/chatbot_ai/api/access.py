"""The one dependency that every route but health and documentation has: who calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from chatbot_ai.api.gate import caller_address
from chatbot_ai.api.schemas import UserName
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import InvalidRequest


def address_of(request: Request) -> str:
    """The caller's address, as the gateway saw it."""
    return caller_address(request.headers, request.scope)


async def principal_of(request: Request) -> Principal:
    """The caller that the gate has admitted. A path that the gate leaves open has none: a route
    that needs one fails there instead of serving everybody."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is None:
        raise AssertionError("the gate admits the caller of every route that depends on one")
    return principal


def queue_name(request: Request, principal: Principal, user_id: str | None) -> str:
    """Whom the queue is fair to: the user, else the key, else the address."""
    return user_id or principal.key_id or f"address:{address_of(request)}"


def owner_of(request: Request, principal: Principal, user_id: str | None) -> str:
    """Who may ask again for what this call makes: the same key and the same user; without both,
    the same address. JSON-like, so that no two owners look the same."""
    who = principal.key_id or ("" if user_id else address_of(request))
    return repr((principal.kind, who, user_id))


async def user_of(
    principal: Annotated[Principal, Depends(principal_of)],
    user_id: Annotated[
        UserName | None,
        Query(description="Whose conversations; a user key may leave it out."),
    ] = None,
) -> str:
    """The user a conversation route is about. Raises InvalidRequest where nobody is named and
    Forbidden where a user key names somebody else."""
    found = principal.speaks_for(user_id)
    if found is None:
        raise InvalidRequest("user_id", "field_missing")
    return found


Caller = Annotated[Principal, Depends(principal_of)]
User = Annotated[str, Depends(user_of)]
