"""ResumableStreams: followed again by their owner, for a while, in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest

from chatbot_ai.core.streams import ResumableStream, ResumableStreams, StreamLimits
from chatbot_ai.domain.errors import (
    AdmissionRejected,
    NotFound,
    StoreUnavailable,
    StreamCancelled,
    StreamExpired,
)
from support.waiting import HANG_S

LIMITS = StreamLimits(grace_s=300, keep_s=300)


class Source:
    """Events 1 to `count`, each when the gate is open; says whether it was closed."""

    def __init__(self, count: int = 3, fails: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.closed = False
        self._count, self._fails = count, fails

    async def events(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(1, self._count + 1):
                if number > 1:
                    await self.gate.wait()
                yield number
            if self._fails:
                raise self._fails
        finally:
            self.closed = True


async def read(stream: ResumableStream[int], after: int = 0) -> list[int]:
    return [one.event async for one in stream.follow(after)]


async def until(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < HANG_S
        await asyncio.sleep(0.005)


async def test_every_follower_sees_every_event() -> None:
    """Two at once and one afterwards read the same events in order."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    source = Source()
    stream = streams.start(source.events(), "a")
    readers = [asyncio.create_task(read(stream)) for _ in range(2)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*readers) == [[1, 2, 3], [1, 2, 3]]
    assert await read(streams.find(stream.id, "a")) == [1, 2, 3]
    await streams.close()


async def test_following_goes_on_behind_a_number() -> None:
    """`after` leaves out what was seen; nothing is left behind the last one."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    source = Source()
    source.gate.set()
    stream = streams.start(source.events(), "a")
    assert await read(stream) == [1, 2, 3]
    assert await read(stream, 2) == [3]
    assert await read(stream, 3) == []
    with pytest.raises(StreamExpired):
        stream.check(4)
    await streams.close()


async def test_only_the_owner_finds_a_job() -> None:
    """Another owner's stream looks like none at all, also to cancel."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    stream = streams.start(Source().events(), "a")
    for owner, stream_id in (("b", stream.id), ("", stream.id), ("a", stream.id[:-1]), ("a", "")):
        with pytest.raises(NotFound):
            streams.find(stream_id, owner)
    assert streams.find(stream.id, "a") is stream
    await streams.close()


async def test_names_are_not_guessable() -> None:
    """Each has 192 random bits and none follows from another."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    names = {streams.start(Source().events(), "a").id for _ in range(50)}
    assert len(names) == 50
    assert all(len(name) == 32 for name in names)
    await streams.close()


async def test_unfollowed_job_ends_after_its_grace() -> None:
    """Once nobody follows, the source is closed after the grace, and followers learn why."""
    streams: ResumableStreams[int] = ResumableStreams(replace(LIMITS, grace_s=0.05))
    source = Source()
    stream = streams.start(source.events(), "a")
    follower = stream.follow()
    assert (await anext(follower)).event == 1
    await asyncio.sleep(0.1)
    assert not source.closed
    await follower.aclose()
    await until(lambda: source.closed)
    with pytest.raises(StreamCancelled):
        await read(stream)
    await streams.close()


async def test_coming_back_within_the_grace_keeps_it_going() -> None:
    """A follower in time stops the clock for as long as it stays."""
    streams: ResumableStreams[int] = ResumableStreams(replace(LIMITS, grace_s=0.2))
    source = Source()
    stream = streams.start(source.events(), "a")
    first = stream.follow()
    await anext(first)
    await first.aclose()
    second = asyncio.create_task(read(stream, 1))
    await asyncio.sleep(0.3)
    assert not source.closed
    source.gate.set()
    assert await second == [2, 3]
    await streams.close()


async def test_cancelling_ends_it_at_once() -> None:
    """The source is closed, those who follow get StreamCancelled, a second call says False."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    source = Source()
    stream = streams.start(source.events(), "a")
    reader = asyncio.create_task(read(stream))
    await until(lambda: not source.closed and len(stream.past(9)) == 1)
    assert stream.cancel()
    with pytest.raises(StreamCancelled):
        await reader
    assert source.closed
    assert not stream.cancel()
    await streams.close()


async def test_cancelling_before_the_first_event() -> None:
    """A stream that never ran ends for its followers all the same."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    stream = streams.start(Source().events(), "a")
    stream.cancel()
    with pytest.raises(StreamCancelled):
        await read(stream)
    assert len(streams) == 0


async def test_failure_reaches_every_follower() -> None:
    """What the source raised comes after the events before it, then and later."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    source = Source(1, StoreUnavailable("x"))
    stream = streams.start(source.events(), "a")
    for _ in range(2):
        follower = stream.follow()
        assert (await anext(follower)).event == 1
        with pytest.raises(StoreUnavailable):
            await anext(follower)
    await streams.close()


async def test_finished_jobs_are_forgotten() -> None:
    """After keep_s a finished stream is gone; one that failed before any event at once."""
    streams: ResumableStreams[int] = ResumableStreams(replace(LIMITS, keep_s=0.05))
    source = Source(1)
    stream = streams.start(source.events(), "a")
    assert await read(stream) == [1]
    await until(lambda: len(streams) == 0)
    with pytest.raises(NotFound):
        streams.find(stream.id, "a")
    empty = streams.start(Source(0, StoreUnavailable("x")).events(), "a")
    with pytest.raises(StoreUnavailable):
        await read(empty)
    assert len(streams) == 0


async def test_memory_is_bounded() -> None:
    """Of many events the newest are kept; of many streams too, finished ones go first."""
    streams: ResumableStreams[int] = ResumableStreams(replace(LIMITS, max_events=10, max_streams=3))
    source = Source(1000)
    source.gate.set()
    long = streams.start(source.events(), "a")
    await until(lambda: long.finished)
    assert long.past(1000) == list(range(991, 1001))
    assert await read(long, 990) == list(range(991, 1001))
    with pytest.raises(StreamExpired):
        await read(long, 989)
    running = [streams.start(Source().events(), "a") for _ in range(3)]
    assert len(streams) == 3
    with pytest.raises(NotFound):
        streams.find(long.id, "a")
    with pytest.raises(AdmissionRejected):
        streams.start(Source().events(), "a")
    assert all(streams.find(stream.id, "a") is stream for stream in running)
    await streams.close()


async def test_closing_ends_everything() -> None:
    """After close nothing runs and nothing is kept."""
    streams: ResumableStreams[int] = ResumableStreams(LIMITS)
    sources = [Source() for _ in range(3)]
    made = [streams.start(source.events(), "a") for source in sources]
    await until(lambda: all(stream.past(9) for stream in made))
    await streams.close()
    assert all(source.closed for source in sources)
    assert len(streams) == 0
