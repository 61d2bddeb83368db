"""A client of the chat API that measures what a caller sees, JSON or streamed.

Standard library only: under Locust its sockets are gevent's, elsewhere they are ordinary ones.
Every request takes a fresh connection, as separate people would.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from chatbot_ai.tools.loadtest.events import EventDecoder, ServerEvent
from chatbot_ai.tools.loadtest.record import Mode
from chatbot_ai.tools.loadtest.reply import (
    Reply,
    error_code,
    mapping,
    retry_after_s,
    seconds,
    server_timing_s,
)

_PORTION_BYTES = 65536
_REFUSALS = (429, 503)
_NAME_CHARS = 120


class ChatClient:
    """Sends questions to one host. Safe for use by many threads or greenlets at once.

    timeout_s  bounds a whole request, streamed or not, and each wait for the next byte
    key        an API key to send along; "" sends none
    """

    def __init__(
        self,
        host: str,
        timeout_s: float = 300.0,
        clock: Callable[[], float] = time.perf_counter,
        *,
        key: str = "",
    ) -> None:
        parts = urlsplit(host)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http address: {host!r}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        self._access = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, endpoint: str, body: Mapping[str, object], mode: Mode, reply: Reply) -> None:
        """Sends one request and fills `reply` as the answer arrives.

        Never raises for what a server or network does; `reply` then says what happened. When the
        caller is stopped from outside, `reply` keeps what it had and `outcome` "abandoned"; its
        `request_bytes` are 0 unless the request went out.
        """
        payload = json.dumps(body, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if mode == "stream" else "application/json",
            "User-Agent": "chatbot-ai-loadtest",
            **self._access,
        }
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        begun = self._clock()
        try:
            connection.request("POST", self._base + endpoint, payload, headers)
            reply.request_bytes = len(payload)
            self._read(connection.getresponse(), mode, reply, begun)
        except TimeoutError:
            _break(reply, "timeout")
        except ConnectionRefusedError:
            _break(reply, "connection_refused")
        except OSError:
            _break(reply, "connection_lost")
        except http.client.HTTPException:
            _break(reply, "connection_cut")
        finally:
            reply.total_s = self._clock() - begun
            connection.close()

    def _read(
        self, response: http.client.HTTPResponse, mode: Mode, reply: Reply, begun: float
    ) -> None:
        reply.status = response.status
        _read_headers(response, reply)
        streamed = response.headers.get_content_type() == "text/event-stream"
        if response.status == 200 and streamed and mode == "stream":
            self._read_stream(response, reply, begun)
            return
        content = response.read()
        reply.response_bytes = len(content)
        if response.status == 200:
            _judge_json(content, mode, reply)
            return
        reply.error_code = error_code(mapping(content))
        cause = reply.error_code or f"http_{response.status}"
        reply.end("refused" if response.status in _REFUSALS else "failed", cause)

    def _read_stream(self, response: http.client.HTTPResponse, reply: Reply, begun: float) -> None:
        decoder = EventDecoder()
        # up to Python 3.11, read1 waits for more once a body of known length is complete
        length = response.length
        while (length is None or reply.response_bytes < length) and (
            portion := response.read1(_PORTION_BYTES)
        ):
            reply.response_bytes += len(portion)
            now = self._clock() - begun
            for event in decoder.feed(portion):
                if _take(event, reply, now):
                    return
            self._check_time(begun)
        _break(reply, "stream_cut")

    def _check_time(self, begun: float) -> None:
        if self._clock() - begun > self._timeout_s:
            raise TimeoutError


def _read_headers(response: http.client.HTTPResponse, reply: Reply) -> None:
    timings = server_timing_s(response.getheader("Server-Timing"))
    reply.queue_s = timings.get("queue")
    reply.first_token_s = timings.get("first_token")
    reply.server_s = timings.get("total")
    reply.announced_wait_s = seconds(response.getheader("X-Queue-Wait"))
    reply.model = (response.getheader("X-Model") or "")[:_NAME_CHARS]
    reply.retry_after_s = retry_after_s(response.getheader("Retry-After"))
    reply.request_id = (response.getheader("X-Request-ID") or "")[:64]
    position = seconds(response.getheader("X-Queue-Position"))
    reply.queue_position = None if position is None else int(position)


def _judge_json(content: bytes, mode: Mode, reply: Reply) -> None:
    """The contract: the answer is one JSON string, nothing around it."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, str) or mode == "stream":
        reply.end("failed", "unreadable_answer")
    elif not answer:
        reply.end("failed", "empty_answer")
    else:
        reply.text = answer
        reply.end("answered")


def _take(event: ServerEvent, reply: Reply, now_s: float) -> bool:
    """Notes one event of a stream; True when it was the last."""
    if event.name == "delta":
        piece = mapping(event.data).get("text")
        if isinstance(piece, str) and piece:
            if not reply.text:
                reply.first_token_s = now_s
            reply.text += piece
        return False
    data = mapping(event.data)
    if event.name == "queued" and not reply.queued:
        reply.queued = True  # later events foretell what is left, not the whole
        reply.announced_wait_s = seconds(data.get("wait_s"))
        position = seconds(data.get("position"))
        reply.queue_position = None if position is None else int(position)
    elif event.name == "done":
        _take_done(data, reply)
        return True
    elif event.name == "error":
        reply.error_code = error_code(data)
        reply.retry_after_s = seconds(data.get("retry_after_s"))
        # before any text it is the stream's way to say 429 or 503; after, the answer is spoilt
        may_wait = not reply.text and reply.retry_after_s is not None
        _break(reply, reply.error_code or "error_event", "refused" if may_wait else "failed")
        return True
    return False


def _take_done(data: Mapping[str, object], reply: Reply) -> None:
    timings, usage = data.get("timings"), data.get("usage")
    if isinstance(timings, dict):
        reply.queue_s = _from_ms(timings.get("queue_ms"))
        reply.server_s = _from_ms(timings.get("total_ms"))
    if isinstance(usage, dict):
        tokens = seconds(usage.get("completion_tokens"))
        reply.completion_tokens = None if tokens is None else int(tokens)
    reply.model = str(data.get("model") or "")[:_NAME_CHARS]
    reply.end(*(("answered", "") if reply.text else ("failed", "empty_answer")))


def _from_ms(value: object) -> float | None:
    duration = seconds(value)
    return None if duration is None else duration / 1000


def _break(reply: Reply, cause: str, unbegun: str = "failed") -> None:
    """Ends a reply badly: `interrupted` when text had come, else `unbegun`."""
    if reply.text:
        reply.end("interrupted", cause)
    else:
        reply.end("refused" if unbegun == "refused" else "failed", cause)
