"""Structured logs: one JSON line per event in one file a day, readable lines on a terminal.

Keys, passwords and the texts of exceptions never reach a log. An exception may quote whatever it
was raised over, what a person wrote for example: its type and the places it came through say where
the mistake is.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any, TextIO

import structlog

from chatbot_ai.access.key import KEY_PATTERN, PREFIX, read_id
from chatbot_ai.domain.text import show_controls
from chatbot_ai.settings import Settings

log = structlog.get_logger()

#: Libraries that would log every request at INFO.
QUIET = (
    "bm25s",
    "ddgs",
    "primp",
    "trafilatura",
    "httpx2",
    "httpcore2",
    "huggingface_hub",
    "openai",
    "uvicorn",
    "pymongo",
    "asyncio",
)
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

#: Keys of others by their beginnings: OpenAI and Anthropic, Hugging Face, Google, GitHub.
_OTHER_KEYS = re.compile(r"\b(sk-|hf_|AIza|gh[pousr]_)[A-Za-z0-9_-]{12,}")
#: `user:password@` of a URL, the password with whatever stands before the host's @.
_PASSWORD = re.compile(r"(://[^\s/:@\"']*):[^\s/\"']+@")
#: Exceptions of one chain or group that are told.
_MOST = 12


class DailyFile(logging.Handler):
    """Writes to `<folder>/<name>_<YYYY-MM-DD>.log` and removes files older than `keep_days`.

    A disk that is full or gone loses log lines, never requests.
    """

    def __init__(self, folder: Path, name: str, *, keep_days: int, zone: dt.tzinfo) -> None:
        super().__init__()
        self._folder, self._name, self._keep_days, self._zone = folder, name, keep_days, zone
        self._day: dt.date | None = None
        self._file: TextIO | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self._append(self.format(record))

    def write(self, line: str) -> None:
        """Append one line to today's file."""
        self._append(show_controls(hide_keys(line)))

    def _append(self, line: str) -> None:
        try:
            file = self._today()
            file.write(line + "\n")
            file.flush()
        except OSError:
            self._day = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _today(self) -> TextIO:
        today = dt.datetime.now(self._zone).date()
        if self._file is None or today != self._day:
            if self._file is not None:
                self._file.close()
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            path = self._folder / f"{self._name}_{today.isoformat()}.log"
            # half a surrogate pair must not make a request fail for the sake of its log line
            # one that is new may be read by others only where its folder may
            mode = 0o600 | (self._folder.stat().st_mode & 0o066)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
            self._file = os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")
            self._day = today
            self._remove_old(today)
        return self._file

    def _remove_old(self, today: dt.date) -> None:
        for path in self._folder.glob(f"{self._name}_*.log"):
            try:
                day = dt.date.fromisoformat(path.stem.removeprefix(f"{self._name}_"))
            except ValueError:
                continue
            if (today - day).days >= self._keep_days:
                path.unlink(missing_ok=True)


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Makes a record's line, and makes it once, though two handlers write it."""

    _made: tuple[logging.LogRecord | None, str] = (None, "")

    def format(self, record: logging.LogRecord) -> str:
        made, line = self._made
        if made is not record:
            line = super().format(record)
            self._made = (record, line)
        return line


def configure(name: str, settings: Settings, *, console_level: str = "debug") -> DailyFile:
    """Send every log record of this process to its daily file and to standard output.

    console_level keeps less important events off standard output.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    as_json = _formatter(
        shared,
        structlog.processors.ExceptionRenderer(format_frames),
        structlog.processors.JSONRenderer(ensure_ascii=False),
        # JSON itself writes out the other half of them
        lambda _logger, _method, line: show_controls(str(line)),
    )
    readable = _formatter(
        shared,
        _show_controls_of_values,
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=write_frames),
    )
    console = logging.StreamHandler(sys.stdout)
    wants_console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stdout.isatty()
    )
    console.setFormatter(readable if wants_console else as_json)
    daily = DailyFile(
        settings.log_dir, name, keep_days=settings.log_retention_days, zone=settings.zone
    )
    daily.setFormatter(as_json)
    root = logging.getLogger()
    console.setLevel(console_level.upper())
    root.handlers = [daily] if settings.log_format == "none" else [console, daily]
    root.setLevel(settings.log_level.upper())
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
    return daily


def _show_controls_of_values(
    _logger: Any, _method: str, values: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Before colours are added, which are control characters too; a line stays one line."""
    return {
        name: show_controls(value).replace("\n", "\u240a") if isinstance(value, str) else value
        for name, value in values.items()
    }


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler: asyncio's own writes the exception's text."""
    log.error("loop.error", what=context["message"], exc_info=context.get("exception"))


def _formatter(
    shared: list[structlog.types.Processor], *renderers: structlog.types.Processor
) -> logging.Formatter:
    return LineFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *renderers,
            lambda _logger, _method, line: hide_keys(str(line)),
        ],
    )


def hide_keys(line: str) -> str:
    """Shorten our own API keys to the part that may be shown, others to their beginning, and take
    passwords out of URLs, wherever a caller or a library has put one: a path, an error's text. No
    code of ours logs one; this is the net below."""
    if PREFIX in line:
        line = KEY_PATTERN.sub(lambda key: f"{read_id(key[0])}…", line)
    if "://" in line:
        line = _PASSWORD.sub(r"\1:…@", line)
    return _OTHER_KEYS.sub(r"\1…", line)


def format_frames(exc_info: ExcInfo) -> str:
    """The exception's chain, first cause first: types and frames, without texts or source lines."""
    return "\n".join(_list_frames(list(_chain(exc_info[1]))[:_MOST]))


def write_frames(stream: TextIO, exc_info: ExcInfo) -> None:
    """The same for a terminal."""
    stream.write("\n" + format_frames(exc_info))


def _list_frames(errors: list[BaseException]) -> Iterator[str]:
    for error in reversed(errors):
        kind = type(error)
        yield f"{kind.__module__}.{kind.__qualname__}"
        for frame, line in walk_tb(error.__traceback__):
            code = frame.f_code
            yield f"  {code.co_filename}:{line} in {code.co_qualname}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _chain(part)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
