"""A client of the chat API that measures what a caller sees, JSON or streamed.

Standard library only: under Locust its sockets are gevent's, elsewhere they are ordinary ones.
Every request takes a fresh connection, as separate people would.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from chatbot_ai.tools.loadtest.record import Mode, Outcome, seconds

_PORTION_BYTES = 65536
_REFUSALS = (429, 503)
_NAME_CHARS = 120
_LINE_END = re.compile(rb"\r\n|\n|\r")
_OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name (`message` where the stream gives none) and its data."""

    name: str
    data: str


class EventDecoder:
    """Decodes one stream by the rules of the WHATWG HTML standard, section 9.2.6.

    This is the test's own reader on purpose: a fault in the server's encoder must not be hidden by
    a decoder that shares it.

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


@dataclass(slots=True)
class Reply:
    """One request's result; fields as in `Record`, `text` is the answer as far as it came."""

    status: int = 0
    outcome: Outcome = "abandoned"
    cause: str = "run_ended"
    error_code: str = ""
    total_s: float = 0.0
    queue_s: float | None = None
    first_token_s: float | None = None
    server_s: float | None = None
    announced_wait_s: float | None = None
    retry_after_s: float | None = None
    queue_position: int | None = None
    completion_tokens: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    model: str = ""
    request_id: str = ""
    queued: bool = False
    text: str = ""

    def end(self, outcome: Outcome, cause: str = "") -> None:
        self.outcome, self.cause = outcome, cause


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Retry-After in either form of RFC 9110 section 10.2.3, as seconds from now."""
    if value is None:
        return None
    delay = seconds(value.strip())
    if delay is not None:
        return delay
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def server_timing_s(value: str | None) -> dict[str, float]:
    """Durations of a Server-Timing header in seconds (the header counts milliseconds)."""
    durations: dict[str, float] = {}
    for metric in re.split("," + _OUTSIDE_QUOTES, value or ""):
        name, *parameters = re.split(";" + _OUTSIDE_QUOTES, metric)
        for parameter in parameters:
            key, _, figure = parameter.partition("=")
            duration = seconds(figure.strip().strip('"'))
            if key.strip().lower() == "dur" and duration is not None:
                durations[name.strip()] = duration / 1000
    return durations


def parse_object(text: str | bytes) -> Mapping[str, object]:
    """The JSON object in `text`; empty where there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def error_code(body: Mapping[str, object]) -> str:
    """The machine-readable code of an error body or event, at most 60 characters."""
    inner = body.get("error")
    code = (inner if isinstance(inner, dict) else body).get("code")
    return str(code)[:60] if isinstance(code, str | int) else ""


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
        reply.error_code = error_code(parse_object(content))
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
            if self._clock() - begun > self._timeout_s:
                raise TimeoutError
        _break(reply, "stream_cut")


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
        piece = parse_object(event.data).get("text")
        if isinstance(piece, str) and piece:
            if not reply.text:
                reply.first_token_s = now_s
            reply.text += piece
        return False
    data = parse_object(event.data)
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
