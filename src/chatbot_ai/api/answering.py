"""From a request for an answer to a response: as events or whole, in the form the caller speaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.errors import error_body, language_for, request_id_of
from chatbot_ai.api.presence import while_present
from chatbot_ai.api.services import Services
from chatbot_ai.api.streaming import EventStream, encode, encode_chat, first_event
from chatbot_ai.core.admission import QueuePosition
from chatbot_ai.core.exchange import ChatEvent, ChatRequest, Delta, Done
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import BackendProtocolError, ChatbotError
from chatbot_ai.domain.generation import Restarted

_ERROR = {"$ref": "#/components/schemas/Error"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `first` is its place in the queue at arrival, if it had to wait."""

    text: str
    first: QueuePosition | None
    done: Done


class Form(Protocol):
    """How answers look to one caller. `error` and `end` are what a stream says at its end."""

    def event(self, event: ChatEvent) -> bytes: ...

    def error(self, error: BaseException) -> bytes: ...

    def end(self) -> bytes: ...

    def whole(self, answer: Answer) -> Response: ...


class PlainForm:
    """This project's own form: a JSON string, or the events that docs/api.md describes."""

    def __init__(self, request: Request) -> None:
        self._language, self._request_id = language_for(request), request_id_of(request)

    def event(self, event: ChatEvent) -> bytes:
        return encode_chat(event)

    def error(self, error: BaseException) -> bytes:
        known = error if isinstance(error, ChatbotError) else ChatbotError()
        return encode("error", error_body(known, self._language, self._request_id)["error"])

    def end(self) -> bytes:
        return b""

    def whole(self, answer: Answer) -> Response:
        return JSONResponse(answer.text, headers=answer_headers(answer))


def documented(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    """An error answer for the OpenAPI document."""
    return {status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}}


#: What the dependency of every route may answer.
CALLER_RESPONSES: dict[int | str, dict[str, Any]] = {
    **documented(401, "No valid key, where one is needed."),
    **documented(429, "Over this caller's own limit; see Retry-After."),
}
#: What every call that answers with text may answer.
ANSWER_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as one JSON string; with `Accept: text/event-stream` the events "
        "`queued`, `sources`, `delta`, `done`, `error`.",
        "content": {
            "application/json": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    },
    **CALLER_RESPONSES,
    **documented(400, "Not JSON, or no such model."),
    **documented(403, "A user key that names another user."),
    **documented(413, "The body is too large."),
    **documented(422, "A field is wrong; `fields` names it."),
    **documented(503, "Busy, or something it needs is down; see Retry-After."),
}


def wants_stream(request: Request) -> bool:
    """Whether the caller accepts server-sent events and says so."""
    return "text/event-stream" in request.headers.get("accept", "").lower()


async def respond(
    alias: str,
    wanted: ChatRequest,
    request: Request,
    services: Services,
    form: Form | None = None,
) -> Response:
    """Answer as the caller wished: events, or the whole with what it took in headers."""
    form = form or PlainForm(request)
    events = metered(services, request.state.principal, services.chat.answer(alias, wanted))
    if wanted.stream:
        pending = await first_event(request.receive, events)
        return EventStream(pending, events, form)
    answer = await while_present(request.receive, collect(events))
    return form.whole(answer)


async def metered(
    services: Services, principal: Principal, events: AsyncGenerator[ChatEvent, None]
) -> AsyncGenerator[ChatEvent, None]:
    """Pass events on and count their tokens towards the key's limit, also those of an answer
    that nobody waited for."""
    tokens = 0
    try:
        async with aclosing(events):
            async for event in events:
                match event:
                    case Delta():
                        tokens += 1
                    case Done():
                        tokens = event.usage.prompt_tokens + event.usage.completion_tokens
                yield event
    finally:
        if tokens:
            services.access.spent(principal, tokens)


async def collect(events: AsyncGenerator[ChatEvent, None]) -> Answer:
    """The whole answer of a stream of events."""
    parts: list[str] = []
    first: QueuePosition | None = None
    done: Done | None = None
    async with aclosing(events):
        async for event in events:
            match event:
                case Delta():
                    parts.append(event.text)
                case QueuePosition():
                    first = first or event
                case Restarted():
                    parts.clear()
                case Done():
                    done = event
    if done is None:
        raise BackendProtocolError("the answer never ended")
    return Answer("".join(parts), first, done)


def answer_headers(answer: Answer) -> dict[str, str]:
    """What a JSON answer took. Server-Timing is in milliseconds (W3C Server Timing)."""
    first, done = answer.first, answer.done
    times = done.timings
    parts = {
        "queue": times.queue_s,
        "search": times.search_s,
        "prefill": times.prefill_s,
        "first_token": times.first_token_s,
        "generation": times.generation_s,
        "total": times.total_s,
    }
    headers = {
        "X-Model": done.model,
        "X-Queue-Position": str(first.position if first else 0),
        "Server-Timing": ", ".join(
            f"{name};dur={seconds * 1000:.1f}"
            for name, seconds in parts.items()
            if seconds is not None
        ),
    }
    if first is not None and first.wait_s is not None:
        headers["X-Queue-Wait"] = f"{first.wait_s:.1f}"
    if done.backup:
        headers["X-Backup-Answer"] = "true"
    if done.turn is not None:
        headers["X-Turn"] = str(done.turn)
    return headers
