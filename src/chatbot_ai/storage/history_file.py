"""A history as a file: one JSON object a line, readable by anything."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

from chatbot_ai.domain.conversation import Assistant, ConversationKey, Turn
from chatbot_ai.domain.errors import ConfigurationError, InvalidRequest
from chatbot_ai.storage.records import answer_from_dict, answer_to_dict, normalize_turn
from chatbot_ai.storage.transfer import Record

FORMAT = "chatbot-ai-history"
#: 1 held only the selected answer's model and status; it can still be read.
VERSION = 2
_READABLE = (1, VERSION)
_LINES = 256
_PLAIN_FIELDS = tuple(field.name for field in fields(Turn) if field.name != "answers")


async def write_backup(path: Path, records: AsyncIterator[Record]) -> int:
    """Write `records` to `path` and return how many turns it holds.

    The file is readable for its owner only and appears under its name when it is complete and
    on the disk; a file that was there stays until then. Raises OSError.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    count, lines = 0, [{"format": FORMAT, "version": VERSION}]
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        async for record in records:
            count += record.turn is not None
            lines.append(_record_to_dict(record))
            if len(lines) == _LINES:
                await asyncio.to_thread(_write, file, lines)
        lines.append({"turns": count})
        await asyncio.to_thread(_write, file, lines)
        await asyncio.to_thread(os.fsync, file.fileno())
    await asyncio.to_thread(unfinished.replace, path)
    return count


def count_backup_turns(path: Path) -> int:
    """Return how many turns a backup holds; raise ConfigurationError where it is not whole."""
    first, last = b"", b""
    with path.open("rb") as file:
        for line in file:
            first, last = first or line, line
    header, footer = _parse_line(path, first), _parse_line(path, last)
    if header.get("format") != FORMAT or header.get("version") not in _READABLE:
        raise ConfigurationError(f"{path} is no {FORMAT} file of version 1 to {VERSION}")
    if not isinstance(footer.get("turns"), int):
        raise ConfigurationError(f"{path} ends before its last line: the backup is incomplete")
    return int(footer["turns"])


async def read_backup(path: Path) -> AsyncIterator[Record]:
    """Yield the records of a backup; raise ConfigurationError for a line that is none."""
    with path.open(encoding="utf-8") as file:
        while lines := await asyncio.to_thread(lambda: list(islice(file, _LINES))):
            for line in lines:
                entry = _parse_line(path, line.encode())
                if "conversation" in entry:
                    yield _record_from_dict(path, entry)


def _write(file: Any, lines: list[dict[str, Any]]) -> None:
    file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    file.flush()
    lines.clear()


def _record_to_dict(record: Record) -> dict[str, Any]:
    key = [record.key.assistant, record.key.user_id, record.key.db_id]
    if record.turn is None:
        return {"conversation": key, "title": record.title}
    return {"conversation": key, "turn": _turn_to_dict(record.turn)}


def _record_from_dict(path: Path, entry: dict[str, Any]) -> Record:
    try:
        assistant, user_id, db_id = entry["conversation"]
        key = ConversationKey(cast("Assistant", assistant), user_id, db_id)
        turn = entry.get("turn")
        if assistant not in get_args(Assistant) or (turn is None and "title" not in entry):
            raise ConfigurationError(f"{path} holds a record that is neither turn nor title")
        if turn is None:
            return Record(key, None, entry["title"])
        return Record(key, _turn_from_dict(turn))
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise ConfigurationError(f"{path} holds a record that is no turn") from error


def _turn_to_dict(turn: Turn) -> dict[str, Any]:
    plain = {name: getattr(turn, name) for name in _PLAIN_FIELDS}
    return {**plain, "answers": [answer_to_dict(answer) for answer in turn.answers]}


def _turn_from_dict(turn: dict[str, Any]) -> Turn:
    """Return a turn of either version. What version 1 did not keep of an alternative is taken
    from the selected answer, as it was there."""
    known: dict[str, Any] = {name: turn[name] for name in _PLAIN_FIELDS if name in turn}
    answers = turn.get("answers")
    if answers is None:
        same = {"model": turn["model"], "status": turn.get("status", "complete")}
        answers = [{"text": text, **same} for text in turn["outputs"]]
    made = tuple(answer_from_dict(answer, turn["created_at"]) for answer in answers)
    return normalize_turn(Turn(**known, answers=made))


def _parse_line(path: Path, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds a line that is no JSON") from error
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{path} holds a line that is no JSON object")
    return entry
