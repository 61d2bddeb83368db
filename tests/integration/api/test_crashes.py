"""Mistakes of our own: callers get a clean answer with a request id, operators one traceback."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from structlog.testing import capture_logs

from chatbot_ai.domain.errors import StoreUnavailable
from support.api_lab import Lab, events_of, running_lab, until

SECRET = "planted-9f2c text of a user"


class Mistake(Exception):
    """Something that nobody foresaw."""


def tracebacks(events: list[Any], caplog: pytest.LogCaptureFixture) -> int:
    """How many tracebacks were logged, by our logger and by the libraries'."""
    ours = sum(bool(event.get("exc_info")) for event in events)
    return ours + sum(bool(record.exc_info) for record in caplog.records)


async def test_a_crash_is_a_clean_500(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """JSON with the request's id, in the header too; no word of the mistake; one traceback."""
    lab.model.faults = [Mistake(SECRET)]
    with capture_logs() as events:
        answer = await lab.http.post(
            "/Llama",
            json={"input_data": "안녕", **lab.character},
            headers={"X-Request-ID": "request-12345", "Accept-Language": "en"},
        )
    assert answer.status_code == 500
    body = answer.json()["error"]
    assert (body["code"], body["request_id"]) == ("internal_error", "request-12345")
    assert answer.headers["X-Request-ID"] == "request-12345"
    assert "Mistake" not in answer.text
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    assert tracebacks(events, caplog) == 1
    assert (await lab.say("그래도")).startswith("2번째")


async def test_a_crash_before_a_stream_is_a_clean_500(lab: Lab) -> None:
    """Until the headers are out a stream fails like any call."""
    lab.model.faults = [Mistake(SECRET)]
    answer = await stream(lab)
    assert answer.status_code == 500
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]


async def test_a_crash_in_a_stream_is_an_error_event(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """After the headers the event says that it is our fault, the stream ends properly, and what was
    shown is kept; one traceback."""
    lab.model.breaks = [Mistake(SECRET)]
    with capture_logs() as events:
        answer = await stream(lab, user_id="a", db_id="d")
    assert answer.status_code == 200
    names = [name for name, _ in events_of(answer.text)]
    assert names == ["delta", "error"]
    error = events_of(answer.text)[-1][1]
    assert (error["code"], error["request_id"]) == (
        "internal_error",
        answer.headers["X-Request-ID"],
    )
    assert SECRET not in answer.text
    assert tracebacks(events, caplog) == 1
    assert (await lab.say("다음", "a", "d")).startswith("2번째")
    assert len(lab.model.requests[1].messages) == 4


async def test_nothing_of_a_conversation_is_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither input, nor answer, nor a character's text, whether it goes well or ill."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as events:
        answer = await lab.say(SECRET)
        lab.model.faults = [StoreUnavailable("x")]
        body = {"input_data": SECRET, **dict.fromkeys(lab.character, SECRET)}
        assert (await lab.http.post("/Llama", json=body)).status_code == 503
        await lab.http.post("/Llama", json=body | {"db_id": SECRET})
        await lab.http.post("/Llama", content=SECRET.encode())
    assert SECRET in answer
    finished = [event for event in events if event["event"] == "request.finished"]
    assert [event.get("outcome") for event in finished] == ["answered", "failed", None, None]
    assert SECRET not in str(events)
    assert SECRET not in " ".join(record.getMessage() for record in caplog.records)


async def test_events_carry_the_request_id(lab: Lab) -> None:
    """Every line of one request can be found by its id."""
    seen: list[dict[str, Any]] = []

    def keep(_logger: object, _name: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        await lab.http.post(
            "/Llama",
            json={"input_data": "안녕", **lab.character},
            headers={"X-Request-ID": "find-me-1"},
        )
    finally:
        structlog.configure(processors=before)
    assert {event["request_id"] for event in seen} == {"find-me-1"}
    assert [event["event"] for event in seen] == ["request.finished"]


@pytest.mark.parametrize("given", ["short", "x" * 200, "with space", "한글-한글-한글", ""])
async def test_a_strange_request_id_is_replaced(office: Lab, given: str) -> None:
    """Only a sane id is taken over; each answer has one."""
    headers = {b"X-Request-ID": given.encode()}
    answer = await office.http.get("/healthz", headers=headers)
    assert answer.headers["X-Request-ID"] not in ("", given)


async def test_null_ids_are_none(lab: Lab) -> None:
    """A client that sends null for what it does not know is answered without memory."""
    body = {"input_data": "안녕", "db_id": None, "user_id": None, **lab.character}
    assert (await lab.http.post("/Llama", json=body)).status_code == 200


async def test_leaving_while_the_body_is_sent(office: Lab) -> None:
    """A connection that breaks off in the body leaves nothing behind."""
    address = office.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    writer.write(b"POST /Llama HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    assert await reader.read() == b""
    assert (await office.http.get("/healthz")).status_code == 200
    assert not office.services.chat.queue.running


async def test_silence_is_broken_by_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the model thinks the stream sends comments, which no client takes for text."""
    monkeypatch.setattr("chatbot_ai.api.streaming.HEARTBEAT_S", 0.05)
    async with running_lab(tmp_path) as lab:
        lab.model.gate = asyncio.Event()
        seen = ""
        async with lab.http.stream(
            "POST", "/Llama", json={"input_data": "x"}, headers={"Accept": "text/event-stream"}
        ) as answer:
            async for piece in answer.aiter_text():
                seen += piece
                if seen.count(": keep-alive") == 2:
                    lab.model.gate.set()
        assert events_of(seen)[-1][0] == "done"
        await until(lambda: lab.model.running == 0)


async def stream(lab: Lab, **fields: str) -> httpx2.Response:
    return await lab.http.post(
        "/Llama",
        json={"input_data": "안녕", **lab.character, **fields},
        headers={"Accept": "text/event-stream"},
    )
