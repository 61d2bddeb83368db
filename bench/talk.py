"""Streaming clients for measurements: ours, and the bare engine's."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2

from chatbot_ai.llm.sse import SseDecoder

#: A character of about 700 tokens for the demo model, in English, which it was trained on.
CARD = (
    "Rachel is a ship's cook on the grain trader Halcyon. She was born in a harbour town, lost her "
    "brother to a storm, and has kept his compass ever since. She is warm, quick with a joke, slow "
    "to trust, and she never lies about food. She speaks in short sentences and asks questions. "
) * 10


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer: seconds to the first token and to the end, tokens, cached share."""

    first_token_s: float
    total_s: float
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    text: str


async def ask(
    client: httpx2.AsyncClient,
    url: str,
    text: str,
    *,
    user: str | None = None,
    conversation: str | None = None,
    card: str = CARD,
) -> Answer:
    """One message to the character assistant, through the whole stack, streamed."""
    body = {
        "input_data": text,
        "character_name": "Rachel",
        "greeting": "Welcome aboard. Hungry?",
        "context": card,
        "user_id": user,
        "db_id": conversation,
    }
    began = time.perf_counter()
    first = 0.0
    done: dict[str, Any] = {}
    parts: list[str] = []
    headers = {"Accept": "text/event-stream"}
    async with client.stream(
        "POST", f"{url}/character/Llama", json=body, headers=headers
    ) as response:
        response.raise_for_status()
        decoder = SseDecoder()
        async for chunk in response.aiter_raw():
            for data in decoder.feed(chunk):
                event = json.loads(data)
                if "text" in event:
                    first = first or time.perf_counter() - began
                    parts.append(event["text"])
                elif "finish_reason" in event:
                    done = event
                elif "code" in event:
                    raise RuntimeError(event["code"])
    usage = done["usage"]
    return Answer(
        first,
        time.perf_counter() - began,
        usage["completion_tokens"],
        usage["prompt_tokens"],
        usage["cached_tokens"],
        "".join(parts),
    )


async def ask_engine(
    client: httpx2.AsyncClient, url: str, messages: list[dict[str, str]], sampling: dict[str, Any]
) -> Answer:
    """The same to the bare engine."""
    body = {
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        **sampling,
    }
    began = time.perf_counter()
    first = 0.0
    last: dict[str, Any] = {}
    parts: list[str] = []
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        decoder = SseDecoder()
        async for chunk in response.aiter_raw():
            for data in decoder.feed(chunk):
                if data == "[DONE]":
                    continue
                event = json.loads(data)
                for choice in event["choices"]:
                    if choice["delta"].get("content"):
                        first = first or time.perf_counter() - began
                        parts.append(choice["delta"]["content"])
                if event.get("usage"):
                    last = event
    usage = last["usage"]
    return Answer(
        first,
        time.perf_counter() - began,
        usage["completion_tokens"],
        usage["prompt_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        "".join(parts),
    )
