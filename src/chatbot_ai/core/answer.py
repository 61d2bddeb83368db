"""A whole answer, from the events that made it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from chatbot_ai.core.exchange import ChatEvent, Delta, Done
from chatbot_ai.core.ticket import QueuePosition
from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.domain.generation import Restarted


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `first` is its place in the queue at arrival, if it had to wait."""

    text: str
    first: QueuePosition | None
    done: Done


class Collector:
    """Puts events together as they pass."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._first: QueuePosition | None = None
        self._done: Done | None = None

    def take(self, event: ChatEvent) -> None:
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
        """What came together. Raises BackendProtocolError where no end came."""
        if self._done is None:
            raise BackendProtocolError("the answer never ended")
        return Answer("".join(self._parts), self._first, self._done)


async def collect(events: AsyncGenerator[ChatEvent, None]) -> Answer:
    """The whole answer of a stream of events."""
    collector = Collector()
    async with aclosing(events):
        async for event in events:
            collector.take(event)
    return collector.answer
