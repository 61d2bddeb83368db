"""Answers as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any, Generic, Protocol, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatbot_ai.api.caller import wait_until_gone
from chatbot_ai.core.answer import ChatEvent, Delta, Done, Sources
from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.domain.errors import CallerLeft, ChatbotError
from chatbot_ai.domain.generation import Restarted

log = structlog.get_logger()

#: A comment goes out after so many silent seconds, so that no proxy takes the line for dead.
HEARTBEAT_S = 10.0
HEARTBEAT = b": keep-alive\n\n"


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


class EventStream(Response, Generic[Event]):
    """Streams events to one caller and ends their making when the caller leaves.

    pending  the event that was awaited before the headers went out, done if there was one by
             then: errors before it still have a status of their own
    events   the rest of them
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        pending: asyncio.Future[Event],
        events: AsyncGenerator[Event, None],
        form: StreamForm[Event],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._pending, self._events, self._form = pending, events, form
        unbuffered = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        self.init_headers({**unbuffered, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(wait_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in self._chunks(gone):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            log.debug("stream.connection_lost")
        finally:
            gone.cancel()
            await abandon(self._pending, self._events)

    async def _chunks(self, gone: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
        while True:
            either: set[asyncio.Future[Any]] = {self._pending, gone}
            await asyncio.wait(either, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
            if not self._pending.done():
                yield HEARTBEAT
                continue
            try:
                event = self._pending.result()
            except StopAsyncIteration:
                if end := self._form.end():
                    yield end
                return
            except ChatbotError as error:
                yield self._form.error(error)
                return
            except Exception as error:  # the edge: after the headers no handler can answer
                log.exception("stream.crashed")
                yield self._form.error(error)
                return
            if chunk := self._form.event(event):
                yield chunk
            self._pending = asyncio.ensure_future(anext(self._events))


async def wait_for_first_event(
    receive: Receive, events: AsyncGenerator[Event, None], within_s: float = HEARTBEAT_S
) -> asyncio.Future[Event]:
    """Wait for the first event, an error, `within_s` or the caller's leaving.

    The future is done or still pending; an error that came first is raised here.
    """
    pending = asyncio.ensure_future(anext(events))
    gone = asyncio.create_task(wait_until_gone(receive))
    either: set[asyncio.Future[Any]] = {pending, gone}
    try:
        await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if pending.done():
        if (error := pending.exception()) is not None:
            await events.aclose()
            raise error
    elif gone.done():
        await abandon(pending, events)
        raise CallerLeft
    return pending


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
