"""Where the contract's stores live, so that a test's child processes can open the same one."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from chatbot_ai.domain.conversation import ConversationKey, NewTurn
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.mongodb import MongoConversationStore
from chatbot_ai.storage.outbox import OutboxConversationStore
from chatbot_ai.storage.sqlite import SqliteConversationStore

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
        script = Path(__file__).with_name("appender.py")
        arguments = [json.dumps(asdict(self)), prefix, str(count), str(tasks)]
        return Popen([sys.executable, str(script), *arguments], stdout=PIPE, text=True)


def new_turn(turn_id: str, created_at: float = 1.0, **fields: object) -> NewTurn:
    values: dict[str, object] = {
        "input": f"질문 {turn_id}",
        "output": f"답 {turn_id}",
        "model": "m",
    }
    return NewTurn(turn_id=turn_id, created_at=created_at, **(values | fields))  # type: ignore[arg-type]
