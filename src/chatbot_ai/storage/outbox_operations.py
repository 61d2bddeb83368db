"""What is done to a conversation, as a value that can wait for its database in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnAnswer
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.records import (
    answer_from_dict,
    answer_to_dict,
    with_answer,
    with_answer_replaced,
)


@dataclass(frozen=True, slots=True)
class AppendTurn:
    """A new turn."""

    turn: NewTurn


@dataclass(frozen=True, slots=True)
class ReplaceTurns:
    """A new turn in the place of turn `first` and all behind it."""

    first: int
    turn: NewTurn


@dataclass(frozen=True, slots=True)
class AddAnswer:
    """A further answer to the turn `turn_id` at `index`."""

    index: int
    turn_id: str
    answer: TurnAnswer


@dataclass(frozen=True, slots=True)
class ContinueAnswer:
    """The answer `selected` of the turn `turn_id` at `index`, gone on with."""

    index: int
    turn_id: str
    selected: int
    answer: TurnAnswer


Operation = AppendTurn | ReplaceTurns | AddAnswer | ContinueAnswer


async def perform(store: ConversationStore, key: ConversationKey, operation: Operation) -> Turn:
    """Do it. Doing it once more, after a lost reply, changes nothing."""
    match operation:
        case AppendTurn(turn):
            return await store.append(key, turn)
        case ReplaceTurns(first, turn):
            return await store.replace_from(key, first, turn)
        case AddAnswer(index, turn_id, answer):
            return await store.add_answer(key, _refer_to_turn(index, turn_id), answer)
        case ContinueAnswer(index, turn_id, selected, answer):
            return await store.replace_answer(key, _refer_to_turn(index, turn_id, selected), answer)


def index_after(operations: Sequence[Operation], start: int) -> int:
    """The index behind a conversation that counts up to `start` now, once they are done."""
    for operation in operations:
        if isinstance(operation, AppendTurn):
            start += 1
        elif isinstance(operation, ReplaceTurns):
            start = operation.first + 1
    return start


def name_operation(operation: Operation) -> str:
    """What tells an operation from others of its conversation: a turn waits once."""
    match operation:
        case AppendTurn(turn):
            return turn.turn_id
        case ReplaceTurns(first, turn):
            return f"edit {first} {turn.turn_id} {turn.answer.created_at!r}"
        case AddAnswer(_, turn_id, answer):
            return f"again {turn_id} {answer.created_at!r}"
        case ContinueAnswer(_, turn_id, _, answer):
            return f"on {turn_id} {answer.created_at!r}"


def apply_answer(turn: Turn, operation: AddAnswer | ContinueAnswer) -> Turn:
    """The turn as it will be."""
    if isinstance(operation, AddAnswer):
        answers, selected = with_answer(turn.answers, operation.answer)
    else:
        answers, selected = with_answer_replaced(turn.answers, operation.selected, operation.answer)
    return Turn(
        index=turn.index,
        turn_id=turn.turn_id,
        input=turn.input,
        answers=answers,
        selected=selected,
        created_at=turn.created_at,
        sent=turn.sent,
        window_start=turn.window_start,
    )


def operation_to_dict(operation: Operation) -> dict[str, Any]:
    """Return an operation as JSON; a new turn looks as it did when only those could wait."""
    match operation:
        case AppendTurn(turn):
            return _new_turn_to_dict(turn)
        case ReplaceTurns(first, turn):
            return {"first": first, **_new_turn_to_dict(turn)}
        case AddAnswer(index, turn_id, answer):
            return {"index": index, "turn_id": turn_id, "again": answer_to_dict(answer)}
        case ContinueAnswer(index, turn_id, selected, answer):
            fields = {"index": index, "turn_id": turn_id, "selected": selected}
            return {**fields, "on": answer_to_dict(answer)}


def operation_from_dict(fields: dict[str, Any]) -> Operation:
    """Return the operation of `operation_to_dict`, also as an earlier version left it."""
    for name in ("again", "on"):
        if name in fields:
            answer = answer_from_dict(fields[name], fields[name]["created_at"])
            index, turn_id = fields["index"], fields["turn_id"]
            if name == "again":
                return AddAnswer(index, turn_id, answer)
            return ContinueAnswer(index, turn_id, fields["selected"], answer)
    turn = _new_turn_from_dict(fields)
    return ReplaceTurns(fields["first"], turn) if "first" in fields else AppendTurn(turn)


def _refer_to_turn(index: int, turn_id: str, selected: int = 0) -> Turn:
    """A turn as far as a store looks at it to find its own."""
    return Turn(index, turn_id, "", (), selected, 0.0)


def _new_turn_to_dict(turn: NewTurn) -> dict[str, Any]:
    return {
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answer": answer_to_dict(turn.answer),
        "sent": turn.sent,
        "window_start": turn.window_start,
    }


def _new_turn_from_dict(fields: dict[str, Any]) -> NewTurn:
    """Return a new turn, also as an earlier version left it: with the answer's fields flat."""
    answer = fields.get("answer")
    if answer is None:
        answer = {name: fields[name] for name in ("model", "status", "created_at")}
        answer["text"] = fields["output"]
    return NewTurn(
        turn_id=fields["turn_id"],
        input=fields["input"],
        answer=answer_from_dict(answer, answer["created_at"]),
        sent=fields["sent"],
        window_start=fields["window_start"],
    )
