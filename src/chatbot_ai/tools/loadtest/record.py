"""One row per HTTP request of a load test, and the CSV file that keeps them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal, Self, TextIO

Mode = Literal["json", "stream"]
#: answered     a complete answer
#: refused      not now, try again later: 429, 503, or the same said in a stream before any text
#: interrupted  an answer began and did not end well
#: failed       anything else: other statuses, lost connections, timeouts, unreadable answers
#: abandoned    the test ended while the request was under way
Outcome = Literal["answered", "refused", "interrupted", "failed", "abandoned"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "refused", "interrupted", "failed", "abandoned")


@dataclass(frozen=True, slots=True)
class Record:
    """One request. Times are seconds; None means that it is unknown.

    time              when the request was sent
    user, question    who asked, and which of this user's questions it was; a repeated request
                      keeps its question
    total_s           sent until the last byte, on the client's clock
    queue_s, server_s the server's own figures
    first_token_s     for a stream the client's clock at the first text, else the server's figure
    retries           requests for the same question before this one
    is_final          False when the client went on to repeat the question
    elapsed_s         since the question was first asked, waits between repetitions included
    announced_wait_s  the wait that the server expected on arrival
    retry_after_s     what Retry-After asked for
    error_code        the server's code; `cause` is never empty unless the answer is complete
    users             simulated people at that time
    """

    time: datetime
    user: str
    endpoint: str
    mode: Mode
    status: int
    outcome: Outcome
    total_s: float | None = None
    queue_s: float | None = None
    first_token_s: float | None = None
    server_s: float | None = None
    retries: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    announced_wait_s: float | None = None
    error_code: str = ""
    cause: str = ""
    users: int | None = None
    question: str = ""
    is_final: bool = True
    elapsed_s: float | None = None
    retry_after_s: float | None = None
    queue_position: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    character: str = ""
    request_id: str = ""
    label: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Record))


class RecordFile:
    """Appends records to a CSV file; each row is in the file when `write` returns.

    The file begins with a byte order mark, without which spreadsheets misread Korean.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("x", encoding="utf-8-sig", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)
        self._file.flush()

    def write(self, record: Record) -> None:
        self._rows.writerow(_cell(getattr(record, name)) for name in COLUMNS)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def run_name(scenario: str, started: datetime) -> str:
    """`character_20260131_142501` for a run that began then, local time."""
    return f"{scenario}_{started:%Y%m%d_%H%M%S}"
