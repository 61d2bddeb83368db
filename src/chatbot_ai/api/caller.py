"""Who calls, whether the caller is still there, and what the call is to do only once.

The gate decides who may call before anything of a call is read. Pure ASGI, as streamed answers pass
through it and a call ends only with its last byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_ai.api.middleware import build_limit_headers, note
from chatbot_ai.api.schemas import UserName
from chatbot_ai.api.services import Services
from chatbot_ai.core.idempotency import Claim
from chatbot_ai.core.record import record_refusal
from chatbot_ai.domain.access import Access, Principal, is_loopback, read_host
from chatbot_ai.domain.errors import (
    AdmissionRejected,
    CallerLeft,
    CallerLimited,
    ChatbotError,
    InvalidRequest,
    Unauthorized,
)
from chatbot_ai.domain.limits import IDEMPOTENCY_KEY_CHARS, LimitState

#: Paths that need no caller: health checks, and pages that hold no data. `/status/page` is how the
#: gateway asks whether it may show its own ones.
METRICS = "/metrics"
PAGES = ("/docs", "/openapi.json", "/status/page")
OPEN_PATHS = frozenset({"/healthz", "/readyz", METRICS, *PAGES})
PAGES_BELOW = ("/docs-static/",)
#: How they may be asked; any other way needs a caller, as POST /{model} takes every name.
OPEN_METHODS = frozenset({"GET", "HEAD"})

Refuse = Callable[[Scope, ChatbotError], ASGIApp]
#: Seconds that a service which is told to stop needs to be back.
RESTART_S = 5.0

Result = TypeVar("Result")
HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replayed": "true"}
_KEY = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS}}}")


class Lease:
    """An admitted call. Released when its last holder lets go: the connection, or a resumable
    stream that goes on without it."""

    def __init__(self, access: Access, principal: Principal) -> None:
        self._access, self._principal = access, principal
        self._holders = 1

    def hold(self) -> None:
        """Keep it until one more `release`."""
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._access.release(self._principal)


class Gate:
    """Admits the caller of every path but the open ones and releases it when the call has ended.

    The Principal and the Lease of the call lie in the state of the request. Every answer, errors
    too, tells what is left of the caller's limits. refuse makes the answer to who is not admitted.
    A POST that a limit kept out is counted as `limited`, as those are that the queue refuses.
    """

    def __init__(self, app: ASGIApp, *, refuse: Refuse) -> None:
        self._app, self._refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        access, raw = services.access, list(scope["headers"])
        if scope["http_version"] == "1.0":  # a proxy that does not say so; our gateway speaks 1.1
            raw.append((b"via", b"1.0 unknown"))
        headers = Headers(raw=raw)
        address = caller_address(headers, scope)
        try:
            if is_open(scope["method"], scope["path"]):
                if is_page(scope["path"]):
                    access.check_page(headers, address)
                elif scope["path"] == METRICS:
                    self._check_name(services, headers.get("host", ""), address)
                principal = None
            else:
                principal = await access.admit(headers, address)
        except ChatbotError as error:
            left: tuple[LimitState, ...] = ()
            if isinstance(error, CallerLimited):
                left = error.limits
                if scope["method"] == "POST":
                    refusal = record_refusal(error, "", services.chat.clock.now())
                    services.statistics.observe(refusal)
            await self._refuse(scope, error)(scope, receive, _with_headers(send, lambda: left))
            return
        if principal is None:
            await self._app(scope, receive, send)
            return
        lease = Lease(access, principal)
        scope.setdefault("state", {}).update(principal=principal, lease=lease)
        if principal.key_id is not None:
            note(key=principal.key_id)
        try:
            await self._app(
                scope, receive, _with_headers(send, lambda: access.limits_of(principal))
            )
        finally:
            lease.release()

    def _check_name(self, services: Services, host: str, address: str) -> None:
        """Raise Unauthorized where /metrics is asked by a name that is not ours. Prometheus in
        Compose calls a service by its own; a browser of this machine could be made to."""
        by_own_name = read_host(host) == services.chat.assistant and not is_loopback(address)
        if not (by_own_name or services.access.trusts_host(host)):
            raise Unauthorized("/metrics by a name that is not ours", "unkeyed_host")


def is_open(method: str, path: str) -> bool:
    """Whether a call needs no caller."""
    return method in OPEN_METHODS and (path in OPEN_PATHS or path.startswith(PAGES_BELOW))


def is_page(path: str) -> bool:
    return path in PAGES or path.startswith(PAGES_BELOW)


def caller_address(headers: Headers, scope: Scope) -> str:
    """The caller's address: X-Real-IP as the gateway set it, else that of the connection.

    Who connects from another machine cannot say that it is this one.
    """
    peer = str(scope["client"][0]) if scope.get("client") else ""
    told = headers.get("x-real-ip")
    if told is None or (is_loopback(told) and not is_loopback(peer)):
        return peer
    return told


def payer_of(scope: Scope) -> str:
    """Whose share of the service's memory a call takes: its key's, else its address's."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    return (principal and principal.key_id) or caller_address(Headers(scope=scope), scope)


def _with_headers(send: Send, limits: Callable[[], tuple[LimitState, ...]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(build_limit_headers(limits()))
        await send(message)

    return send_with_headers


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


async def wait_until_gone(receive: Receive) -> None:
    """Return when the caller disconnects. The body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


class while_present:  # noqa: N801 - used like a function, as contextlib's context managers are
    """An async context manager that ends its block with CallerLeft when the caller disconnects.
    The body must have been read before."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __aenter__(self) -> None:
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        self._gone = asyncio.create_task(wait_until_gone(self._receive))
        self._gone.add_done_callback(self._leave)

    def _leave(self, gone: asyncio.Task[None]) -> None:
        if not gone.cancelled():
            self._scope.reschedule(0)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gone.remove_done_callback(self._leave)
        self._gone.cancel()
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise CallerLeft from None


async def run_while_present(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`; it is cancelled and CallerLeft raised when the caller disconnects.

    The server cancels what is still running when its time to stop is over: AdmissionRejected then,
    so that the caller reads when to come back.
    """
    try:
        async with while_present(receive):
            return await work
    except asyncio.CancelledError:
        raise AdmissionRejected("the service is stopping", RESTART_S) from None


async def read_claim(request: Request, owner: str, file: bytes | None = None) -> Claim | None:
    """What the caller wants to be answered once, None where it sent no key.

    The body counts as JSON: spaces and the order of names make no difference; instead of it the
    file that it brought, where it brought one. Raises InvalidRequest for a key of the wrong form.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(HEADER, "idempotency_key_form")
    if file is None:
        body = await request.body()
        said = json.dumps(json.loads(body), sort_keys=True) if body else ""
    else:
        said = hashlib.sha256(file).hexdigest()
    asked = (request.method, request.scope["path"], request.url.query, said)
    return Claim(owner, key, hashlib.sha256(repr(asked).encode()).hexdigest())
