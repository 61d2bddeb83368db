"""How a log record becomes its line."""

from __future__ import annotations

import logging

import structlog

from chatbot_ai.server.logs import LineFormatter


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
