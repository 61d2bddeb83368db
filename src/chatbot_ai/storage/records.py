"""What every store does to a turn on its way in and out, so that all stores agree."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from chatbot_ai.domain.conversation import (
    ConversationKey,
    FinishReason,
    NewTurn,
    Turn,
    TurnAnswer,
    TurnStatus,
)
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.grounding import Source

#: Characters of the first input that a list of conversations shows. Source: ConversationSummary.
PREVIEW_CHARS = 80
#: What a turn or a character takes besides its texts and files: its row, its entries in indexes,
#: its share of its conversation's line.
ENTRY_BYTES = 512


def repair_surrogates(text: str) -> str:
    """Return `text` storable as UTF-8: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    A model's JSON may carry half an emoji; that must not lose the whole turn.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def validate_key(key: ConversationKey) -> ConversationKey:
    """Return `key`, or raise InvalidRequest where a part of it is no valid Unicode.

    Names are never repaired as texts are: two users could become one.
    """
    validate_name("user_id", key.user_id)
    validate_name("db_id", key.db_id)
    return key


def validate_name(field: str, name: str) -> str:
    """Return `name`, or raise InvalidRequest for `field` where it is no valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(field, "invalid_text") from None
    return name


def validate_status(status: str) -> TurnStatus:
    """Return `status` typed, or raise InvalidRequest."""
    if status not in get_args(TurnStatus):
        raise InvalidRequest("status", "invalid_choice", value=status)
    return cast("TurnStatus", status)


def validate_reason(reason: str | None) -> FinishReason | None:
    """Return why a model ended, typed, or raise InvalidRequest."""
    if reason not in (None, *get_args(FinishReason)):
        raise InvalidRequest("finish_reason", "invalid_choice", value=reason)
    return cast("FinishReason | None", reason)


def normalize_answer(answer: TurnAnswer) -> TurnAnswer:
    """Return `answer` as the store will give it back; InvalidRequest for what no answer has."""
    return TurnAnswer(
        text=repair_surrogates(answer.text),
        model=repair_surrogates(answer.model),
        created_at=float(answer.created_at),
        status=validate_status(answer.status),
        finish_reason=validate_reason(answer.finish_reason),
        sources=tuple(
            Source(s.n, repair_surrogates(s.title), repair_surrogates(s.url))
            for s in answer.sources
        ),
        claim_ids=answer.claim_ids,
    )


def validate_choice(selected: int, answers: int) -> int:
    """Return `selected`, or raise InvalidRequest where a turn of `answers` answers lacks it."""
    if not 0 <= selected < answers:
        raise InvalidRequest("selected", "invalid_choice", value=selected, valid=f"0-{answers - 1}")
    return selected


def build_preview(first_input: str) -> str:
    return first_input[:PREVIEW_CHARS]


def build_turn(index: int, turn: NewTurn) -> Turn:
    """Return `turn` as the store will give it back, at `index`."""
    answer = normalize_answer(turn.answer)
    return Turn(
        index=index,
        turn_id=validate_name("turn_id", turn.turn_id),
        input=repair_surrogates(turn.input),
        answers=(answer,),
        selected=0,
        created_at=answer.created_at,
        sent=None if turn.sent is None else repair_surrogates(turn.sent),
        window_start=turn.window_start,
    )


def normalize_turn(turn: Turn) -> Turn:
    """Return `turn`, from a backup, as the store will give it back."""
    return replace(
        turn,
        turn_id=validate_name("turn_id", turn.turn_id),
        input=repair_surrogates(turn.input),
        answers=tuple(normalize_answer(answer) for answer in turn.answers),
        selected=validate_choice(turn.selected, len(turn.answers)),
        created_at=float(turn.created_at),
        sent=None if turn.sent is None else repair_surrogates(turn.sent),
    )


def is_same_turn(stored: Turn, new: Turn) -> bool:
    """Whether `stored` is what became of `new`; it may have been answered again since."""
    return (stored.turn_id, stored.input, stored.answers[0]) == (
        new.turn_id,
        new.input,
        new.answers[0],
    )


def with_answer(
    answers: Sequence[TurnAnswer], answer: TurnAnswer
) -> tuple[tuple[TurnAnswer, ...], int]:
    """Return `answers` with `answer`, added unless it is there already, and where it is."""
    known = tuple(answers)
    if answer in known:
        return known, known.index(answer)
    return (*known, answer), len(known)


def with_answer_replaced(
    answers: Sequence[TurnAnswer], selected: int, answer: TurnAnswer
) -> tuple[tuple[TurnAnswer, ...], int]:
    """Return `answers` with `answer` in the place `selected`, and that place."""
    place = validate_choice(selected, len(answers))
    return (*answers[:place], answer, *answers[place + 1 :]), place


def answer_to_dict(answer: TurnAnswer) -> dict[str, Any]:
    """Return `answer` as JSON has it, in stores and backups."""
    return {
        "text": answer.text,
        "model": answer.model,
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "sources": [{"n": s.n, "title": s.title, "url": s.url} for s in answer.sources],
        "created_at": answer.created_at,
        **({"marks": list(answer.claim_ids)} if answer.claim_ids else {}),
    }


def answer_from_dict(fields: Mapping[str, Any], turn_created_at: float) -> TurnAnswer:
    """Return the answer of `answer_to_dict`, also as earlier versions wrote it: they kept neither
    the end nor the sources nor a time of its own."""
    sources = fields.get("sources", ())
    return TurnAnswer(
        text=fields["text"],
        model=fields["model"],
        created_at=fields.get("created_at", turn_created_at),
        status=validate_status(fields["status"]),
        finish_reason=validate_reason(fields.get("finish_reason")),
        sources=tuple(Source(s["n"], s["title"], s["url"]) for s in sources),
        claim_ids=tuple(fields.get("marks", ())),
    )


def encode_answers(answers: Sequence[TurnAnswer]) -> str:
    return json.dumps([answer_to_dict(answer) for answer in answers], ensure_ascii=False)


def count_turn_bytes(turn: Mapping[str, Any]) -> int:
    """Return what a turn takes as stored (rule S17): its texts in UTF-8, and its entries. Its
    answers are those of `answer_to_dict`."""
    answers = json.dumps(turn["answers"], ensure_ascii=False)
    texts = (turn["turn_id"], turn["input"], turn["sent"] or "", answers)
    return ENTRY_BYTES + sum(len(text.encode()) for text in texts)


Answers = tuple[TurnAnswer, ...]


class ChangesAnswers(ABC):
    """Rule S9 of ConversationStore, for a store that can change a turn's answers in one step."""

    @abstractmethod
    async def _change(
        self,
        key: ConversationKey,
        index: int,
        change: Callable[[Answers], tuple[Answers, int]],
        turn_id: str | None = None,
    ) -> Turn:
        """Write the answers and the choice that `change` makes of the stored answers.

        Raises NotFound where there is no turn `index`, or it has not the id `turn_id`.
        """

    async def add_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        new = normalize_answer(answer)
        return await self._change(
            key, turn.index, lambda answers: with_answer(answers, new), turn.turn_id
        )

    async def replace_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        new = normalize_answer(answer)
        return await self._change(
            key,
            turn.index,
            lambda answers: with_answer_replaced(answers, turn.selected, new),
            turn.turn_id,
        )

    async def select_output(self, key: ConversationKey, index: int, selected: int) -> Turn:
        return await self._change(
            key, index, lambda answers: (answers, validate_choice(selected, len(answers)))
        )
