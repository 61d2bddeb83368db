"""What every store does to a turn on its way in and out, so that all stores agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def clean(text: str) -> str:
    """Return `text` storable as UTF-8: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    A model's JSON may carry half an emoji; that must not lose the whole turn.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def checked_key(key: ConversationKey) -> ConversationKey:
    """Return `key`, or raise InvalidRequest where a part of it is no valid Unicode.

    Names are never repaired as texts are: two users could become one.
    """
    checked_name("user_id", key.user_id)
    checked_name("db_id", key.db_id)
    return key


def checked_name(field: str, name: str) -> str:
    """Return `name`, or raise InvalidRequest for `field` where it is no valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(field, "invalid_text") from None
    return name


def checked_status(status: str) -> TurnStatus:
    """Return `status` typed, or raise InvalidRequest."""
    if status not in get_args(TurnStatus):
        raise InvalidRequest("status", "invalid_choice", value=status)
    return cast("TurnStatus", status)


def checked_reason(reason: str | None) -> FinishReason | None:
    """Return why a model ended, typed, or raise InvalidRequest."""
    if reason not in (None, *get_args(FinishReason)):
        raise InvalidRequest("finish_reason", "invalid_choice", value=reason)
    return cast("FinishReason | None", reason)


def checked_answer(answer: TurnAnswer) -> TurnAnswer:
    """Return `answer` as the store will give it back; InvalidRequest for what no answer has."""
    return TurnAnswer(
        text=clean(answer.text),
        model=clean(answer.model),
        created_at=float(answer.created_at),
        status=checked_status(answer.status),
        finish_reason=checked_reason(answer.finish_reason),
        sources=tuple(Source(s.n, clean(s.title), clean(s.url)) for s in answer.sources),
        claim_ids=answer.claim_ids,
    )


def checked_choice(selected: int, answers: int) -> int:
    """Return `selected`, or raise InvalidRequest where a turn of `answers` answers lacks it."""
    if not 0 <= selected < answers:
        raise InvalidRequest("selected", "invalid_choice", value=selected, valid=f"0-{answers - 1}")
    return selected


def preview(first_input: str) -> str:
    return first_input[:PREVIEW_CHARS]


def stored_turn(index: int, turn: NewTurn) -> Turn:
    """Return `turn` as the store will give it back, at `index`."""
    answer = checked_answer(turn.answer)
    return Turn(
        index=index,
        turn_id=checked_name("turn_id", turn.turn_id),
        input=clean(turn.input),
        answers=(answer,),
        selected=0,
        created_at=answer.created_at,
        sent=None if turn.sent is None else clean(turn.sent),
        window_start=turn.window_start,
    )


def restored_turn(turn: Turn) -> Turn:
    """Return `turn`, from a backup, as the store will give it back."""
    return replace(
        turn,
        turn_id=checked_name("turn_id", turn.turn_id),
        input=clean(turn.input),
        answers=tuple(checked_answer(answer) for answer in turn.answers),
        selected=checked_choice(turn.selected, len(turn.answers)),
        created_at=float(turn.created_at),
        sent=None if turn.sent is None else clean(turn.sent),
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


def with_replaced(
    answers: Sequence[TurnAnswer], selected: int, answer: TurnAnswer
) -> tuple[tuple[TurnAnswer, ...], int]:
    """Return `answers` with `answer` in the place `selected`, and that place."""
    place = checked_choice(selected, len(answers))
    return (*answers[:place], answer, *answers[place + 1 :]), place


def answer_fields(answer: TurnAnswer) -> dict[str, Any]:
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


def answer_from(fields: Mapping[str, Any], turn_created_at: float) -> TurnAnswer:
    """Return the answer of `answer_fields`, also as earlier versions wrote it: they kept neither
    the end nor the sources nor a time of its own."""
    sources = fields.get("sources", ())
    return TurnAnswer(
        text=fields["text"],
        model=fields["model"],
        created_at=fields.get("created_at", turn_created_at),
        status=checked_status(fields["status"]),
        finish_reason=checked_reason(fields.get("finish_reason")),
        sources=tuple(Source(s["n"], s["title"], s["url"]) for s in sources),
        claim_ids=tuple(fields.get("marks", ())),
    )
