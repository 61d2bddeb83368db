"""What one request came to, and how the server's own words about it are read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from chatbot_ai.tools.loadtest.record import Outcome

_OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'


@dataclass(slots=True)
class Reply:
    """One request's result; fields as in `Record`, `text` is the answer as far as it came."""

    status: int = 0
    outcome: Outcome = "abandoned"
    cause: str = "run_ended"
    error_code: str = ""
    total_s: float = 0.0
    queue_s: float | None = None
    first_token_s: float | None = None
    server_s: float | None = None
    announced_wait_s: float | None = None
    retry_after_s: float | None = None
    queue_position: int | None = None
    completion_tokens: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    model: str = ""
    request_id: str = ""
    queued: bool = False
    text: str = ""

    def end(self, outcome: Outcome, cause: str = "") -> None:
        self.outcome, self.cause = outcome, cause

    @property
    def may_be_repeated(self) -> bool:
        return self.outcome == "refused"


def seconds(value: object) -> float | None:
    """A finite, non-negative number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Retry-After in either form of RFC 9110 section 10.2.3, as seconds from now."""
    if value is None:
        return None
    delay = seconds(value.strip())
    if delay is not None:
        return delay
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def server_timing_s(value: str | None) -> dict[str, float]:
    """Durations of a Server-Timing header in seconds (the header counts milliseconds)."""
    durations: dict[str, float] = {}
    for metric in re.split("," + _OUTSIDE_QUOTES, value or ""):
        name, *parameters = re.split(";" + _OUTSIDE_QUOTES, metric)
        for parameter in parameters:
            key, _, figure = parameter.partition("=")
            duration = seconds(figure.strip().strip('"'))
            if key.strip().lower() == "dur" and duration is not None:
                durations[name.strip()] = duration / 1000
    return durations


def mapping(text: str | bytes) -> Mapping[str, object]:
    """The JSON object in `text`; empty where there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def error_code(body: Mapping[str, object]) -> str:
    """The machine-readable code of an error body or event, at most 60 characters."""
    inner = body.get("error")
    code = (inner if isinstance(inner, dict) else body).get("code")
    return str(code)[:60] if isinstance(code, str | int) else ""
