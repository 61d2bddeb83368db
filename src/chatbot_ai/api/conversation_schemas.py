"""Bodies and answers of the conversation routes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from chatbot_ai.api.schemas import DB_ID_PATTERN, CharacterFields, DbId, InputText, Text
from chatbot_ai.domain import limits
from chatbot_ai.domain.conversation import (
    ConversationSummary,
    FinishReason,
    Turn,
    TurnAnswer,
    TurnStatus,
)

#: Turn numbers fit every store's integers.
MAX_INDEX = 2**31 - 1

DbIdPath = Annotated[
    str,
    Path(
        pattern=DB_ID_PATTERN,
        description="Conversation: a UUID or a slug of up to 64 letters, digits, - and _.",
        examples=["2f1c0a52-7d0e-4c6f-9b57-3d0a1b1f6a10"],
    ),
]
Index = Annotated[int, Path(ge=0, le=MAX_INDEX, description="Number of the turn, from 0.")]
TurnNumber = Annotated[StrictInt, Field(ge=0, le=MAX_INDEX)]
ModelAlias = Annotated[
    str,
    Field(
        "Llama",
        min_length=1,
        max_length=limits.MODEL_ALIAS_CHARS,
        description="Alias of the model to answer.",
    ),
]


class Conversation(BaseModel):
    """One conversation of a user, without its turns."""

    db_id: str
    title: str | None = Field(description="null until somebody names it.")
    preview: str = Field(description="The first input, cut to 80 characters.")
    turns: int = Field(description="How many turns it has.")
    updated_at: float = Field(description="Time of the newest turn, in Unix seconds.")

    @classmethod
    def of(cls, found: ConversationSummary) -> Conversation:
        return cls(
            db_id=found.key.db_id,
            title=found.title,
            preview=found.preview,
            turns=found.turns,
            updated_at=found.updated_at,
        )


class ConversationPage(BaseModel):
    """Conversations, newest first."""

    conversations: list[Conversation]
    next_before: float | None = Field(
        description="`before` of the next page; null where there is none."
    )


class StoredSource(BaseModel):
    """A page that an answer may rest on; `[n]` in the text refers to it."""

    n: int
    title: str
    url: str


class StoredAnswer(BaseModel):
    """One answer of a turn."""

    text: str
    status: TurnStatus = Field(description="`interrupted`: the answer stopped half-way.")
    finish_reason: FinishReason | None = Field(
        description="`length`: cut at the limit of tokens; null: interrupted, or from a version "
        "that did not record it."
    )
    model: str
    sources: list[StoredSource]
    created_at: float = Field(description="Unix seconds.")

    @classmethod
    def of(cls, answer: TurnAnswer) -> StoredAnswer:
        return cls.model_validate(asdict(answer))


class StoredTurn(BaseModel):
    """One turn: what was said and every answer it was given."""

    index: int
    input: str
    output: str = Field(description="The selected one of `outputs`.")
    outputs: list[str] = Field(description="The texts of `alternatives`.")
    selected: int
    status: TurnStatus = Field(description="The selected answer's, as `model` is.")
    model: str
    created_at: float = Field(description="Unix seconds.")
    alternatives: list[StoredAnswer] = Field(description="All answers, oldest first.")

    @classmethod
    def of(cls, turn: Turn) -> StoredTurn:
        return cls(
            index=turn.index,
            input=turn.input,
            output=turn.output,
            outputs=[answer.text for answer in turn.answers],
            selected=turn.selected,
            status=turn.answer.status,
            model=turn.answer.model,
            created_at=turn.created_at,
            alternatives=[StoredAnswer.of(answer) for answer in turn.answers],
        )


class TurnPage(BaseModel):
    """Turns, oldest first."""

    turns: list[StoredTurn]
    next_first: int | None = Field(description="`first` of the next page; null at the end.")


class Deleted(BaseModel):
    """How much was deleted."""

    deleted_turns: int


class Naming(BaseModel):
    """A conversation's new title; null takes it away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "여행 계획"}]})

    title: Annotated[Text, Field(max_length=limits.TITLE_CHARS)] | None


class Selection(BaseModel):
    """Which of a turn's answers counts."""

    selected: TurnNumber


class Branching(BaseModel):
    """Where the copy ends, and what it is called."""

    turn: TurnNumber = Field(description="The last turn that is copied.")
    db_id: DbId = None


class Again(BaseModel):
    """The last answer once more, or onwards."""

    model: ModelAlias = "Llama"


class CharacterAgain(Again, CharacterFields):
    """The same, played by a character."""


class OfficeEdit(Again):
    """A turn's new wording."""

    input_data: InputText
    google_access: StrictBool = Field(False, description="Ground the answer in a web search.")


class CharacterEdit(Again, CharacterFields):
    """A line's new wording."""

    input_data: InputText
