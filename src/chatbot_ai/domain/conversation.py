"""Conversations: who speaks, what was said, and how it is named. Pure values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
Assistant = Literal["office", "character"]
TurnStatus = Literal["complete", "interrupted"]

ASSISTANTS: tuple[Assistant, ...] = ("office", "character")

#: A conversation's id as callers send it: a UUID or a short slug. Source: the API contract.
DB_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


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
class NewTurn:
    """A turn that was answered and is about to be stored.

    turn_id      unique per answered request; storing the same `turn_id` twice stores one turn
    input        what the user wrote
    output       what the model answered (for `interrupted`: as far as it came)
    sent         the user message exactly as the model saw it, if it differs from `input`
                 (references and time stand beside it); the next prompt repeats it, so that the
                 engine's prefix cache stays valid
    window_start index of the oldest turn that was in this turn's prompt
    created_at   Unix seconds
    """

    turn_id: str
    input: str
    output: str
    model: str
    created_at: float
    status: TurnStatus = "complete"
    sent: str | None = None
    window_start: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A stored turn. `index` counts from 0 within its conversation, without gaps.

    outputs   every answer this turn was given, oldest first; more than one after a regeneration
    selected  which of `outputs` counts as the answer
    """

    index: int
    turn_id: str
    input: str
    outputs: tuple[str, ...]
    selected: int
    model: str
    created_at: float
    status: TurnStatus = "complete"
    sent: str | None = None
    window_start: int = 0

    @property
    def output(self) -> str:
        return self.outputs[self.selected]


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
