"""One ended request, as the statistics, the metrics and the log see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

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
