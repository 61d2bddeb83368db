"""One ended request, as the statistics, the metrics and the log see it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited, ChatbotError, InvalidRequest

Outcome = Literal["answered", "refused", "limited", "cancelled", "failed", "invalid"]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that has ended. Times in seconds; `first_token_s` is None if none came.

    wasted_tokens were generated for a caller that had gone.
    """

    outcome: Outcome
    model: str
    total_s: float
    queue_s: float
    first_token_s: float | None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    generation_s: float = 0.0
    wasted_tokens: int = 0
    error_code: str | None = None
    backup: bool = False
    ended_at: float = 0.0

    @property
    def waited(self) -> bool:
        """Whether it had a place in the queue, if only for a moment."""
        return self.queue_s > 0 or self.outcome in ("answered", "failed", "cancelled")

    def log_fields(self) -> dict[str, object]:
        """The record for a log line: times in milliseconds, no content."""
        first = self.first_token_s
        return {
            "model": self.model,
            "outcome": self.outcome,
            "error": self.error_code,
            "queue_ms": round(self.queue_s * 1000, 1),
            "first_token_ms": None if first is None else round(first * 1000, 1),
            "total_ms": round(self.total_s * 1000, 1),
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "wasted_tokens": self.wasted_tokens,
            "backup": self.backup,
        }


def record_refusal(error: ChatbotError, model: str, ended_at: float) -> RequestRecord:
    """The record of a request that was refused before it came to the pipeline."""
    return RequestRecord(
        classify(error), model, 0.0, 0.0, None, error_code=error.code, ended_at=ended_at
    )


def classify(error: BaseException | None) -> Outcome:
    """The outcome that an error stands for; None is an answer, leaving is `cancelled`."""
    match error:
        case None:
            return "answered"
        case CallerLimited():
            return "limited"
        case AdmissionRejected():
            return "refused"
        case InvalidRequest():
            return "invalid"
        case GeneratorExit() | asyncio.CancelledError():
            return "cancelled"
        case _:
            return "failed"


def find_code(error: BaseException | None) -> str | None:
    """The stable code of an error, where it has one; a crash has one too."""
    if isinstance(error, ChatbotError):
        return error.code
    return "internal_error" if classify(error) == "failed" else None
