"""Answers given once for each idempotency key, however often they are asked for.

Within a process the first answer is remembered; in a conversation with memory the turn itself is
found again by its id, which derives from the key, and another answer to it by the id of the claim
that it carries: also after a restart and by another process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from chatbot_ai.core.answer import (
    Answer,
    ChatEvent,
    Collector,
    ContextUse,
    Delta,
    Done,
    Sources,
    Timings,
)
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.domain.conversation import Turn, TurnAnswer
from chatbot_ai.domain.deadline import within_deadline
from chatbot_ai.domain.errors import IdempotencyKeyReused
from chatbot_ai.domain.generation import Usage

#: Seconds for which an answer is remembered, and how many are at most.
KEEP_S = 24 * 3600.0
MAX_ANSWERS = 1000
#: Newest turns among which a repeated call looks for what it had answered again.
RECALLED_TURNS = 50
#: Seconds that a repeated call waits for what the first one is still writing.
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's wish to be answered once. `fingerprint` tells one request from another."""

    owner: str
    key: str
    fingerprint: str

    @property
    def turn_id(self) -> str:
        digest = hashlib.sha256(repr((self.owner, self.key)).encode()).hexdigest()
        return f"once-{digest[:40]}"

    @property
    def id(self) -> str:
        """On another answer to a turn; where it begins and ends in the text follow behind it."""
        return f"{self.turn_id}.{self.fingerprint[:16]}"

    @property
    def thing_id(self) -> str:
        """32 hexadecimal digits for what this very request makes."""
        whole = repr((self.owner, self.key, self.fingerprint))
        return hashlib.sha256(whole.encode()).hexdigest()[:32]


@dataclass(slots=True)
class _Answered:
    fingerprint: str
    until: float
    answer: Answer | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class IdempotentAnswers:
    """Remembers answers by owner and key."""

    def __init__(
        self, chat: Chat, *, keep_s: float = KEEP_S, max_answers: int = MAX_ANSWERS
    ) -> None:
        self._chat = chat
        self._keep_s, self._max_answers = keep_s, max_answers
        self._entries: OrderedDict[tuple[str, str], _Answered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def answer(
        self, alias: str, request: ChatRequest, claim: Claim
    ) -> AsyncGenerator[ChatEvent, None]:
        """Answer as Chat.answer does, or repeat what was answered before.

        While the first call runs, the others wait for it; if it ends without an answer, one of
        them takes its place. Raises IdempotencyKeyReused where the key belongs to another request.
        """
        clock, name = self._chat.clock, (claim.owner, claim.key)
        while (entry := self._entry(name)) is not None:
            if entry.fingerprint != claim.fingerprint:
                raise IdempotencyKeyReused
            if entry.answer is not None:
                for event in replay(entry.answer):
                    yield event
                return
            async with within_deadline(clock, request.deadline, "idempotency"):
                await entry.settled.wait()
        entry = _Answered(claim.fingerprint, clock.monotonic() + self._keep_s)
        self._entries[name] = entry
        try:
            request = replace(request, turn_id=claim.turn_id, claim_id=claim.id)
            async with within_deadline(clock, request.deadline, "idempotency"):
                known, request = await self._recall(request)
            if known is not None:
                entry.answer = known
                for event in replay(known):
                    yield event
                return
            collector = Collector()
            async with aclosing(self._chat.answer(alias, request)) as events:
                async for event in events:
                    collector.feed(event)
                    if isinstance(event, Done):
                        # before it is shown: the caller may leave on seeing it
                        entry.answer = collector.answer
                    yield event
        finally:
            if entry.answer is None:
                del self._entries[name]
            entry.settled.set()

    def _entry(self, name: tuple[str, str]) -> _Answered | None:
        now = self._chat.clock.monotonic()
        done = [n for n, e in self._entries.items() if e.answer is not None]
        surplus = max(0, len(done) - self._max_answers)
        for at, other in enumerate(done):
            if at >= surplus and self._entries[other].until > now:
                break
            del self._entries[other]
        return self._entries.get(name)

    async def _recall(self, request: ChatRequest) -> tuple[Answer | None, ChatRequest]:
        """The stored answer, or the request as it is to be answered now.

        An answer that was interrupted as the conversation's last is generated again in its place.
        """
        chat = self._chat
        key = chat.memory.find_key(request)
        if key is None:
            return None, request
        await chat.memory.settle(SETTLE_S)
        if request.mode in ("regenerate", "continue"):
            turns = await chat.store.recent_turns(key, RECALLED_TURNS)
            return _find_claimed(turns, request), request
        turn = await chat.store.find_turn(key, request.turn_id)
        if turn is None:
            return None, request
        if turn.input != request.text:
            raise IdempotencyKeyReused
        if turn.answer.status == "interrupted" and not await chat.store.turns(
            key, first=turn.index + 1, limit=1
        ):
            return None, replace(request, mode="edit", index=turn.index)
        return _build_answer(turn, turn.answers[0]), request


def replay(answer: Answer) -> list[ChatEvent]:
    """The events of an answer that is given again, marked as such."""
    done = replace(answer.done, replayed=True)
    events: list[ChatEvent] = []
    if done.sources or done.warnings:
        events.append(Sources(done.sources, done.warnings))
    if answer.text:
        events.append(Delta(answer.text))
    return [*events, done]


def _find_claimed(turns: Sequence[Turn], request: ChatRequest) -> Answer | None:
    """The answer, or the part of one, that the request has made. Raises IdempotencyKeyReused."""
    for turn in turns:
        for answer in turn.answers:
            for claim_id in answer.claim_ids:
                name, begin, end = claim_id.rsplit(":", 2)
                if name == request.claim_id:
                    return _build_answer(
                        turn, replace(answer, text=answer.text[int(begin) : int(end)])
                    )
                if name.startswith(f"{request.turn_id}."):
                    raise IdempotencyKeyReused
    return None


def _build_answer(turn: Turn, first: TurnAnswer) -> Answer:
    """A turn's answer as it was given; what it took is not stored and reads as nothing."""
    done = Done(
        finish_reason=first.finish_reason
        or ("stop" if first.status == "complete" else first.status),
        model=first.model,
        usage=Usage(),
        timings=Timings(),
        context=ContextUse(0, 0, 0),
        turn=turn.index,
        sources=first.sources,
    )
    return Answer(first.text, None, done)


@dataclass(slots=True)
class _Creation:
    fingerprint: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class IdempotentCreations:
    """Lets the calls of one key create one after the other, and refuses a key with another body
    for as long as the process remembers it."""

    def __init__(self, max_known: int = MAX_ANSWERS) -> None:
        self._max_known = max_known
        self._entries: OrderedDict[tuple[str, str], _Creation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def one_at_a_time(self, claim: Claim | None) -> AsyncIterator[None]:
        """Hold the claim while its thing is looked for and made. A call that fails is forgotten.

        Raises IdempotencyKeyReused where the key belongs to another request.
        """
        if claim is None:
            yield
            return
        name = (claim.owner, claim.key)
        entry = self._entries.setdefault(name, _Creation(claim.fingerprint))
        if entry.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused
        entry.users += 1
        made = False
        try:
            async with entry.turn:
                yield
            made = True
        finally:
            entry.users -= 1
            if not made and entry.users == 0 and self._entries.get(name) is entry:
                del self._entries[name]
            self._forget()

    def _forget(self) -> None:
        for name in [n for n, e in self._entries.items() if not e.users]:
            if len(self._entries) <= self._max_known:
                break
            del self._entries[name]
