"""One ended request, as the statistics, the metrics and the log see it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from chatbot_ai.core.estimate import ServiceSample
from chatbot_ai.core.exchange import Progress
from chatbot_ai.domain.errors import AdmissionRejected, CallerLimited, ChatbotError, InvalidRequest
from chatbot_ai.domain.generation import Usage

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


class Observer(Protocol):
    """Somebody who wants to know of every ended request."""

    def ended(self, record: RequestRecord) -> None: ...


def outcome_of(error: BaseException | None) -> Outcome:
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


def record_of(error: BaseException | None, progress: Progress, ended_at: float) -> RequestRecord:
    """Build the record of one ended request; without `finished` its tokens were wasted."""
    outcome = outcome_of(error)
    finished = progress.finished
    usage = finished.usage if finished else Usage(completion_tokens=progress.tokens)
    code = error.code if isinstance(error, ChatbotError) else None
    if code is None and outcome == "failed":
        code = "internal_error"
    return RequestRecord(
        outcome=outcome,
        model=finished.model if finished else progress.model,
        total_s=progress.timings.total_s,
        queue_s=progress.timings.queue_s,
        first_token_s=progress.timings.first_token_s,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        generation_s=progress.timings.generation_s if finished else 0.0,
        wasted_tokens=0 if outcome == "answered" else progress.tokens,
        error_code=code,
        backup=bool(finished and finished.backup),
        ended_at=ended_at,
    )


def sample_of(progress: Progress) -> ServiceSample | None:
    """What the answer teaches the estimate; nothing where it did not finish. What the search took
    is no slot's work."""
    finished, timings = progress.finished, progress.timings
    first = timings.first_token_s
    # a backup's answer comes in one piece or from elsewhere: it says nothing of the engine's
    if finished is None or first is None or finished.backup:
        return None
    return ServiceSample(
        first_token_s=max(0.0, first - timings.queue_s - timings.search_s),
        completion_tokens=progress.tokens or finished.usage.completion_tokens,
        generation_s=max(0.0, timings.total_s - first),
    )
