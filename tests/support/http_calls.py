"""Speaking HTTP as callers do, and as no proper caller would."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from support.waiting import HANG_S

READ_S = HANG_S

BODIES: dict[str, dict[str, Any]] = {
    "office": {"input_data": "Tell me a story."},
    "character": {
        "input_data": "Tell me a story.",
        "character_name": "Rachel",
        "greeting": "Hello!",
        "context": "A cheerful pirate.",
    },
}


def body(assistant: str, **changes: Any) -> dict[str, Any]:
    """A valid request to that assistant, with changes."""
    return BODIES[assistant] | changes


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: dict[str, Any]


def events(response: httpx2.Response) -> Iterator[Event]:
    """The events of a stream as they come; comments are passed over."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield Event(name, json.loads(line.removeprefix("data: ")))


def stream(client: httpx2.Client, assistant: str, **changes: Any) -> list[Event]:
    """Every event of one streamed answer."""
    headers = {"Accept": "text/event-stream"}
    request = body(assistant, **changes)
    with client.stream("POST", f"/{assistant}/Llama", json=request, headers=headers) as response:
        assert response.status_code == 200, response.read()
        return list(events(response))


def text_of(stream_events: list[Event]) -> str:
    """The answer: all deltas joined."""
    return "".join(event.data["text"] for event in stream_events if event.name == "delta")


def raw(base_url: str, request: bytes) -> tuple[int, bytes]:
    """Status (0 where the connection was closed without an answer) and all that came back."""
    address = urlsplit(base_url)
    received = b""
    with socket.create_connection((address.hostname, address.port or 80), READ_S) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
    return int(received.split()[1]) if received.startswith(b"HTTP/1.") else 0, received


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is the same wherever it comes from."""
    assert response.headers["Content-Type"].startswith("application/json")
    error: dict[str, Any] = response.json()["error"]
    assert error["code"]
    assert error["message"]
    assert error["request_id"] == response.headers["X-Request-ID"]
    if response.status_code in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    return error
