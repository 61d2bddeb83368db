"""What every request passes: an id, a body limit, the gateway's prefix, one log line. Pure ASGI,
as streamed answers pass through it."""

from __future__ import annotations

import asyncio
import math
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_ai.core.record import RequestRecord
from chatbot_ai.domain import limits
from chatbot_ai.domain.access import is_origin, read_host
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import (
    AdmissionRejected,
    CallerLeft,
    ChatbotError,
    RequestTooLarge,
    RequestTooSlow,
    UnreadableRequest,
)
from chatbot_ai.domain.limits import LimitName, LimitState

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
#: Paths that machines poll: logged at debug level only.
POLLED = frozenset({"/healthz", "/readyz", "/metrics", "/performance", "/status", "/status/access"})
#: Which `X-RateLimit-…` headers tell of a limit.
LIMIT_LABELS: dict[LimitName, str] = {
    "requests_per_minute": "Requests",
    "tokens_per_day": "Tokens",
    "concurrent_requests": "Concurrent",
}
LIMIT_HEADERS = tuple(
    f"X-RateLimit-{what}-{label}"
    for label in LIMIT_LABELS.values()
    for what in ("Limit", "Remaining", "Reset")
)


def build_limit_headers(states: Iterable[LimitState]) -> dict[str, str]:
    """`X-RateLimit-Limit-…`, `-Remaining-…` and `-Reset-…` (whole seconds) of each limit."""
    headers = {}
    for state in states:
        label = LIMIT_LABELS[state.name]
        headers[f"X-RateLimit-Limit-{label}"] = str(state.limit)
        headers[f"X-RateLimit-Remaining-{label}"] = str(state.remaining)
        headers[f"X-RateLimit-Reset-{label}"] = str(math.ceil(state.reset_s))
    return headers


@dataclass(slots=True)
class RequestLine:
    """Fields for the line of one request, until it is `written`."""

    fields: dict[str, object] = field(default_factory=dict)
    written: bool = False


#: The line of the request under way, also in the tasks that it started.
CURRENT: ContextVar[RequestLine | None] = ContextVar("request_line", default=None)


def note(**fields: object) -> bool:
    """Add to the line of the request under way; False where there is none or it is written."""
    line = CURRENT.get()
    if line is None or line.written:
        return False
    line.fields.update(fields)
    return True


class AnswerLog:
    """An observer that puts how an answer went into its request's line.

    An answer that outlives its request, as a resumable stream may, has a line of its own:
    `answer.finished`.
    """

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    def observe(self, record: RequestRecord) -> None:
        fields = {"assistant": self._assistant, **record.log_fields()}
        if not note(**fields):
            log.info("answer.finished", **fields)


class RequestContext:
    """Gives a request its id and prefix, and logs in one line how it went, without its content.

    A sane X-Request-ID of the caller or the gateway is kept. X-Forwarded-Prefix counts only if it
    ends with the prefix under which the gateway serves this assistant.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        path = scope["path"]
        prefix = headers.get("x-forwarded-prefix", "")
        if _PREFIX.fullmatch(prefix) and prefix.endswith(self._prefix):
            scope["root_path"] = prefix
        began = time.monotonic()
        status = 0
        line = RequestLine()
        token = CURRENT.set(line)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                CURRENT.reset(token)
                line.written = True
                own = {
                    "method": scope["method"],
                    "path": path,
                    "status": status or None,
                    "total_ms": round((time.monotonic() - began) * 1000, 1),
                }
                write = log.debug if path in POLLED else log.info
                if status >= 500:
                    write = log.warning
                write("request.finished", **(line.fields | own))


class ReadableRequest:
    """Refuses a request whose Host, Origin, path or query cannot be read, so that nothing behind it
    has to expect one."""

    def __init__(self, app: ASGIApp, *, refuse: Callable[[Scope, ChatbotError], ASGIApp]) -> None:
        self._app, self._refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _find_unreadable(scope) if scope["type"] == "http" else None
        await (self._refuse(scope, error) if error else self._app)(scope, receive, send)


def _find_unreadable(scope: Scope) -> ChatbotError | None:
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) > 1 or any(host and not read_host(host) for host in hosts):
        return UnreadableRequest("Host", "unreadable_host")
    if any(origin and not is_origin(origin) for origin in headers.getlist("origin")):
        return UnreadableRequest("Origin", "unreadable_host")
    for part, raw in (("path", scope.get("raw_path") or b""), ("query", scope["query_string"])):
        try:
            if b"%" in raw:
                unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            return UnreadableRequest(part, "unreadable_address")
    return None


class BodyLimit:
    """Reads the body before the application does, and refuses one that is too large, too slow, or
    more than the service can hold now.

    limit_of gives the bytes that a path takes, caller_of whose share of the bytes held it is;
    refuse makes the ASGI application that answers then. Afterwards the application's `receive`
    gives the whole body at once, then waits for the caller to leave.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_of: Callable[[str], int],
        caller_of: Callable[[Scope], str],
        refuse: Callable[[Scope, ChatbotError], ASGIApp],
    ) -> None:
        self._app, self._limit_of, self._caller_of = app, limit_of, caller_of
        self._refuse = refuse
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller, body, given = self._caller_of(scope), bytearray(), False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        try:
            async with asyncio.timeout(limits.BODY_TIMEOUT_S):
                await self._read(scope, receive, caller, body)
        except CallerLeft:
            pass
        except TimeoutError:
            await self._refuse(scope, RequestTooSlow(limits.BODY_TIMEOUT_S))(scope, receive, send)
        except ChatbotError as error:
            await self._refuse(scope, error)(scope, receive, send)
        else:
            await self._app(scope, replay, send)
        finally:
            self._held[caller] -= len(body)
            if not self._held[caller]:
                del self._held[caller]

    async def _read(self, scope: Scope, receive: Receive, caller: str, body: bytearray) -> None:
        """Add to `body`, and to what is held, until all of it is there."""
        limit = self._limit_of(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise RequestTooLarge(limit)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
            piece = message.get("body", b"")
            more = message.get("more_body", False)
            body += piece
            self._held[caller] += len(piece)
            if len(body) > limit:
                raise RequestTooLarge(limit)
            others = self._held.total() - len(body), self._held[caller] - len(body)
            most = limits.HELD_BYTES, limits.CALLER_HELD_BYTES
            if any(n and n + len(body) > m for n, m in zip(others, most, strict=True)):
                raise AdmissionRejected("as many bytes of bodies are held as there may be")
        # an upper bound, as brackets in texts count too; parsing has no bound of its own
        is_json = "json" in Headers(scope=scope).get("content-type", "json").lower()
        if is_json and body.count(b"[") + body.count(b"{") > limits.JSON_NODES:
            raise UnreadableRequest("body", "body_too_complex", limit=limits.JSON_NODES)


class CrashAnswer:
    """Gives a crash its answer inside the other middleware, so that it too has their headers.

    answer is the ASGI application that answers then. Once the headers are out there is nothing
    left to say: the error goes on and the connection is cut.
    """

    def __init__(self, app: ASGIApp, *, answer: ASGIApp) -> None:
        self._app, self._answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # the edge: what no handler of the application knows
            if began:
                raise
            _log_crash(scope["path"])
            await self._answer(scope, receive, send)


def _log_crash(path: str) -> None:
    """A function of its own, as a traceback reads source files, which nothing else here may."""
    log.exception("request.crashed", path=path)
