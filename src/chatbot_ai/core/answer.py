"""An answer: the events that make it, and the whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.domain.generation import Restarted, Usage
from chatbot_ai.domain.grounding import Source


@dataclass(frozen=True, slots=True)
class Sources:
    """What the answer may rest on; empty with `warnings` where the search gave nothing."""

    sources: tuple[Source, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(slots=True)
class Timings:
    """Seconds of each part; `first_token_s` and `total_s` count from the request's arrival."""

    queue_s: float = 0.0
    search_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float | None = None
    generation_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens of the context this answer used, the limit, and how many turns were left out."""

    used_tokens: int
    limit_tokens: int
    turns_left_out: int


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete and, with memory, stored as turn number `turn`.

    replayed  it was given before, to a call with the same idempotency key
    """

    finish_reason: str
    model: str
    usage: Usage
    timings: Timings
    context: ContextUse
    turn: int | None
    backup: bool = False
    warnings: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    replayed: bool = False


ChatEvent = QueuePosition | Sources | Delta | Restarted | Done


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `first` is its place in the queue at arrival, if it had to wait."""

    text: str
    first: QueuePosition | None
    done: Done


class Collector:
    """Puts an answer together from its events."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._first: QueuePosition | None = None
        self._done: Done | None = None

    def feed(self, event: ChatEvent) -> None:
        match event:
            case Delta():
                self._parts.append(event.text)
            case QueuePosition():
                self._first = self._first or event
            case Done():
                self._done = event
            case Restarted():
                self._parts.clear()
            case _:
                pass

    @property
    def answer(self) -> Answer:
        """The whole. Raises BackendProtocolError where no end came."""
        if self._done is None:
            raise BackendProtocolError("the answer never ended")
        return Answer("".join(self._parts), self._first, self._done)


async def collect(events: AsyncGenerator[ChatEvent, None]) -> Answer:
    """The whole answer of a stream of events."""
    collector = Collector()
    async with aclosing(events):
        async for event in events:
            collector.feed(event)
    return collector.answer
