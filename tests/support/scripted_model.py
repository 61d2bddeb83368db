"""A ChatModel without a server, for tests of what stands above it. It passes the contract."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import BackendUnavailable, DeadlineExceeded
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Restarted,
    TextDelta,
    Usage,
)

WORDS = ("가", "나다", "라 ", "👋🏽", "hello ", "세계", ". ", "é")
TOKENS_PER_MESSAGE = 4


@dataclass(eq=False)
class ScriptedModel:
    """Says words drawn from the messages and the seed, one a delta.

    script   failures: after so many deltas this error is raised (or Restarted yielded); one entry
             for each call, the calls after them succeed
    gate     where given, each delta waits for it
    pause_s  between two deltas
    """

    name: str = "scripted"
    context_tokens: int = 2048
    pause_s: float = 0.0
    away: bool = False
    script: list[tuple[int, BaseException | Restarted]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    requests: list[GenerationRequest] = field(default_factory=list)
    counted: int = 0
    running: int = 0
    said: int = 0
    closed: bool = False

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        await self.check()
        self.requests.append(request)
        fault = self.script.pop(0) if self.script else None
        wished = request.sampling.max_tokens or 16
        self.running += 1
        try:
            for number, word in enumerate(self._words(request, wished)):
                if fault and number == fault[0]:
                    if not isinstance(fault[1], Restarted):
                        raise fault[1]
                    yield fault[1]
                await self._pause(request.deadline)
                self.said += 1
                yield TextDelta(word)
        finally:
            self.running -= 1
        if fault and fault[0] >= wished and not isinstance(fault[1], Restarted):
            raise fault[1]
        usage = Usage(await self.count_tokens(request.messages), 0, wished)
        yield Finished("length", usage, self.name, prefill_s=0.01, generation_s=0.02)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        self.counted += 1
        return sum(len(m.content.encode()) + TOKENS_PER_MESSAGE for m in messages)

    async def check(self) -> None:
        if self.away:
            raise BackendUnavailable("scripted to be away")

    async def close(self) -> None:
        self.closed = True

    async def _pause(self, deadline: float) -> None:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if self.gate is not None:
                    await self.gate.wait()
                await asyncio.sleep(self.pause_s)
        except TimeoutError as error:
            raise DeadlineExceeded("generation") from error

    def _words(self, request: GenerationRequest, count: int) -> list[str]:
        # a real model's text differs from run to run without a seed; this one's stays the same
        digest = hashlib.sha256(repr((request.messages, request.sampling.seed)).encode())
        draw = random.Random(digest.digest())
        return [draw.choice(WORDS) for _ in range(count)]
