"""A user's conversations as a library: paged, searched, copied."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

from chatbot_ai.core.idempotency import Claim, IdempotentCreations
from chatbot_ai.domain.conversation import Assistant, ConversationKey, ConversationSummary, Turn
from chatbot_ai.domain.errors import InvalidRequest, NotFound
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.domain.text import normalize

#: Conversations that one page of a search looks through; bounds its cost.
SEARCHED = 1000
#: Turns read at once when a conversation is copied or exported.
TURNS_AT_ONCE = 100


class ConversationLibrary:
    """The conversations that users have with one assistant."""

    def __init__(
        self,
        assistant: Assistant,
        store: ConversationStore,
        creations: IdempotentCreations,
        check_room: Callable[[str], Awaitable[None]],
    ) -> None:
        self.assistant = assistant
        self.store = store
        self._creations, self._check_room = creations, check_room

    async def read_summary(self, key: ConversationKey) -> ConversationSummary:
        """One conversation. Raises NotFound if this user has none of that name."""
        found = await self.store.summary(key)
        if found is None:
            raise NotFound("no such conversation")
        return found

    async def list_page(
        self,
        user_id: str,
        *,
        limit: int,
        before: float | None = None,
        wanted: str | None = None,
        prefix: str | None = None,
    ) -> tuple[list[ConversationSummary], float | None]:
        """Conversations newest first, and the `before` of the next page if there is one.

        wanted  text that title or preview must hold, in any case
        prefix  what db_id must begin with

        With either, at most SEARCHED are looked at, and a page may be short or empty although
        more follow.
        """
        is_search = bool(wanted or prefix)
        size = SEARCHED if is_search else limit
        candidates, more = await self._newest(user_id, size, before)
        if not is_search:
            return candidates, more
        needle = _fold(wanted or "")
        found: list[ConversationSummary] = []
        last: float | None = None
        for one in candidates:
            if len(found) >= limit and one.updated_at != last:
                return found, last
            is_meant = one.key.db_id.startswith(prefix or "")
            if is_meant and needle in _fold(f"{one.title or ''}\n{one.preview}"):
                found.append(one)
            last = one.updated_at
        return found, more

    async def read_turns(
        self, key: ConversationKey, *, first: int, limit: int
    ) -> tuple[list[Turn], int | None]:
        """Turns from `first` on, oldest first, and the `first` of the next page if there is one."""
        await self.read_summary(key)
        found = await self.store.turns(key, first=first, limit=limit + 1)
        return found[:limit], found[limit].index if len(found) > limit else None

    async def rename(self, key: ConversationKey, title: str | None) -> ConversationSummary:
        """Give a conversation a title, or take it away."""
        await self.store.set_title(key, title)
        return await self.read_summary(key)

    async def delete(self, key: ConversationKey) -> int:
        """Delete a conversation and return how many turns it had."""
        await self.read_summary(key)
        return await self.store.delete_conversation(key)

    async def branch(
        self, key: ConversationKey, db_id: str | None, *, last: int, claim: Claim | None = None
    ) -> tuple[ConversationSummary, bool]:
        """Copy the turns up to `last`, alternatives included, into a new conversation.

        db_id  names the copy; None: it gets a UUID
        claim  with the same one again the copy that is there is the answer, and the second value
               False

        Raises NotFound where there is no such turn, InvalidRequest where the copy's name is taken,
        StorageFull where it does not fit.
        A copy that fails half-way is taken away again.
        """
        claim_id = claim.thing_id if claim else None
        name = db_id or str(uuid.UUID(hex=claim_id) if claim_id else uuid.uuid4())
        async with self._creations.one_at_a_time(claim):
            return await self._copy(key, replace(key, db_id=name), last, claim_id)

    async def _copy(
        self, key: ConversationKey, copy: ConversationKey, last: int, claim_id: str | None
    ) -> tuple[ConversationSummary, bool]:
        original = await self.read_summary(key)
        if not await self.store.turns(key, first=last, limit=1):
            raise NotFound(f"turn {last}")
        if (
            claim_id is not None
            and (known := await self._find_copy(copy, last, claim_id)) is not None
        ):
            return known, False
        if await self.store.summary(copy) is not None:
            _refuse()
        is_ours = False
        try:
            async for turn in self.walk_turns(key, last=last):
                if turn.index % TURNS_AT_ONCE == 0:
                    await self._check_room(copy.user_id)
                named = (
                    replace(turn, turn_id=_copy_turn_id(claim_id, turn.index)) if claim_id else turn
                )
                is_written = await self.store.restore(copy, named)
                if not is_written and turn.index == 0:
                    # somebody else was quicker, after we had looked
                    _refuse()
                is_ours = True
            if original.title is not None:
                await self.store.set_title(copy, original.title)
        except BaseException:
            if is_ours:
                await self.store.delete_conversation(copy)
            raise
        return await self.read_summary(copy), True

    async def _find_copy(
        self, copy: ConversationKey, last: int, claim_id: str
    ) -> ConversationSummary | None:
        """The copy that was made for `claim_id`; one that a crash has cut off is taken away."""
        if await self.store.find_turn(copy, _copy_turn_id(claim_id, 0)) is None:
            return None
        found = await self.read_summary(copy)
        newest = (await self.store.recent_turns(copy, 1))[-1]
        if newest.index < last and newest.turn_id == _copy_turn_id(claim_id, newest.index):
            await self.store.delete_conversation(copy)
            return None
        return found

    async def walk_turns(
        self, key: ConversationKey, *, last: int | None = None
    ) -> AsyncIterator[Turn]:
        """Every turn up to `last`, a page at a time."""
        first = 0
        while True:
            page = await self.store.turns(key, first=first, limit=TURNS_AT_ONCE)
            for turn in page:
                if last is not None and turn.index > last:
                    return
                yield turn
            if len(page) < TURNS_AT_ONCE:
                return
            first = page[-1].index + 1

    async def _newest(
        self, user_id: str, limit: int, before: float | None
    ) -> tuple[list[ConversationSummary], float | None]:
        """`limit` conversations and those that share the last one's time, as `before` cannot
        tell them apart (a branch has its original's time)."""
        size = limit + 1
        while True:
            found = await self.store.list_conversations(
                self.assistant, user_id, limit=size, before=before
            )
            if len(found) <= limit:
                return found, None
            end = found[limit - 1].updated_at
            if found[-1].updated_at < end:
                return [one for one in found if one.updated_at >= end], end
            if len(found) < size:
                return found, None
            size *= 2


def _refuse() -> NoReturn:
    raise InvalidRequest("db_id", "conversation_exists")


def _copy_turn_id(claim_id: str, index: int) -> str:
    return f"copy-{claim_id}-{index}"


def _fold(text: str) -> str:
    return normalize(text).casefold()
