"""Reads load-test CSV files back, also those of older tools with fewer or other columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chatbot_ai.tools.loadtest.record import OUTCOMES, Mode, Outcome, Record
from chatbot_ai.tools.loadtest.reply import seconds

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
    outcome = cells.get("outcome", "")
    return Record(
        time=moment,
        user=_text(cells, "user"),
        endpoint=_text(cells, "endpoint"),
        mode=_mode(cells.get("mode")),
        status=status,
        outcome=outcome if outcome in OUTCOMES else _outcome(status),
        total_s=seconds(cells.get("total_s")),
        queue_s=seconds(cells.get("queue_s")),
        first_token_s=seconds(cells.get("first_token_s")),
        server_s=seconds(cells.get("server_s")),
        retries=_whole(cells.get("retries")) or 0,
        request_bytes=_whole(cells.get("request_bytes")) or 0,
        response_bytes=_whole(cells.get("response_bytes")) or 0,
        announced_wait_s=seconds(cells.get("announced_wait_s")),
        error_code=_text(cells, "error_code"),
        cause=_text(cells, "cause"),
        users=_whole(cells.get("users")),
        question=_text(cells, "question"),
        is_final=cells.get("is_final", "1") != "0",
        elapsed_s=seconds(cells.get("elapsed_s")),
        retry_after_s=seconds(cells.get("retry_after_s")),
        queue_position=_whole(cells.get("queue_position")),
        completion_tokens=_whole(cells.get("completion_tokens")),
        model=_text(cells, "model"),
        character=_text(cells, "character"),
        request_id=_text(cells, "request_id"),
        label=_text(cells, "label"),
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
        user=_text(cells, "user_id"),
        endpoint=_text(cells, "endpoint"),
        mode="json",
        status=status,
        outcome=outcome,
        total_s=total_s,
        server_s=seconds(cells.get("process_time")) or None,
        retries=max(0, (_whole(cells.get("retry_count")) or 0) - (outcome != "answered")),
        response_bytes=_whole(cells.get("response_size")) or 0,
        cause="" if outcome == "answered" else _older_cause(cells, status),
        is_final=not _flag(cells.get("is_retry_record", "")),
        retry_after_s=retry_after_s or None,
        character=_text(cells, "character_name"),
    )


def _older_cause(cells: Mapping[str, str], status: int) -> str:
    """The status where there is one: the tool's own reasons count attempts, not causes."""
    return f"http_{status}" if status else _text(cells, "failure_reason") or "failed"


def _outcome(status: int) -> Outcome:
    if status == 200:
        return "answered"
    return "refused" if status in _REFUSALS else "failed"


def _mode(cell: str | None) -> Mode:
    return "stream" if cell == "stream" else "json"


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


def _text(cells: Mapping[str, str], name: str) -> str:
    return cells.get(name, "").strip()[:_FIELD_CHARS]


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
