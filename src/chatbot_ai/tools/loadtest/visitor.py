"""One simulated person: what is asked next, and how refusals are borne."""

from __future__ import annotations

import random
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.tools.loadtest.client import Reply
from chatbot_ai.tools.loadtest.record import COLUMNS, Mode, Record

with Path(__file__).with_name("people.toml").open("rb") as _file:
    _PEOPLE = tomllib.load(_file)
OFFICE_QUESTIONS: Sequence[str] = _PEOPLE["questions"]
SCENES: Sequence[Mapping[str, Any]] = _PEOPLE["scenes"]
#: An office worker begins a new conversation after this many questions.
_OFFICE_QUESTIONS_PER_CONVERSATION = 5
#: Added to Retry-After at most, as a share of it, so that refused people do not return in step.
_RETRY_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: where, and the request's body. `character` is "" for the office."""

    endpoint: str
    body: Mapping[str, object]
    character: str = ""


class Asker(Protocol):
    """Whatever sends one request and fills the reply; `ChatClient` does."""

    def ask(self, endpoint: str, body: Mapping[str, object], mode: Mode, reply: Reply) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How far a person goes along with refusals.

    max_retries       repetitions of one question
    max_wait_s        a longer Retry-After is not waited for
    default_wait_s    waited where a refusal names no time
    """

    max_retries: int = 3
    max_wait_s: float = 120.0
    default_wait_s: float = 5.0


def office_questions(user: str, chance: random.Random) -> Iterator[Question]:
    """Work questions in this person's own order, without end."""
    while True:
        order = chance.sample(OFFICE_QUESTIONS, len(OFFICE_QUESTIONS))
        for index, text in enumerate(order):
            if index % _OFFICE_QUESTIONS_PER_CONVERSATION == 0:
                db_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            yield Question("/office/Llama", {"input_data": text, "user_id": user, "db_id": db_id})


def character_questions(user: str, number: int, chance: random.Random) -> Iterator[Question]:
    """Whole conversations with one character after the other, without end.

    Person `number` (from 0) begins with scene `number`, so that every scene is played early.
    """
    while True:
        scene = SCENES[number % len(SCENES)]
        db_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        for line in scene["lines"]:
            body = {
                "input_data": line,
                "character_name": scene["name"],
                "greeting": scene["greeting"],
                "context": scene["context"],
                "user_id": user,
                "db_id": db_id,
            }
            yield Question("/character/Llama", body, scene["name"])
        number += 1


class Visitor:
    """Asks question after question and records every request.

    stream_share  probability of asking for a stream, 0 to 1
    sink          receives one `Record` for each request, whatever became of it; none for a request
                  that the end of the test stopped before it went out
    sleep         waits that many seconds; returns False when the test is over
    """

    def __init__(
        self,
        *,
        assistant: Assistant,
        number: int,
        run_id: str,
        client: Asker,
        chance: random.Random,
        sink: Callable[[Record, Reply], None],
        sleep: Callable[[float], bool],
        clock: Callable[[], float],
        count_users: Callable[[], int],
        stream_share: float = 0.5,
        patience: Patience | None = None,
        label: str = "",
    ) -> None:
        self.user = f"load-{run_id}-{number}"
        self._questions = (
            office_questions(self.user, chance)
            if assistant == "office"
            else character_questions(self.user, number, chance)
        )
        self._client, self._chance, self._sink = client, chance, sink
        self._sleep, self._clock, self._count_users = sleep, clock, count_users
        self._stream_share, self._label = stream_share, label
        self._patience = patience or Patience()
        self._asked = 0

    def ask_next(self) -> Reply:
        """Asks the next question until it is answered, fails or patience ends."""
        question = next(self._questions)
        mode: Mode = "stream" if self._chance.random() < self._stream_share else "json"
        self._asked += 1
        begun = self._clock()
        retries = 0
        while True:
            reply, wait_s = self._send(question, mode, retries, begun)
            if wait_s is None or not self._sleep(wait_s):
                return reply
            retries += 1

    def _send(
        self, question: Question, mode: Mode, retries: int, begun: float
    ) -> tuple[Reply, float | None]:
        """Sends once and records it; returns the wait before a repetition, None without one."""
        reply = Reply()
        sent = self._clock()
        moment, users = datetime.now().astimezone(), self._count_users()
        wait_s: float | None = None
        try:
            self._client.ask(question.endpoint, question.body, mode, reply)
            wait_s = self._wait_before_retry_s(reply, retries)
        finally:  # also when the test's end stops this greenlet in the middle of a request
            now = self._clock()
            seen = {name: value for name, value in asdict(reply).items() if name in COLUMNS}
            record = Record(
                time=moment,
                user=self.user,
                endpoint=question.endpoint,
                mode=mode,
                retries=retries,
                users=users,
                question=str(self._asked),
                is_final=wait_s is None,
                elapsed_s=now - begun,
                character=question.character,
                label=self._label,
                **seen | {"total_s": reply.total_s or now - sent},
            )
            if reply.request_bytes or reply.outcome != "abandoned":
                self._sink(record, reply)
        return reply, wait_s

    def _wait_before_retry_s(self, reply: Reply, retries: int) -> float | None:
        patience = self._patience
        if reply.outcome != "refused" or retries >= patience.max_retries:
            return None
        asked = reply.retry_after_s
        wait_s = patience.default_wait_s if asked is None else asked
        if wait_s > patience.max_wait_s:
            return None
        return wait_s * (1 + _RETRY_SPREAD * self._chance.random())
