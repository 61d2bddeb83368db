"""Work whose events can be followed again after a connection was lost."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from chatbot_ai.domain.errors import (
    AdmissionRejected,
    ChatbotError,
    NotFound,
    StreamCancelled,
    StreamExpired,
)

log = structlog.get_logger()

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What streams may take.

    grace_s     how long a stream without a reader goes on
    keep_s      a finished stream can be followed for so long
    max_events  events of one stream that are kept; older ones are forgotten
    max_streams    running and finished ones together
    """

    grace_s: float
    keep_s: float
    max_events: int = 4096
    max_streams: int = 200


@dataclass(frozen=True, slots=True)
class Numbered(Generic[Event]):
    """An event and its number within its stream, from 1."""

    number: int
    event: Event


class ResumableStream(Generic[Event]):
    """Events that are made whether or not somebody follows. Made by `ResumableStreams.start` only.

    note is the starter's own; it comes back with `ResumableStreams.find`.
    """

    def __init__(
        self,
        streams: ResumableStreams[Event],
        events: AsyncGenerator[Event, None],
        owner: str,
        note: object,
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.owner, self.note = owner, note
        self.finished = False
        self._streams, self._events = streams, events
        self._kept: deque[Numbered[Event]] = deque(maxlen=streams.limits.max_events)
        self._last = 0
        self._failure: BaseException | None = None
        self._followers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._finish)
        self._start_timer()

    def check(self, after: int) -> None:
        """Raise StreamExpired where events right behind number `after` are forgotten or never
        were."""
        first = self._kept[0].number if self._kept else self._last + 1
        if after < first - 1 or after > self._last:
            raise StreamExpired(f"events {first} to {self._last} are kept")

    def past(self, after: int) -> list[Event]:
        """The kept events up to number `after`."""
        return [one.event for one in self._kept if one.number <= after]

    async def follow(self, after: int = 0) -> AsyncGenerator[Numbered[Event], None]:
        """Yield the events behind number `after`, as they come; end where the stream ends.

        Raises what ended the stream, StreamCancelled if it was cancelled, and StreamExpired where a
        follower is so slow that events were forgotten before it saw them. The stream begins its
        grace when the last follower has gone.
        """
        self._followers += 1
        self._stop_timer()
        try:
            while True:
                self.check(after)
                if after < self._last:
                    after += 1
                    yield self._kept[after - self._last - 1]
                elif self.finished:
                    break
                else:
                    self._changed.clear()
                    await self._changed.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            self._followers -= 1
            self._start_timer()

    def cancel(self) -> bool:
        """End the making of events; False where it had ended."""
        return self.task.cancel()

    async def _run(self) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                self._last += 1
                self._kept.append(Numbered(self._last, event))
                self._changed.set()

    def _finish(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._failure = StreamCancelled("the stream was cancelled")
        elif (error := task.exception()) is not None:
            self._failure = error
            if not isinstance(error, ChatbotError):
                log.error("stream.crashed", exc_info=error)
        self.finished = True
        self._stop_timer()
        self._changed.set()
        self._streams.keep_or_forget(self, worth_keeping=bool(self._kept))

    def _start_timer(self) -> None:
        if self._followers == 0 and not self.finished:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._streams.limits.grace_s, self.cancel)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ResumableStreams(Generic[Event]):
    """Every stream of a service, each its owner's own."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self._streams: OrderedDict[str, ResumableStream[Event]] = OrderedDict()
        self._forgetting: set[asyncio.TimerHandle] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def start(
        self, events: AsyncGenerator[Event, None], owner: str, note: object = None
    ) -> ResumableStream[Event]:
        """Begin a stream. The oldest finished one makes room; AdmissionRejected where all run."""
        if len(self._streams) >= self.limits.max_streams:
            oldest = next((stream for stream in self._streams.values() if stream.finished), None)
            if oldest is None:
                raise AdmissionRejected("too many resumable streams")
            del self._streams[oldest.id]
        stream = ResumableStream(self, events, owner, note)
        self._streams[stream.id] = stream
        return stream

    def find(self, stream_id: str, owner: str) -> ResumableStream[Event]:
        """A stream of this owner. Raises NotFound, also for somebody else's."""
        stream = self._streams.get(stream_id)
        if stream is None or not secrets.compare_digest(stream.owner.encode(), owner.encode()):
            raise NotFound("no such stream")
        return stream

    def keep_or_forget(self, stream: ResumableStream[Event], *, worth_keeping: bool) -> None:
        """Keep a finished stream for a while, or forget it at once."""
        if not worth_keeping:
            self._streams.pop(stream.id, None)
            return

        def forget() -> None:
            self._forgetting.discard(timer)
            self._streams.pop(stream.id, None)

        timer = asyncio.get_running_loop().call_later(self.limits.keep_s, forget)
        self._forgetting.add(timer)

    async def close(self) -> None:
        """Cancel every stream, wait for their ends and forget them."""
        running = [stream.task for stream in self._streams.values() if stream.cancel()]
        if running:
            await asyncio.wait(running)
        for timer in self._forgetting:
            timer.cancel()
        self._forgetting.clear()
        self._streams.clear()
