"""One request as a patient caller sees it: what was announced, what it took, what it gave."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

import httpx2

from chatbot_ai.llm.sse import SseDecoder

_CARD = (
    "Rachel is a ship's cook on the grain trader Halcyon. She is warm, quick with a joke, slow to "
    "trust, and she never lies about food."
)
_QUEUE = re.compile(r"queue;dur=([\d.]+)")


@dataclass(slots=True)
class Visit:
    """One request. Times in seconds; `announced_s` is what the first word about the queue said.

    outcome        "answered", or the error's code, or "cut" for a stream without an end
    queue_s        the wait as the server tells it
    client_wait_s  of a stream: its first text by the caller's clock, less what the server says
                   that came between the queue and that text
    turn           the index under which the answer is stored
    """

    user: str
    conversation: str
    arrived: float
    status: int = 0
    outcome: str = ""
    total_s: float = 0.0
    queue_s: float = 0.0
    client_wait_s: float | None = None
    position: int = 0
    announced_s: float | None = None
    retry_after_s: float | None = None
    turn: int | None = None
    text: str = ""

    def as_row(self) -> str:
        """The figures, separated by commas, without any text of questions or answers."""
        return (
            f"{self.arrived:.2f},{self.user},{self.status},{self.outcome},{self.total_s:.3f},"
            f"{self.queue_s:.3f},{self.client_wait_s},{self.position},{self.announced_s}"
        )


async def visit(
    client: httpx2.AsyncClient,
    url: str,
    text: str,
    *,
    user: str,
    conversation: str,
    stream: bool,
) -> Visit:
    """Ask once and note everything. A connection that breaks is status 0."""
    body = {
        "input_data": text,
        "character_name": "Rachel",
        "greeting": "Welcome aboard. Hungry?",
        "context": _CARD,
        "user_id": user,
        "db_id": conversation,
    }
    began = time.monotonic()
    seen = Visit(user, conversation, began)
    headers = {"Accept": "text/event-stream"} if stream else {}
    try:
        async with client.stream(
            "POST", f"{url}/character/Llama", json=body, headers=headers
        ) as response:
            seen.status = response.status_code
            if seen.status == 200 and stream:
                await _read_events(response, seen)
            else:
                await response.aread()
                _read_whole(response, seen)
    except httpx2.HTTPError as error:
        seen.status, seen.outcome = 0, type(error).__name__
    seen.total_s = time.monotonic() - began
    return seen


async def _read_events(response: httpx2.Response, seen: Visit) -> None:
    decoder = SseDecoder()
    parts: list[str] = []
    first_s = 0.0
    async for chunk in response.aiter_raw():
        for data in decoder.feed(chunk):
            event = json.loads(data)
            if "text" in event:
                first_s = first_s or time.monotonic() - seen.arrived
                parts.append(event["text"])
            elif "position" in event and not seen.position:
                seen.position, seen.announced_s = event["position"], event["wait_s"]
            elif "finish_reason" in event:
                seen.outcome, seen.turn = "answered", event["turn"]
                times = event["timings"]
                seen.queue_s = times["queue_ms"] / 1000
                if first_s and times["first_token_ms"] is not None:
                    in_slot_s = (times["first_token_ms"] - times["queue_ms"]) / 1000
                    seen.client_wait_s = first_s - in_slot_s
            elif "code" in event:
                seen.outcome = event["code"]
    seen.text = "".join(parts)
    seen.outcome = seen.outcome or "cut"


def _read_whole(response: httpx2.Response, seen: Visit) -> None:
    headers = response.headers
    if seen.status != 200:
        seen.outcome = response.json()["error"]["code"]
        seen.retry_after_s = float(headers.get("Retry-After", "1"))
        return
    seen.outcome, seen.text = "answered", response.json()
    seen.position = int(headers["X-Queue-Position"])
    if "X-Queue-Wait" in headers:
        seen.announced_s = float(headers["X-Queue-Wait"])
    if "X-Turn" in headers:
        seen.turn = int(headers["X-Turn"])
    timed = _QUEUE.search(headers["Server-Timing"])
    seen.queue_s = float(timed[1]) / 1000 if timed else 0.0
