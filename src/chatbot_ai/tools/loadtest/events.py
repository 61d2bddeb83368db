"""Server-sent events as a client receives them: bytes in any portions in, whole events out.

This is the test's own reader on purpose: a fault in the server's encoder must not be hidden by
a decoder that shares it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name (`message` where the stream gives none) and its data."""

    name: str
    data: str


class EventDecoder:
    """Decodes one stream by the rules of the WHATWG HTML standard, section 9.2.6.

    An event that no blank line has closed when the stream ends is dropped, as the standard says.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._skip_line_feed = False
        self._first_line = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, portion: bytes) -> list[ServerEvent]:
        """Takes the next bytes and returns the events that they complete."""
        if not portion:
            return []
        if self._skip_line_feed:
            portion = portion.removeprefix(b"\n")
            self._skip_line_feed = False
        self._pending += portion
        events: list[ServerEvent] = []
        start = 0
        for end in _LINE_END.finditer(self._pending):
            event = self._line(self._pending[start : end.start()])
            if event is not None:
                events.append(event)
            start = end.end()
        # a lone CR that ends the portion ends its line now; an LF that follows belongs to it
        self._skip_line_feed = portion.endswith(b"\r")
        self._pending = self._pending[start:]
        return events

    def _line(self, line: bytes) -> ServerEvent | None:
        if self._first_line:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._first_line = False
        if not line:
            return self._close()
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", errors="replace")
        if field == b"event":
            self._name = text
        elif field == b"data":
            self._data.append(text)
        return None

    def _close(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return ServerEvent(name, "\n".join(data)) if data else None
