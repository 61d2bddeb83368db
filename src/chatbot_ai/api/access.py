"""The one dependency that every route but health and documentation has: who calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from chatbot_ai.api.services import services_of
from chatbot_ai.domain.access import Principal


def address_of(request: Request) -> str:
    """The caller's address, as the gateway saw it."""
    return request.headers.get("x-real-ip") or (request.client.host if request.client else "")


def principal_of(request: Request) -> Principal:
    """Admit the caller. Raises Unauthorized or CallerLimited."""
    principal = services_of(request).access.admit(request.headers, address_of(request))
    request.state.principal = principal
    return principal


Caller = Annotated[Principal, Depends(principal_of)]
