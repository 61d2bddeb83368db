"""Backup answers: the same prompt again, another way, when streaming from the engine fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import BackendUnavailable, InvalidRequest
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Restarted,
    TextDelta,
    upper_bound,
)
from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.llm.llama import LlamaModel

log = structlog.get_logger()


class ModelWithBackup:
    """A ChatModel that falls back, in this order: the engine's stream, the same engine without
    streaming, then `others`.

    Only before the first delta was shown; a request with `whole` may be generated again however
    far it had come, after a Restarted event; one without `backups` gets the engine's stream only.
    `Finished.model` names the model that really answered and `Finished.backup` says that it was a
    backup.
    """

    def __init__(self, engine: LlamaModel, others: Sequence[ChatModel] = ()) -> None:
        self._engine = engine
        self._others = tuple(others)

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def context_tokens(self) -> int:
        return self._engine.context_tokens

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        has_begun = False
        try:
            async with aclosing(self._engine.stream(request)) as events:
                async for event in events:
                    has_begun = has_begun or isinstance(event, TextDelta)
                    yield event
            return
        except BackendUnavailable as error:
            if (has_begun and not request.whole) or not request.backups:
                raise
            last = error
        log.warning("backup.engine_stream_failed", model=self.name, error=type(last).__name__)
        if has_begun:
            yield Restarted()
        try:
            text, finished = await self._engine.complete(request)
            if text:
                yield TextDelta(text)
            yield finished
            return
        except BackendUnavailable as error:
            log.warning("backup.engine_failed", model=self.name, error=type(error).__name__)
            last = error
        for other in self._others:
            has_begun = False
            failure: BackendUnavailable | InvalidRequest
            try:
                fitted = await self._fit_request(other, request)
                async with aclosing(other.stream(fitted)) as events:
                    async for event in events:
                        has_begun = has_begun or isinstance(event, TextDelta)
                        yield replace(event, backup=True) if isinstance(event, Finished) else event
                return
            except BackendUnavailable as error:
                if has_begun and not request.whole:
                    raise
                failure = last = error
            except InvalidRequest as error:
                # what this model does not take is no mistake of the caller, who asked another one
                failure = error
            log.warning("backup.other_failed", model=other.name, error=type(failure).__name__)
            if has_begun:
                yield Restarted()
        raise last

    async def _fit_request(self, other: ChatModel, request: GenerationRequest) -> GenerationRequest:
        """The request with an answer that fits into the other model's context, which may be the
        smaller one. Raises BackendUnavailable where not even the prompt does."""
        wished = request.sampling.max_tokens or 0
        if upper_bound(request.messages) + wished <= other.context_tokens:
            return request
        left = other.context_tokens - await other.count_tokens(request.messages)
        if left < 1:
            raise BackendUnavailable(f"the prompt does not fit into {other.name}'s context")
        tokens = min(wished or left, left)
        return replace(request, sampling=replace(request.sampling, max_tokens=tokens))

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self._engine.count_tokens(messages)

    async def check(self) -> None:
        await self._engine.check()

    async def close(self) -> None:
        await self._engine.close()
        for other in self._others:
            await other.close()
