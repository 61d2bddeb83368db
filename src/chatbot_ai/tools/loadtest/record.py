"""One row per HTTP request of a load test, and the CSV files that keep them, also those of older
tools with fewer or other columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, TextIO

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


def seconds(value: object) -> float | None:
    """A finite, non-negative number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


_FIELD_CHARS = 200
_REFUSALS = (429, 503)


@dataclass(frozen=True, slots=True)
class Run:
    """One CSV file: its name without the suffix and its records by time sent, never empty."""

    name: str
    records: tuple[Record, ...]

    @property
    def label(self) -> str:
        return next((r.label for r in self.records if r.label), "")

    @property
    def started(self) -> datetime:
        return self.records[0].time


def read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs of a folder's CSV files, oldest first, and the names of files that hold none."""
    runs: list[Run] = []
    skipped: list[str] = []
    for path in sorted(folder.glob("*.csv")):
        run = read_run(path)
        if run is None:
            skipped.append(path.name)
        else:
            runs.append(run)
    runs.sort(key=lambda run: run.started)
    return runs, skipped


def read_run(path: Path) -> Run | None:
    """One file's run, or None when no row of it tells a time and a status."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = csv.DictReader(file)
            records = [r for row in rows if (r := _record(row)) is not None]
    except csv.Error:
        return None
    records.sort(key=lambda record: record.time)
    return Run(path.stem, tuple(records)) if records else None


def _record(row: Mapping[str | None, str | list[str] | None]) -> Record | None:
    cells = {k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
    build = _older_record if "status_code" in cells else _own_record
    return build(cells)


def _own_record(cells: Mapping[str, str]) -> Record | None:
    moment = _moment(cells.get("time", ""))
    status = _whole(cells.get("status"))
    if moment is None or status is None:
        return None
    values: dict[str, Any] = {
        field.name: _READERS[field.type](cells.get(field.name, ""))
        for field in fields(Record)
        if field.type in _READERS
    }
    return Record(
        **values
        | {
            "time": moment,
            "mode": "stream" if cells.get("mode") == "stream" else "json",
            "outcome": values["outcome"] if values["outcome"] in OUTCOMES else _outcome(status),
        }
    )


def _older_record(cells: Mapping[str, str]) -> Record | None:
    """A row of ChatBot AI v1.7.4's load tests: one per request, stamped when it ended."""
    ended = _moment(cells.get("timestamp", ""))
    status = _whole(cells.get("status_code"))
    if ended is None or status is None:
        return None
    total_s = seconds(cells.get("response_time"))
    outcome = _outcome(status)
    if outcome == "answered" and not _flag(cells.get("success", "true")):
        outcome = "failed"
    retry_after_s = seconds(cells.get("retry_after_seconds"))
    return Record(
        time=ended - timedelta(seconds=total_s or 0.0),
        user=_text(cells.get("user_id", "")),
        endpoint=_text(cells.get("endpoint", "")),
        mode="json",
        status=status,
        outcome=outcome,
        total_s=total_s,
        server_s=seconds(cells.get("process_time")) or None,
        retries=max(0, (_whole(cells.get("retry_count")) or 0) - (outcome != "answered")),
        response_bytes=_whole(cells.get("response_size")) or 0,
        # the status where there is one: the tool's own reasons count attempts, not causes
        cause=""
        if outcome == "answered"
        else (f"http_{status}" if status else _text(cells.get("failure_reason", "")) or "failed"),
        is_final=not _flag(cells.get("is_retry_record", "")),
        retry_after_s=retry_after_s or None,
        character=_text(cells.get("character_name", "")),
    )


def _outcome(status: int) -> Outcome:
    if status == 200:
        return "answered"
    return "refused" if status in _REFUSALS else "failed"


def _moment(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _whole(cell: str | None) -> int | None:
    number = seconds(cell)
    return None if number is None else int(number)


def _flag(cell: str) -> bool:
    return cell.strip().lower() in ("true", "1", "yes")


def _text(cell: str) -> str:
    return cell.strip()[:_FIELD_CHARS]


#: How the cell of a column is read, by the type of the field.
_READERS: Mapping[Any, Callable[[str], Any]] = {
    "str": _text,
    "Outcome": _text,
    "bool": lambda cell: cell != "0",
    "int": lambda cell: _whole(cell) or 0,
    "int | None": _whole,
    "float | None": seconds,
}


def in_flight(records: Iterable[Record]) -> list[int]:
    """For each record the number of requests under way when it was sent, itself included."""
    items = list(records)
    ends = sorted(_end(r) for r in items)
    order = sorted(range(len(items)), key=lambda i: items[i].time)
    counts = [0] * len(items)
    ended = 0
    for begun, index in enumerate(order, start=1):
        sent = items[index].time.timestamp()
        while ended < len(ends) and ends[ended] < sent:
            ended += 1
        counts[index] = begun - ended
    return counts


def _end(record: Record) -> float:
    return record.time.timestamp() + (record.total_s or 0.0)
