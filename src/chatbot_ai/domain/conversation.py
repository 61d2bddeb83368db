"""Conversations: who speaks, what was said, and how it is named. Pure values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from chatbot_ai.domain.grounding import Source
from chatbot_ai.domain.limits import DB_ID_CHARS

Role = Literal["system", "user", "assistant"]
Assistant = Literal["office", "character"]
TurnStatus = Literal["complete", "interrupted"]
#: stop: the model ended by itself; length: it was cut at the limit of tokens.
FinishReason = Literal["stop", "length"]

ASSISTANTS: tuple[Assistant, ...] = ("office", "character")

#: A conversation's id as callers send it: a UUID or a short slug. Source: the API contract.
DB_ID_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{DB_ID_CHARS - 1}}}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt, as a chat template takes it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """What names one conversation. Two users with the same `db_id` have two conversations."""

    assistant: Assistant
    user_id: str
    db_id: str


@dataclass(frozen=True, slots=True)
class TurnAnswer:
    """One answer of a turn; each keeps what is true of it alone.

    text           what the model answered (for `interrupted`: as far as it came)
    created_at     Unix seconds
    finish_reason  why the model ended; None where it did not, or nobody recorded it
    sources        the pages that it may rest on
    claim_ids      of idempotent calls that made it, or a part of it: see core/idempotency.py
    """

    text: str
    model: str
    created_at: float
    status: TurnStatus = "complete"
    finish_reason: FinishReason | None = None
    sources: tuple[Source, ...] = ()
    claim_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn that was answered and is about to be stored.

    turn_id      unique per answered request; storing the same `turn_id` twice stores one turn
    input        what the user wrote
    answer       what the model answered; its time is the turn's
    sent         the user message exactly as the model saw it, if it differs from `input`
                 (references and time stand beside it); the next prompt repeats it, so that the
                 engine's prefix cache stays valid
    window_start index of the oldest turn that was in this turn's prompt
    """

    turn_id: str
    input: str
    answer: TurnAnswer
    sent: str | None = None
    window_start: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A stored turn. `index` counts from 0 within its conversation, without gaps.

    answers     every answer this turn was given, oldest first; more than one after a regeneration
    selected    which of `answers` counts
    created_at  time of the turn, in Unix seconds; a later answer has its own
    """

    index: int
    turn_id: str
    input: str
    answers: tuple[TurnAnswer, ...]
    selected: int
    created_at: float
    sent: str | None = None
    window_start: int = 0

    @property
    def answer(self) -> TurnAnswer:
        return self.answers[self.selected]

    @property
    def output(self) -> str:
        return self.answer.text

    @property
    def sources(self) -> tuple[Source, ...]:
        """The pages that stand in `sent`: all answers were given to the same prompt."""
        return next((answer.sources for answer in self.answers if answer.sources), ())


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """One line of a list of conversations. `title` is None until somebody names it.

    `preview` is the first input, cut to 80 characters; `turns` is the number of turns;
    `updated_at` is the newest turn's time in Unix seconds.
    """

    key: ConversationKey
    title: str | None
    preview: str
    turns: int
    updated_at: float
