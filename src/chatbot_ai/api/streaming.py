"""Answers as server-sent events, and streams that a caller can take up again."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Generic, Protocol, TypeVar, cast

import structlog
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatbot_ai.api.caller import (
    Caller,
    owner_of,
    principal_of,
    while_present,
)
from chatbot_ai.api.openapi import CALLER_RESPONSES, document_error
from chatbot_ai.api.schemas import UserName
from chatbot_ai.api.services import ServicesOf
from chatbot_ai.core.answer import ChatEvent, Delta, Done, Sources
from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.core.streams import Numbered, ResumableStream
from chatbot_ai.domain.errors import CallerLeft, ChatbotError
from chatbot_ai.domain.generation import Restarted

log = structlog.get_logger()

#: A comment goes out after so many silent seconds, so that no proxy takes the line for dead.
HEARTBEAT_S = 10.0
HEARTBEAT = b": keep-alive\n\n"
RESUMABLE = "X-Resumable"
STREAM_ID = "X-Stream-Id"
#: Milliseconds that a browser's EventSource waits before it comes back.
RETRY_MS = 1000
#: Seconds for which the headers wait for the first event, so that an early error has a status.
#: After them the caller knows the stream's name, also while a long prompt is still being read.
NAMED_WITHIN_S = 0.5

Event = TypeVar("Event")
Shown_contra = TypeVar("Shown_contra", contravariant=True)


class StreamForm(Protocol[Shown_contra]):
    """How events, an error after the headers, and the end of a stream look as bytes."""

    def event(self, event: Shown_contra) -> bytes: ...

    def error(self, error: BaseException) -> bytes: ...

    def end(self) -> bytes: ...


def encode(event: str, data: dict[str, Any]) -> bytes:
    """One server-sent event with a JSON object as its data."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def encode_chat(event: ChatEvent) -> bytes:
    """`queued`, `delta` or `done`, as docs/api.md describes them."""
    match event:
        case QueuePosition():
            return encode("queued", {"position": event.position, "wait_s": event.wait_s})
        case Sources():
            found = [asdict(source) for source in event.sources]
            return encode("sources", {"sources": found, "warnings": list(event.warnings)})
        case Delta():
            return encode("delta", {"text": event.text})
        case Restarted():
            return b""  # rule M1: never in a stream
        case Done():
            return encode("done", done_body(event))


def done_body(done: Done) -> dict[str, Any]:
    """The data of the `done` event. Timings in milliseconds since the request arrived."""
    timings = {
        name.removesuffix("_s") + "_ms": None if value is None else round(value * 1000, 1)
        for name, value in asdict(done.timings).items()
    }
    return {
        "finish_reason": done.finish_reason,
        "model": done.model,
        "backup": done.backup,
        "usage": asdict(done.usage),
        "timings": timings,
        "context": asdict(done.context),
        "turn": done.turn,
        "warnings": list(done.warnings),
        "sources": [asdict(source) for source in done.sources],
        "replayed": done.replayed,
    }


#: What every answer says of itself, streamed or not.
AI_GENERATED = {"X-AI-Generated": "true"}


class EventStream(Response, Generic[Event]):
    """Streams events to one caller and ends their making when the caller leaves.

    first    the event that was awaited before the headers went out: errors before it still have a
             status of their own
    events   the rest of them
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        first: asyncio.Future[Event],
        events: AsyncGenerator[Event, None],
        form: StreamForm[Event],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._first, self._events, self._form = first, events, form
        self._sent_at = 0.0
        unbuffered = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        self.init_headers({**unbuffered, **AI_GENERATED, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        beating: asyncio.Task[None] | None = None
        try:
            async with while_present(receive):
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
                self._sent_at = asyncio.get_running_loop().time()
                beating = asyncio.create_task(self._keep_alive(send))
                await self._send_events(send)
                beating.cancel()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except CallerLeft:
            log.debug("stream.connection_lost")
        finally:
            if beating is not None:
                beating.cancel()
            await abandon(self._first, self._events)

    async def _send_events(self, send: Send) -> None:
        form = self._form
        try:
            await self._send(send, form.event(await self._first))
            async for event in self._events:
                if chunk := form.event(event):
                    await self._send(send, chunk)
        except StopAsyncIteration:
            pass  # of the first event: there was none
        except CallerLeft:
            raise
        except ChatbotError as error:
            await self._send(send, form.error(error))
            return
        except Exception as error:  # the edge: after the headers no handler can answer
            log.exception("stream.crashed")
            await self._send(send, form.error(error))
            return
        await self._send(send, form.end())

    async def _send(self, send: Send, chunk: bytes) -> None:
        if chunk:
            try:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except OSError:
                raise CallerLeft from None
            self._sent_at = asyncio.get_running_loop().time()

    async def _keep_alive(self, send: Send) -> None:
        """Send a comment whenever nothing was sent for HEARTBEAT_S, until cancelled."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(CallerLeft):
            while True:
                silent_s = loop.time() - self._sent_at
                if silent_s >= HEARTBEAT_S:
                    await self._send(send, HEARTBEAT)
                else:
                    await asyncio.sleep(HEARTBEAT_S - silent_s)


async def wait_for_first_event(
    receive: Receive, events: AsyncGenerator[Event, None], within_s: float = HEARTBEAT_S
) -> asyncio.Future[Event]:
    """Wait for the first event, an error, `within_s` or the caller's leaving.

    The future is done or still pending; an error that came first is raised here.
    """
    first = asyncio.ensure_future(anext(events))
    try:
        async with while_present(receive):
            await asyncio.wait([first], timeout=within_s)
    except CallerLeft:
        await abandon(first, events)
        raise
    if first.done() and (error := first.exception()) is not None:
        await events.aclose()
        raise error
    return first


async def abandon(pending: asyncio.Future[Event], events: AsyncGenerator[Event, None]) -> None:
    """End the making of events: the one that is awaited, then the generator."""
    if pending.done():
        # its end was told, or there is nobody left to tell; looked at, so that asyncio is content
        if not pending.cancelled():
            pending.exception()
    else:
        pending.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, ChatbotError):
            await pending
    await events.aclose()


def wants_resumable(request: Request) -> bool:
    """Whether the caller asked for a stream that outlives its connection."""
    return request.headers.get(RESUMABLE, "").strip().lower() in ("true", "1")


class NumberedForm:
    """Another form's events, each with the number that Last-Event-ID names.

    The number stands in an event's last block, so that a half-received one comes again whole.
    """

    def __init__(
        self, stream: ResumableStream[ChatEvent], form: StreamForm[ChatEvent], after: int = 0
    ) -> None:
        self._form = form
        self._greeting = f": stream {stream.id}\nretry: {RETRY_MS}\n\n".encode()
        for event in stream.past(after):
            form.event(event)  # a form may remember what it has begun

    def event(self, numbered: Numbered[ChatEvent]) -> bytes:
        shown = self._form.event(numbered.event)
        *before, last = shown.removesuffix(b"\n\n").split(b"\n\n")
        if last:
            last = f"id: {numbered.number}\n".encode() + last
        return self._greeted(b"".join(block + b"\n\n" for block in (*before, last) if block))

    def error(self, error: BaseException) -> bytes:
        return self._greeted(self._form.error(error))

    def end(self) -> bytes:
        return self._greeted(self._form.end())

    def _greeted(self, chunk: bytes) -> bytes:
        greeting, self._greeting = self._greeting, b""
        return greeting + chunk


async def start_stream(
    request: Request, stream: ResumableStream[ChatEvent], form: StreamForm[ChatEvent]
) -> EventStream[Numbered[ChatEvent]]:
    """The first following of a stream: errors within NAMED_WITHIN_S have a status of their own.

    A caller who leaves before it knows the stream's name can never take it up: the stream ends.
    """
    events = stream.follow()
    try:
        pending = await wait_for_first_event(request.receive, events, NAMED_WITHIN_S)
    except CallerLeft:
        stream.cancel()
        raise
    return EventStream(pending, events, NumberedForm(stream, form), {STREAM_ID: stream.id})


def resume_stream(
    stream: ResumableStream[ChatEvent], form: StreamForm[ChatEvent], after: int
) -> EventStream[Numbered[ChatEvent]]:
    """A later following, from the event behind number `after` on. Raises StreamExpired."""
    stream.check(after)
    numbered = NumberedForm(stream, form, after)
    events = stream.follow(after)
    pending = asyncio.ensure_future(anext(events))
    return EventStream(pending, events, numbered, {STREAM_ID: stream.id})


StreamId = Annotated[str, Path(max_length=100, description="`X-Stream-Id` of the first answer.")]
StreamUser = Annotated[
    UserName | None,
    Query(description="The user that the stream was for; a user key may leave it out."),
]
RESPONSES = {
    **CALLER_RESPONSES,
    **document_error(403, "A user key that names another user."),
    **document_error(404, "This caller has no such stream, or no longer."),
    **document_error(422, "A parameter is wrong; `fields` names it."),
}
FOLLOW_RESPONSES = {
    200: {
        "description": "The rest of the stream, in the form in which it began.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **document_error(410, "The events after Last-Event-ID are no longer kept."),
}


class Ended(BaseModel):
    """What DELETE found."""

    cancelled: bool = Field(description="False where the stream had ended by itself.")


async def get_stream(
    request: Request,
    stream_id: StreamId,
    services: ServicesOf,
    caller: Caller,
    user_id: StreamUser = None,
) -> ResumableStream[ChatEvent]:
    """The caller's own stream. Raises NotFound for those of others."""
    owner = owner_of(request, caller, caller.speaks_for(user_id))
    return services.streams.find(stream_id, owner)


Stream = Annotated[ResumableStream[ChatEvent], Depends(get_stream)]


router = APIRouter(
    prefix="/streams", tags=["streams"], dependencies=[Depends(principal_of)], responses=RESPONSES
)


@router.get("/{stream_id}", responses=FOLLOW_RESPONSES, response_class=Response)
async def follow(
    stream: Stream,
    last_event_id: Annotated[
        int, Header(ge=0, le=2**31 - 1, description="`id` of the last event that was seen.")
    ] = 0,
) -> Response:
    """Take a stream up again behind the event that was seen last."""
    form = cast("StreamForm[ChatEvent]", copy.copy(stream.note))
    return resume_stream(stream, form, last_event_id)


@router.delete("/{stream_id}")
async def cancel(stream: Stream) -> Ended:
    """End a stream: its generation stops; what was said is stored as interrupted."""
    return Ended(cancelled=stream.cancel())
