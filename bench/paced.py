"""An engine without a model that keeps a given pace, whatever else the machine does.

    python -m bench.paced PORT

It shares its speed among the answers that run, as continuous batching does: every step costs STEP_S
and STEP_PER_ANSWER_S for each answer, a new prompt stops all answers for its own tokens, and the
system prompt costs nothing once a slot has seen it. Lengths vary with the question, from a few
tokens up to max_tokens.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

STEP_S = 0.03
STEP_PER_ANSWER_S = 0.01
PREFILL_TOKEN_S = 0.002
#: Tokens of a prompt that the cache holds from the second answer on.
SHARED_TOKENS = 600
MEAN_TOKENS = 60
SLOTS = 4

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Pace:
    """The step that all answers wait for together."""

    def __init__(self) -> None:
        self.active = 0
        self.answers = 0
        self._prefill_s = 0.0
        self._stepped = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def begin(self, tokens: int) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())
        self.answers += 1
        self.active += 1
        new = tokens if self.answers <= SLOTS else max(20, tokens - SHARED_TOKENS)
        self._prefill_s += new * PREFILL_TOKEN_S
        await self.step()

    async def step(self) -> None:
        await self._stepped.wait()

    async def _run(self) -> None:
        while True:
            pause_s = self._prefill_s + STEP_S + STEP_PER_ANSWER_S * self.active
            self._prefill_s = 0.0
            await asyncio.sleep(pause_s)
            self._stepped.set()
            self._stepped = asyncio.Event()


PACE = Pace()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"]
    if path.endswith("/input_tokens"):
        await _answer(send, {"input_tokens": len(body) // 4})
    elif path == "/health" or not body:
        await _answer(send, {})
    else:
        await _stream(send, json.loads(body))


async def _answer(send: Send, value: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def _stream(send: Send, request: dict[str, Any]) -> None:
    prompt = sum(len(m["content"]) for m in request["messages"]) // 3
    draw = random.Random(zlib.crc32(json.dumps(request["messages"]).encode()))
    limit = request.get("max_tokens") or 512
    tokens = min(limit, 3 + int(draw.expovariate(1 / MEAN_TOKENS)))
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        await PACE.begin(prompt)
        for _ in range(tokens):
            await PACE.step()
            await _event(send, {"choices": [{"index": 0, "delta": {"content": "word "}}]})
        end = "length" if tokens == limit else "stop"
        await _event(send, {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
        await _event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
    finally:
        PACE.active -= 1


async def _event(send: Send, value: dict[str, Any]) -> None:
    data = b"data: " + json.dumps({"id": "x", "model": "paced", **value}).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": data, "more_body": True})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="off")
