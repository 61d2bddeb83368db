"""Streams that a caller can take up again: numbered events with a name of their own."""

from __future__ import annotations

import asyncio

from fastapi import Request

from chatbot_ai.api.streaming import EventStream, StreamForm, wait_for_first_event
from chatbot_ai.core.answer import ChatEvent
from chatbot_ai.core.streams import Numbered, ResumableStream
from chatbot_ai.domain.errors import CallerLeft

RESUMABLE = "X-Resumable"
STREAM_ID = "X-Stream-Id"
#: Milliseconds that a browser's EventSource waits before it comes back.
RETRY_MS = 1000
#: Seconds for which the headers wait for the first event, so that an early error has a status.
#: After them the caller knows the stream's name, also while a long prompt is still being read.
NAMED_WITHIN_S = 0.5


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
