"""Decoding server-sent events from bytes, as the WHATWG HTML standard §9.2.6 says."""

from __future__ import annotations

from chatbot_ai.domain.errors import BackendProtocolError

#: A single event larger than this is nonsense from a broken server, not a token.
MAX_EVENT_BYTES = 1_048_576
_TOO_LONG = f"an event of more than {MAX_EVENT_BYTES} bytes"


class EventTooLong(BackendProtocolError):
    """One event exceeds MAX_EVENT_BYTES."""


class SseDecoder:
    """Turns chunks of bytes, cut anywhere, into the `data` of whole events.

    Works on bytes, so a character that is cut between two chunks stays whole. Comments and fields
    other than `data` are passed over.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._skip_newline = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that `chunk` completes.

        Raises EventTooLong, and UnicodeDecodeError where an event is not UTF-8.
        """
        if self._skip_newline and chunk:
            # a CR ended the last chunk: an LF now belongs to it
            self._skip_newline = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._skip_newline = True
        self._buffer += chunk
        *lines, self._buffer = (
            self._buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        )
        found: list[str] = []
        for line in lines:
            if not line:
                if self._data:
                    data, self._data, self._data_bytes = b"\n".join(self._data), [], 0
                    found.append(data.decode())
            elif line.startswith(b"data"):
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._data.append(value.removeprefix(b" "))
                    self._data_bytes += len(line) + 1
            if self._data_bytes > MAX_EVENT_BYTES:
                raise EventTooLong(_TOO_LONG)
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLong(_TOO_LONG)
        return found
