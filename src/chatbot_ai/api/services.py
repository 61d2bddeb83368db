"""What the routes work with: made once by the composition root, held by the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from chatbot_ai.core.answer import ChatEvent
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.idempotency import IdempotentAnswers, IdempotentCreations
from chatbot_ai.core.statistics import Statistics
from chatbot_ai.core.streams import ResumableStreams
from chatbot_ai.domain.access import Access
from chatbot_ai.domain.character import CharacterStore
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.messages import Language


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the HTTP side needs to know before anything is opened.

    cors_origins: pages of these origins may call; empty: only those served from here.
    ai_notice: people are told that an AI answers, on the page and in exports.
    lists_sources: a JSON answer ends with the sources it cites, where the caller does not say.
    user_characters_bytes, user_conversations_bytes: what one user may keep; None: as much as fits.
    """

    assistant: Assistant
    language: Language
    deadline_s: float
    max_body_bytes: int
    cors_origins: tuple[str, ...]
    lists_sources: bool
    ai_notice: bool
    user_characters_bytes: int | None = None
    user_conversations_bytes: int | None = None

    @property
    def prefix(self) -> str:
        return f"/{self.assistant}"


@dataclass(frozen=True, slots=True)
class Services:
    """One assistant, ready to serve.

    engine  tells the engine's state for /performance: restarts, state, slots
    streams  answers whose streams can be taken up again
    creations  things that are made once for each idempotency key
    answers  answers that are given once for each idempotency key
    characters  only where the assistant plays them
    unconfigured  aliases of models that lack their key; no list offers them
    openai_fault  why OpenAI models are off although they are set up
    languages  that the assistant's own model speaks (ISO 639-1); empty: unknown
    outbox  tells how many answered turns are not in the database yet
    """

    chat: Chat
    statistics: Statistics
    engine: Callable[[], Awaitable[dict[str, Any]]]
    access: Access
    streams: ResumableStreams[ChatEvent]
    outbox: Callable[[], int] = lambda: 0
    unconfigured: frozenset[str] = frozenset()
    openai_fault: str | None = None
    languages: tuple[str, ...] = ()
    characters: CharacterStore | None = None
    creations: IdempotentCreations = field(default_factory=IdempotentCreations)
    answers: IdempotentAnswers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", IdempotentAnswers(self.chat))


def services_of(request: Request) -> Services:
    """The services of this application."""
    found: Services = request.app.state.services
    return found


def deadline_of(request: Request) -> float:
    """When the answer to this request must be stored, on the monotonic clock."""
    options: ApiOptions = request.app.state.options
    return services_of(request).chat.clock.monotonic() + options.deadline_s


async def _services(request: Request) -> Services:
    """A coroutine, as are all dependencies of routes that answer: FastAPI calls any other function
    in a thread."""
    return services_of(request)


ServicesOf = Annotated[Services, Depends(_services)]
