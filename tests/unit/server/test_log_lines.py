"""How a log record becomes its line."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Literal

import pytest
import structlog

from chatbot_ai.server import logs
from chatbot_ai.server.logs import LineFormatter
from chatbot_ai.settings import Settings


def test_a_record_is_formatted_once_for_all_its_handlers() -> None:
    """Two handlers get the same line from one formatting; the next record gets its own."""
    made: list[str] = []

    def render(_logger: object, _method: str, event: structlog.types.EventDict) -> str:
        made.append(str(event["event"]))
        return made[-1]

    formatter = LineFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    )
    first, second = (
        logging.LogRecord("chatbot", logging.INFO, __file__, 1, text, (), None)
        for text in ("one", "two")
    )
    lines = [formatter.format(record) for record in (first, first, second, second, first)]
    assert lines == ["one", "one", "two", "two", "one"]
    assert made == ["one", "two", "one"]


#: What steers a terminal: escape sequences, C1, overrides of direction, a line of its own making.
HOSTILE = "a\x1b]0;title\x07\x9b31m\u202eb\u2066c\r\nd\x7f"
STEERING = set(HOSTILE) - set("a]0;title31mbcd\n")


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_line_steers_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: Literal["console", "json"]
) -> None:
    """Whatever a value or a child's line holds, one line of signs that are seen is written."""
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        logs.configure("x", Settings(_env_file=None, log_dir=tmp_path, log_format=form))
        structlog.get_logger().warning(f"event {HOSTILE}", value=HOSTILE, nested=[HOSTILE])
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = before
    file = logs.DailyFile(tmp_path, "child", keep_days=1, zone=dt.UTC)
    file.write(HOSTILE)
    file.close()
    printed = capsys.readouterr().out
    written = [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert len(written) == 2
    for text in (printed, *written):
        assert not STEERING & set(text)
    assert printed.count("\n") == 1
