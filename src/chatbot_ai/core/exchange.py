"""What goes into one exchange with an assistant and what comes out of it. Pure values."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chatbot_ai.core.prompt import Prompt
from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.domain.generation import Finished, Restarted, Sampling, Usage, likely_tokens
from chatbot_ai.domain.grounding import Source
from chatbot_ai.domain.persona import Character, Persona

#: message: a new turn. regenerate: another answer to the last turn, kept beside the earlier ones.
#: continue: the last turn's answer goes on where it stopped. edit: the turn at `index` and all
#: after it give way to a new one.
Mode = Literal["message", "regenerate", "continue", "edit"]


class Lore(Protocol):
    """Reference text that a conversation calls up. Pure, and slow enough for a thread.

    messages  oldest first, the newest input last; shown: texts of the prompt that need no repeating
    """

    def __call__(self, messages: Sequence[Message], shown: Sequence[str]) -> str: ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One message to an assistant.

    text         what the user wrote; not used for `regenerate` and `continue`
    user, db_id  both given: the conversation has memory; else the call is stateless
    caller       whom the queue is fair to: the user, else the address
    deadline     on the monotonic clock, in seconds; everything until the answer is stored
    stream       deltas are shown as they come, so nothing can be generated anew after the first
    messages     a whole conversation that the caller keeps itself (OpenAI-compatible calls);
                 then there is no memory here and `text` is not used
    persona      replaces the assistant's own for this call
    claim_id     of an idempotent call; stays on the answer, see core/idempotency.py
    lore         what earlier messages call up, to stand beside the newest input
    on_prompt    called with about how many tokens the prompt has when the model begins to read it
    """

    text: str
    caller: str
    deadline: float
    user_id: str | None = None
    db_id: str | None = None
    character: Character | None = None
    search: bool = False
    stream: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    claim_id: str = ""
    mode: Mode = "message"
    index: int | None = None
    messages: tuple[Message, ...] = ()
    persona: Persona | None = None
    response_format: dict[str, object] | None = None
    lore: Lore | None = None
    on_prompt: Callable[[int], None] | None = None

    def reads(self, messages: Sequence[Message]) -> None:
        """The model begins with this prompt."""
        if self.on_prompt is not None:
            self.on_prompt(sum(likely_tokens(message.content) for message in messages))


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


@dataclass(slots=True)
class Progress:
    """What an answer has come to; read when it ends, however it ends."""

    started: float
    model: str
    timings: Timings = field(default_factory=Timings)
    text: list[str] = field(default_factory=list)
    tokens: int = 0
    finished: Finished | None = None
    prompt: Prompt | None = None
    grounded: Sources = field(default_factory=lambda: Sources((), ()))
    stored: bool = False

    @property
    def output(self) -> str:
        return "".join(self.text)


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
