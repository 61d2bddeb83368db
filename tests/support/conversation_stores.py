"""Where the contract's stores live, so that a test's child processes can open the same one."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnAnswer
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.mongodb_conversations import MongoConversationStore
from chatbot_ai.storage.outbox import OutboxConversationStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

KEY = ConversationKey("office", "test_user", "test-uuid")


@dataclass(frozen=True, slots=True)
class Address:
    """A store's kind and place; every `store()` of one address sees the same conversations."""

    kind: str
    place: str
    name: str = ""

    def store(self) -> ConversationStore:
        if self.kind == "mongodb":
            return MongoConversationStore(self.place, self.name, timeout_s=60)
        sqlite = SqliteConversationStore(Path(self.place), busy_timeout_s=30)
        if self.kind == "outbox":
            waiting = Path(self.place).with_name(f"outbox-{os.getpid()}.db")
            return OutboxConversationStore(sqlite, waiting)
        return sqlite

    def start_appender(self, prefix: str, count: int, tasks: int = 1) -> Popen[str]:
        """Start a process that appends turns to KEY and prints each turn_id once it is stored."""
        script = Path(__file__).with_name("store_appender.py")
        arguments = [json.dumps(asdict(self)), prefix, str(count), str(tasks)]
        return Popen([sys.executable, str(script), *arguments], stdout=PIPE, text=True)


def new_turn(turn_id: str, created_at: float = 1.0, **fields: object) -> NewTurn:
    """A turn to be stored; `fields` are those of NewTurn and of its answer."""
    answer: dict[str, object] = {"text": f"답 {turn_id}", "model": "m", "created_at": created_at}
    rest: dict[str, object] = {"input": f"질문 {turn_id}"}
    for name, value in fields.items():
        chosen = rest if name in ("input", "sent", "window_start") else answer
        chosen[name] = value
    return NewTurn(turn_id=turn_id, answer=TurnAnswer(**answer), **rest)  # type: ignore[arg-type]


def build_turn(
    index: int, turn_id: str, text: str = "i", outputs: tuple[str, ...] = ("o",), **fields: object
) -> Turn:
    """A turn as a store gives it back; its answers differ in their texts only. `fields` are those
    of Turn and of its answers."""
    answer: dict[str, object] = {"model": "m", "created_at": fields.get("created_at", 1.0)}
    turn: dict[str, object] = {"selected": 0, "created_at": answer["created_at"]}
    for name, value in fields.items():
        if name in ("model", "status", "finish_reason", "sources"):
            answer[name] = value
        else:
            turn[name] = value
    answers = tuple(TurnAnswer(output, **answer) for output in outputs)  # type: ignore[arg-type]
    return Turn(index, turn_id, text, answers, **turn)  # type: ignore[arg-type]
