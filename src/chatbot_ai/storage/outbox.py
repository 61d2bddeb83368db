"""A store that keeps answered turns while its database is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import structlog

from chatbot_ai.domain.conversation import (
    Assistant,
    ConversationKey,
    ConversationSummary,
    NewTurn,
    Turn,
    TurnAnswer,
)
from chatbot_ai.domain.errors import InvalidRequest, NotFound, StoreUnavailable
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.outbox_operations import (
    AddAnswer,
    AppendTurn,
    ContinueAnswer,
    Operation,
    ReplaceTurns,
    apply_answer,
    index_after,
    perform,
)
from chatbot_ai.storage.outbox_queue import OutboxQueue
from chatbot_ai.storage.records import build_turn, normalize_answer, validate_key
from chatbot_ai.storage.uninterrupted import finish_when_cancelled, wait_until_done

#: Conversations whose next index is remembered, for the index of a waiting turn.
_REMEMBERED = 10_000


class OutboxConversationStore:
    """Wraps `primary`: a turn or an answer that it cannot take waits in the file at `path` until
    it can.

    While a conversation has turns waiting, a call about it first tries to hand them over; where
    that fails it raises StoreUnavailable. The alternative, answering from database and outbox
    together, would build a prompt on a database that is known to be broken and on turns whose
    final index is unknown; a model that has forgotten the last turn misleads, a 503 does not.

    Turns are handed over once (by their turn_id) and in order within a conversation. A Turn
    returned for a waiting one carries the index that it will have unless another process appends
    to the conversation first. One process per file; several replicas have one file each.
    """

    def __init__(self, primary: ConversationStore, path: Path, *, retry_s: float = 1.0) -> None:
        self._primary = primary
        self._queue = OutboxQueue(path)
        self._retry_s = retry_s
        self._counts: dict[ConversationKey, int] = {}
        self._next_index: dict[ConversationKey, int] = {}
        self._locks: WeakValueDictionary[ConversationKey, asyncio.Lock] = WeakValueDictionary()
        self._running: set[asyncio.Task[Any]] = set()
        self._worker: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def pending(self) -> int:
        """Return how many turns and answers wait now."""
        return sum(self._counts.values())

    async def open(self) -> None:
        await self._queue.open()
        try:
            await self._primary.open()
            self._counts = await self._queue.counts()
        except BaseException:
            await self.close()
            raise
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        await wait_until_done(self._running)
        await self._primary.close()
        await self._queue.close()

    async def check(self) -> None:
        await self._primary.check()

    async def append(self, key: ConversationKey, turn: NewTurn) -> Turn:
        validate_key(key)
        expected = build_turn(0, turn)  # what no store would ever take must not wait for one
        return await self._perform_or_keep(key, AppendTurn(turn), expected)

    async def replace_from(self, key: ConversationKey, first: int, turn: NewTurn) -> Turn:
        validate_key(key)
        return await self._perform_or_keep(key, ReplaceTurns(first, turn), build_turn(first, turn))

    async def add_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        validate_key(key)
        again = AddAnswer(turn.index, turn.turn_id, normalize_answer(answer))
        return await self._perform_or_keep(key, again, apply_answer(turn, again))

    async def replace_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        validate_key(key)
        whole = ContinueAnswer(turn.index, turn.turn_id, turn.selected, normalize_answer(answer))
        return await self._perform_or_keep(key, whole, apply_answer(turn, whole))

    async def recent_turns(self, key: ConversationKey, limit: int) -> list[Turn]:
        await self._hand_over_or_fail(key)
        turns = await self._primary.recent_turns(key, limit)
        if limit > 0:
            self._remember(key, turns[-1].index + 1 if turns else 0)
        return turns

    async def turns(self, key: ConversationKey, *, first: int = 0, limit: int = 50) -> list[Turn]:
        await self._hand_over_or_fail(key)
        return await self._primary.turns(key, first=first, limit=limit)

    async def find_turn(self, key: ConversationKey, turn_id: str) -> Turn | None:
        await self._hand_over_or_fail(key)
        return await self._primary.find_turn(key, turn_id)

    async def select_output(self, key: ConversationKey, index: int, selected: int) -> Turn:
        await self._hand_over_or_fail(key)
        return await self._primary.select_output(key, index, selected)

    async def truncate(self, key: ConversationKey, first: int) -> int:
        await self._hand_over_or_fail(key)
        self._next_index.pop(key, None)
        return await self._primary.truncate(key, first)

    async def set_title(self, key: ConversationKey, title: str | None) -> None:
        await self._hand_over_or_fail(key)
        await self._primary.set_title(key, title)

    async def summary(self, key: ConversationKey) -> ConversationSummary | None:
        await self._hand_over_or_fail(key)
        return await self._primary.summary(key)

    async def list_conversations(
        self, assistant: Assistant, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[ConversationSummary]:
        await self._hand_over_for_user(assistant, user_id)
        return await self._primary.list_conversations(
            assistant, user_id, limit=limit, before=before
        )

    async def delete_conversation(self, key: ConversationKey) -> int:
        async with self._lock(key):
            dropped = await self._drop_waiting(key)
            return dropped + await self._primary.delete_conversation(key)

    async def delete_user(self, user_id: str, assistant: Assistant | None = None) -> int:
        dropped = 0
        for key in self._find_waiting(assistant, user_id):
            async with self._lock(key):
                dropped += await self._drop_waiting(key)
        return dropped + await self._primary.delete_user(user_id, assistant)

    async def scan(
        self, assistant: Assistant | None = None, user_id: str | None = None
    ) -> AsyncIterator[tuple[ConversationKey, Turn]]:
        await self._hand_over_for_user(assistant, user_id)
        async for item in self._primary.scan(assistant, user_id):
            yield item

    async def restore(self, key: ConversationKey, turn: Turn) -> bool:
        await self._hand_over_or_fail(key)
        return await self._primary.restore(key, turn)

    async def count_bytes(self, user_id: str) -> int:
        return await self._primary.count_bytes(user_id)

    @finish_when_cancelled
    async def _perform_or_keep(
        self, key: ConversationKey, operation: Operation, expected: Turn
    ) -> Turn:
        """Do it, after what waits already; where the primary is down, keep it and return
        `expected`, of a new turn at the index that it will have."""
        async with self._lock(key):
            if await self._hand_over(key):
                with suppress(StoreUnavailable):
                    return await self._perform(key, operation)
            before = await self._queue.put(key, operation)
            self._counts = await self._queue.counts()
        structlog.get_logger().warning("store.turn_waits", pending=self.pending())
        self._wake.set()
        if isinstance(operation, AppendTurn):
            start = self._next_index.get(key, expected.window_start)
            return replace(expected, index=index_after(before, start))
        return expected

    async def _perform(self, key: ConversationKey, operation: Operation) -> Turn:
        stored = await perform(self._primary, key, operation)
        if isinstance(operation, AppendTurn | ReplaceTurns):
            self._remember(key, stored.index + 1)
        return stored

    def _lock(self, key: ConversationKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _remember(self, key: ConversationKey, index: int) -> None:
        self._next_index.pop(key, None)
        self._next_index[key] = index
        if len(self._next_index) > _REMEMBERED:
            self._next_index.pop(next(iter(self._next_index)))

    def _find_waiting(
        self, assistant: Assistant | None, user_id: str | None
    ) -> list[ConversationKey]:
        return [
            key
            for key in self._counts
            if assistant in {None, key.assistant} and user_id in {None, key.user_id}
        ]

    async def _hand_over_or_fail(self, key: ConversationKey) -> None:
        if key in self._counts:
            async with self._lock(key):
                if not await self._hand_over(key):
                    raise StoreUnavailable("turns of this conversation wait for the database")

    async def _hand_over_for_user(self, assistant: Assistant | None, user_id: str | None) -> None:
        for key in self._find_waiting(assistant, user_id):
            await self._hand_over_or_fail(key)

    async def _hand_over(self, key: ConversationKey) -> bool:
        """Hand over what waits; False where some still does. The caller holds the lock."""
        while key in self._counts:
            waiting = await self._queue.first(key)
            if waiting is not None:
                try:
                    await self._perform(key, waiting.operation)
                except StoreUnavailable:
                    return False
                except (NotFound, InvalidRequest) as error:
                    # its turn was deleted or edited away meanwhile, by another process
                    structlog.get_logger().warning(
                        "store.waiting_answer_dropped", reason=type(error).__name__
                    )
                await self._queue.remove(waiting.number)
            self._counts = await self._queue.counts()
        return True

    async def _drop_waiting(self, key: ConversationKey) -> int:
        """Forget waiting turns before the primary's are deleted, so that none comes back."""
        self._next_index.pop(key, None)
        if key not in self._counts:
            return 0
        dropped = await self._queue.drop(key)
        self._counts = await self._queue.counts()
        return dropped

    async def _work(self) -> None:
        """Hand over what waits, whenever something does, until cancelled."""
        log = structlog.get_logger()
        while True:
            if not self._counts:
                await self._wake.wait()
            self._wake.clear()
            before = self.pending()
            try:
                await self._hand_over_all()
            except StoreUnavailable as error:
                log.warning("store.outbox_waits", pending=self.pending(), reason=str(error))
            except Exception:
                log.exception("store.outbox_failed", pending=self.pending())
            if self.pending() < before:
                log.info("store.outbox_handed_over", pending=self.pending())
            if self._counts:
                await asyncio.sleep(self._retry_s)

    async def _hand_over_all(self) -> None:
        """Try every conversation; one that the database refuses does not stop the others."""
        for key in list(self._counts):
            async with self._lock(key):
                handed_over = await self._hand_over(key)
            if not handed_over:
                await self._primary.check()
