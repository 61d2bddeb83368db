"""A Chat on a real SQLite file and a scripted model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from chatbot_ai.core.answer import ChatEvent, Delta, Done
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.core.record import RequestRecord
from chatbot_ai.core.references import References
from chatbot_ai.core.statistics import Statistics
from chatbot_ai.domain.conversation import Assistant, ConversationKey, NewTurn, Turn
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.generation import Sampling
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.scripted_model import ScriptedModel

KEY = ConversationKey("office", "test_user", "test-uuid")


class GatedStore(SqliteConversationStore):
    """The real store, whose calls wait while their gate is closed and fail with what is scripted.

    `appending` counts the calls of `append` that have begun.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads, self.writes = asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.writes.set()
        self.read_error: BaseException | None = None
        self.write_error: BaseException | None = None
        self.appending = 0

    async def recent_turns(self, key: ConversationKey, limit: int) -> list[Turn]:
        await self.reads.wait()
        if self.read_error:
            raise self.read_error
        return await super().recent_turns(key, limit)

    async def append(self, key: ConversationKey, turn: NewTurn) -> Turn:
        self.appending += 1
        await self.writes.wait()
        if self.write_error:
            raise self.write_error
        return await super().append(key, turn)


@dataclass
class Records:
    """An observer that keeps what it is told."""

    ended_requests: list[RequestRecord] = field(default_factory=list)

    def observe(self, record: RequestRecord) -> None:
        self.ended_requests.append(record)

    @property
    def last(self) -> RequestRecord:
        return self.ended_requests[-1]


@dataclass
class Lab:
    """A chat and everything around it."""

    chat: Chat
    store: GatedStore
    model: ScriptedModel
    records: Records

    async def say(self, text: str, **changes: Any) -> Done:
        """Send a message and return how it ended."""
        events = await self.events(text, **changes)
        assert isinstance(events[-1], Done)
        return events[-1]

    async def events(self, text: str, **changes: Any) -> list[ChatEvent]:
        async with aclosing(self.answer(text, **changes)) as answering:
            return [event async for event in answering]

    def answer(
        self, text: str, alias: str = "Llama", **changes: Any
    ) -> AsyncGenerator[ChatEvent, None]:
        return self.chat.answer(alias, request(text, **changes))

    async def turns(self, key: ConversationKey = KEY) -> list[Turn]:
        return await self.store.turns(key, limit=1000)

    def prompt(self, number: int = -1) -> list[tuple[str, str]]:
        """Role and content of each message that the model was given."""
        return [(m.role, m.content) for m in self.model.requests[number].messages]


def request(text: str, **changes: object) -> ChatRequest:
    values: dict[str, object] = {
        "text": text,
        "caller": "test_user",
        "deadline": time.monotonic() + 30,
        "user_id": "test_user",
        "db_id": "test-uuid",
        "sampling": Sampling(seed=1, max_tokens=6),
    }
    return ChatRequest(**(values | changes))  # type: ignore[arg-type]


def lab(
    store: GatedStore,
    model: ScriptedModel,
    *,
    assistant: Assistant = "office",
    persona: Persona | None = None,
    with_time: bool = False,
    others: dict[str, tuple[ChatModel, Persona]] | None = None,
    references: References | None = None,
    **limits: int,
) -> Lab:
    records = Records()
    clock = SystemClock()
    told = persona or Persona(assistant, "도우미", "짧게 답합니다.")
    own = RequestQueue(
        clock=clock,
        **({"slots": 2, "max_waiting": 8} | limits),  # type: ignore[arg-type]
    )
    chat = Chat(
        assistant=assistant,
        models={"Llama": (model, told), **(others or {})},
        store=store,
        queue=own,
        remote_queue=RequestQueue(slots=2, max_waiting=8, clock=clock, beside=own),
        clock=clock,
        references=references or References(zone=ZoneInfo("Asia/Seoul"), with_time=with_time),
        statistics=Statistics(clock, records.observe),
        history_turns=200,
        answer_tokens=64,
    )
    return Lab(chat, store, model, records)


def shown(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))
