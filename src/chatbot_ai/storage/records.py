"""What every store does to a turn on its way in and out, so that all stores agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnStatus
from chatbot_ai.domain.errors import InvalidRequest

#: Characters of the first input that a list of conversations shows. Source: ConversationSummary.
PREVIEW_CHARS = 80


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a turn. Each keeps its model and status, so that selecting it again restores
    both."""

    text: str
    model: str
    status: TurnStatus


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


def checked_choice(selected: int, answers: int) -> int:
    """Return `selected`, or raise InvalidRequest where a turn of `answers` answers lacks it."""
    if not 0 <= selected < answers:
        raise InvalidRequest("selected", "invalid_choice", value=selected, valid=f"0-{answers - 1}")
    return selected


def preview(first_input: str) -> str:
    return first_input[:PREVIEW_CHARS]


def stored_turn(index: int, turn: NewTurn) -> Turn:
    """Return `turn` as the store will give it back, at `index`."""
    return Turn(
        index=index,
        turn_id=checked_name("turn_id", turn.turn_id),
        input=clean(turn.input),
        outputs=(clean(turn.output),),
        selected=0,
        model=clean(turn.model),
        created_at=turn.created_at,
        status=checked_status(turn.status),
        sent=None if turn.sent is None else clean(turn.sent),
        window_start=turn.window_start,
    )


def restored_turn(turn: Turn) -> Turn:
    """Return `turn`, from a backup, as the store will give it back."""
    return Turn(
        index=turn.index,
        turn_id=checked_name("turn_id", turn.turn_id),
        input=clean(turn.input),
        outputs=tuple(clean(output) for output in turn.outputs),
        selected=checked_choice(turn.selected, len(turn.outputs)),
        model=clean(turn.model),
        created_at=turn.created_at,
        status=checked_status(turn.status),
        sent=None if turn.sent is None else clean(turn.sent),
        window_start=turn.window_start,
    )


def answers_of(turn: Turn) -> list[Answer]:
    """Return the answers of a turn that knows only its selected answer's model and status."""
    return [Answer(output, turn.model, turn.status) for output in turn.outputs]
