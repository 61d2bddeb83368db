"""A conversation's turns around one answer: read before it, written after it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.domain.conversation import Assistant, ConversationKey, NewTurn, Turn
from chatbot_ai.domain.deadline import WRITE_LIMIT_S
from chatbot_ai.domain.errors import NotFound, StorageFull
from chatbot_ai.domain.ports import Clock, ConversationStore

log = structlog.get_logger()

#: Seconds that a write gets at least, however late the answer is: an answer that was made is
#: worth the wait. What does not come about in time is the outbox's, where there is one.
WRITE_FLOOR_S = 2.0


class Memory:
    """Reads and writes the turns that an exchange is about."""

    def __init__(
        self,
        assistant: Assistant,
        store: ConversationStore,
        clock: Clock,
        history_turns: int,
        user_conversations_bytes: int | None = None,
    ) -> None:
        self.store = store
        self._limit_bytes = user_conversations_bytes
        self._assistant = assistant
        self._clock = clock
        self._limit = history_turns
        self._saving: dict[asyncio.Task[Turn], ConversationKey] = {}

    def find_key(self, request: ChatRequest) -> ConversationKey | None:
        """The conversation, or None for a call without memory."""
        if request.user_id and request.db_id and not request.messages:
            return ConversationKey(self._assistant, request.user_id, request.db_id)
        return None

    async def check_room(self, user_id: str) -> None:
        """Raise StorageFull where the user's conversations take all that they may.

        Asked before an answer is made: one that was made is always stored, so that those which
        run at once may end above the limit.
        """
        if self._limit_bytes is not None:
            used = await self.store.count_bytes(user_id)
            if used >= self._limit_bytes:
                raise StorageFull("conversations_full", used, self._limit_bytes)

    async def load(self, exchange: Exchange) -> None:
        """Read the turns that the prompt looks back on, and the turn that is revised if one is.

        What is still being written to this conversation, for a caller that has left, is waited
        for: it comes before. Raises NotFound where there is no such turn, StorageFull where there
        is no room for another.
        """
        key, request = exchange.key, exchange.request
        if key is None:
            return
        await self.check_room(key.user_id)
        if writing := [task for task, written in self._saving.items() if written == key]:
            await asyncio.wait(writing)
        if request.mode == "edit":
            index = request.index or 0
            first = max(0, index - self._limit)
            turns = await self.store.turns(key, first=first, limit=index - first + 1)
            if not turns or turns[-1].index != index:
                raise NotFound(f"turn {index}")
            exchange.turns = turns[:-1]
            return
        turns = await self.store.recent_turns(key, self._limit)
        if request.mode == "message":
            exchange.turns = turns
        elif turns:
            *exchange.turns, exchange.revised = turns
        else:
            raise NotFound("the conversation has no turns")

    async def save(self, exchange: Exchange) -> Turn:
        """Store the answer. Shielded: a caller that leaves meanwhile does not tear the write. The
        store may take what is left of the request's time, WRITE_FLOOR_S at least."""
        left = exchange.request.deadline - self._clock.monotonic()
        limit = WRITE_LIMIT_S.set(max(WRITE_FLOOR_S, left))
        try:
            task = self._start(exchange)
        finally:
            WRITE_LIMIT_S.reset(limit)
        return await asyncio.shield(task)

    def save_interrupted(self, exchange: Exchange) -> None:
        """Store what a stream had shown before it ended early, in the background."""
        self._start(exchange)

    async def settle(self, timeout_s: float) -> None:
        """Wait for writes under way."""
        if self._saving:
            await asyncio.wait(self._saving, timeout=timeout_s)

    def _start(self, exchange: Exchange) -> asyncio.Task[Turn]:
        if exchange.key is None:
            raise AssertionError("only a conversation with memory is stored")
        task = asyncio.create_task(self._write(exchange.key, exchange))
        self._saving[task] = exchange.key
        task.add_done_callback(self._forget)
        return task

    async def _write(self, key: ConversationKey, exchange: Exchange) -> Turn:
        request, revised = exchange.request, exchange.revised
        answer = exchange.to_answer(self._clock.now())
        begun = revised.answer.text if revised is not None and request.mode == "continue" else ""
        if request.claim_id and revised is not None and exchange.finished:
            claim_id = f"{request.claim_id}:{len(begun)}:{len(begun) + len(answer.text)}"
            answer = replace(answer, claim_ids=(claim_id,))
        if revised is not None and request.mode == "regenerate":
            return await self.store.add_answer(key, revised, answer)
        if revised is not None:
            # it stays the answer of the model that began it
            whole = replace(
                answer,
                text=begun + answer.text,
                model=revised.answer.model,
                claim_ids=revised.answer.claim_ids + answer.claim_ids,
            )
            return await self.store.replace_answer(key, revised, whole)
        built = exchange.prompt
        turn = NewTurn(request.turn_id, request.text, answer)
        if built is not None:
            sent = built.sent if built.sent != request.text else None
            turn = replace(turn, sent=sent, window_start=built.window_start)
        if request.mode == "edit":
            return await self.store.replace_from(key, request.index or 0, turn)
        return await self.store.append(key, turn)

    def _forget(self, task: asyncio.Task[Turn]) -> None:
        del self._saving[task]
        if not task.cancelled() and (error := task.exception()):
            log.warning("turn.not_stored", error=type(error).__name__)
