"""The one log line of a request, and what others add to it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

import structlog

from chatbot_ai.core.record import RequestRecord
from chatbot_ai.domain.conversation import Assistant

log = structlog.get_logger()


@dataclass(slots=True)
class RequestLine:
    """Fields for the line of one request, until it is `written`."""

    fields: dict[str, object] = field(default_factory=dict)
    written: bool = False


#: The line of the request under way, also in the tasks that it started.
CURRENT: ContextVar[RequestLine | None] = ContextVar("request_line", default=None)


def note(**fields: object) -> bool:
    """Add to the line of the request under way; False where there is none or it is written."""
    line = CURRENT.get()
    if line is None or line.written:
        return False
    line.fields.update(fields)
    return True


class LoggedAnswers:
    """An observer that puts how an answer went into its request's line.

    An answer that outlives its request, as a resumable stream may, has a line of its own:
    `answer.finished`.
    """

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    def observe(self, record: RequestRecord) -> None:
        fields = {"assistant": self._assistant, **record.log_fields()}
        if not note(**fields):
            log.info("answer.finished", **fields)
