"""What the routes work with: made once by the composition root, held by the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from chatbot_ai.api.messages import Language
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.stats import Stats
from chatbot_ai.domain.access import Access
from chatbot_ai.domain.conversation import Assistant


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the HTTP side needs to know before anything is opened."""

    assistant: Assistant
    language: Language
    deadline_s: float
    max_body_bytes: int

    @property
    def prefix(self) -> str:
        return f"/{self.assistant}"


@dataclass(frozen=True, slots=True)
class Services:
    """One assistant, ready to serve.

    engine tells the engine's state for /performance: restarts, state, slots.
    outbox tells how many answered turns are not in the database yet.
    """

    chat: Chat
    stats: Stats
    engine: Callable[[], Awaitable[dict[str, Any]]]
    access: Access
    outbox: Callable[[], int] = lambda: 0


def services_of(request: Request) -> Services:
    """The services of this application; a FastAPI dependency."""
    found: Services = request.app.state.services
    return found
