"""The gate: who may call is decided before anything of a call is read. Pure ASGI, as streamed
answers pass through it and a call ends only with its last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_ai.api.request_line import note
from chatbot_ai.api.services import Services
from chatbot_ai.domain.access import Principal, is_loopback
from chatbot_ai.domain.errors import CallerLimited, ChatbotError

#: What everybody may ask: whether we live, and how we are to be called.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})
OPEN_BELOW = ("/docs-static/",)
#: How they may be asked; any other way needs a caller, as POST /{model} takes every name.
OPEN_METHODS = frozenset({"GET", "HEAD"})

Refuse = Callable[[Scope, ChatbotError], ASGIApp]


class Gate:
    """Admits the caller of every path but the open ones and releases it when the call has ended,
    or the work that the call has left behind as its state's `outlives`.

    The Principal lies in the request's state, where `principal_of` finds it. Every answer, errors
    too, tells what is left of the caller's limits. refuse makes the answer to who is not admitted.
    A POST that a limit kept out is counted as `limited`, as those are that the queue refuses.
    """

    def __init__(self, app: ASGIApp, *, refuse: Refuse) -> None:
        self._app, self._refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        access, headers = services.access, Headers(scope=scope)
        try:
            principal = await access.admit(headers, caller_address(headers, scope))
        except ChatbotError as error:
            left: Mapping[str, str] = {}
            if isinstance(error, CallerLimited):
                left = error.headers
                if scope["method"] == "POST":
                    services.chat.turned_away(error)
            await self._refuse(scope, error)(scope, receive, _with_headers(send, lambda: left))
            return
        _remember(scope, principal)
        try:
            await self._app(scope, receive, _with_headers(send, lambda: access.headers(principal)))
        finally:
            work: asyncio.Task[Any] | None = scope["state"].get("outlives")
            if work is None:
                access.release(principal)
            else:
                # at once where it has ended
                work.add_done_callback(lambda _: access.release(principal))


def is_open(method: str, path: str) -> bool:
    """Whether a call needs no caller."""
    return method in OPEN_METHODS and (path in OPEN_PATHS or path.startswith(OPEN_BELOW))


def caller_address(headers: Headers, scope: Scope) -> str:
    """The caller's address: X-Real-IP as the gateway set it, else that of the connection.

    Who connects from another machine cannot say that it is this one.
    """
    peer = str(scope["client"][0]) if scope.get("client") else ""
    told = headers.get("x-real-ip")
    if told is None or (is_loopback(told) and not is_loopback(peer)):
        return peer
    return told


def _remember(scope: Scope, principal: Principal) -> None:
    state: dict[str, Any] = scope.setdefault("state", {})
    state["principal"] = principal
    if principal.key_id is not None:
        note(key=principal.key_id)


def _with_headers(send: Send, headers: Callable[[], Any]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers())
        await send(message)

    return send_with_headers
