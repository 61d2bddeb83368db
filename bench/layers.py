"""What one request passes: functions and files of ours, and generators for each token.

    python -m bench.layers

The character service in this process, in front of an endpoint that answers with TOKENS tokens at
once. The second, warm POST /character/Llama with memory is watched, whole and as a stream. A
generator counts for each token if it is resumed at least once for each of them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx2
import uvicorn

import chatbot_ai
from chatbot_ai.server.compose import build_app
from chatbot_ai.settings import load_config

PACKAGE = str(Path(chatbot_ai.__file__).parent) + os.sep
TOKENS = 40
BODY = {
    "input_data": "안녕하세요!",
    "character_name": "AI Assistant",
    "greeting": "안녕하세요! 반갑습니다.",
    "context": "친근한 AI 어시스턴트",
    "db_id": "layers",
    "user_id": "bench",
}


def _sse(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return b"data: " + json.dumps(body | {"choices": choices} | more).encode() + b"\n\n"


ANSWER = b"".join(
    [
        *(_sse([{"index": 0, "delta": {"content": f" {n}"}, "finish_reason": None}]) for n in range(TOKENS)),
        _sse([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        _sse([], usage={"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 60}),
        b"data: [DONE]\n\n",
    ]
)  # fmt: skip


async def endpoint(scope: Any, receive: Any, send: Any) -> None:
    """An OpenAI-compatible server that says the same to everybody."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    answers = scope["path"].endswith("/chat/completions")
    models = {"data": [{"id": "fake", "max_model_len": 8192}]}
    body = ANSWER if answers else json.dumps(models).encode()
    kind = b"text/event-stream" if answers else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


async def serve(app: Any, **options: Any) -> tuple[uvicorn.Server, asyncio.Task[None], str]:
    """Serve `app` on a free port of this machine."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **options)
    )
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells no other way
        await asyncio.sleep(0.01)
    return server, task, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


class Watch:
    """Counts the calls of this package's functions; resuming a generator is a call."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls[frame.f_code] += 1

    def summary(self) -> str:
        files = {code.co_filename for code in self.calls}
        generators = [
            f"{Path(code.co_filename).name}:{code.co_qualname}"
            for code, calls in self.calls.items()
            if code.co_flags & inspect.CO_ASYNC_GENERATOR and calls >= TOKENS
        ]
        total = sum(self.calls.values())
        return (
            f"{len(self.calls)} functions in {len(files)} files, {total} calls, "
            f"{len(generators)} generators a token\n    " + "\n    ".join(sorted(generators))
        )


async def measure(folder: Path) -> None:
    other, other_task, address = await serve(endpoint, lifespan="off")
    os.environ |= {
        "CHARACTER_ENGINE_URL": address,
        "CHARACTER_ENGINE_MODEL": "fake",
        "DATA_DIR": str(folder / "data"),
        "LOG_DIR": str(folder / "logs"),
    }
    app = await asyncio.to_thread(lambda: build_app("character", load_config(None)))
    service, service_task, url = await serve(app, lifespan="on")
    ways = {
        "whole": {},
        "stream": {"Accept": "text/event-stream"},
        "resumable stream, idempotent": {
            "Accept": "text/event-stream",
            "X-Resumable": "true",
            "Idempotency-Key": "k-{n}",
        },
    }
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        for name, headers in ways.items():
            for number in range(3):
                watch = Watch()
                sent = {key: value.format(n=number) for key, value in headers.items()}
                if number == 2:
                    sys.setprofile(watch)
                response = await client.post(f"{url}/Llama", json=BODY, headers=sent)
                await asyncio.sleep(0.05)
                sys.setprofile(None)
                response.raise_for_status()
            print(f"{name}: {watch.summary()}")
    service.should_exit = other.should_exit = True
    await asyncio.gather(service_task, other_task)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
