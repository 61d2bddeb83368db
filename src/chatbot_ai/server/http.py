"""HTTP for the services: uvicorn's protocol on httptools, with bounds on what is being received.

The gateway has the same bounds and more; these hold where somebody reaches a service without it.
uvicorn bounds a request's head only with h11, which costs more for each request, and the time of
receiving not at all.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chatbot_ai.domain import limits

log = structlog.get_logger()

#: Bytes of request line and headers; nginx passes on 4 buffers of 8 KiB at most.
MAX_HEAD_BYTES = 64 * 1024
#: Seconds for a whole head, and for the first one of a new connection to begin.
HEAD_TIMEOUT_S = 15.0
#: Seconds for a whole body that nobody reads; the application answers sooner to one that it reads.
BODY_TIMEOUT_S = limits.BODY_TIMEOUT_S + 5

_REFUSALS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request has a head that is too large, or comes too slowly."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._part: Literal["head", "body", "none"] = "none"
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # only the gateway can connect to the service's socket file, which knows no addresses
        self.client = self.client or ("127.0.0.1", 0)
        self._expect_within(HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # a head that began in an earlier piece; what is parsed of one piece is bounded by its size
        goes_on = self._part == "head"
        super().data_received(data)
        if goes_on:
            self._head_bytes += len(data)
            if self._part == "head" and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part, self._head_bytes = "head", 0
        self._expect_within(HEAD_TIMEOUT_S)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._part = "body"
        self._expect_within(BODY_TIMEOUT_S)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = "none"
        self._expect_within(None)

    def _expect_within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._refuse, 408) if seconds else None

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        log.info("connection.refused", status=status, part=self._part)
        if self._may_answer():
            self.transport.write(
                b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                % (status, _REFUSALS[status])
            )
        self.transport.close()

    def _may_answer(self) -> bool:
        """Whether an answer of ours would not stand in the place of another."""
        if self._part == "body":
            return not self.cycle.response_started
        return self._part == "head" and (self.cycle is None or self.cycle.response_complete)
