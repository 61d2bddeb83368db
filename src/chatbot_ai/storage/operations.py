"""What is done to a conversation, as a value that can wait for its database in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnAnswer
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.records import answer_fields, answer_from, with_answer, with_replaced


@dataclass(frozen=True, slots=True)
class Appended:
    """A new turn."""

    turn: NewTurn


@dataclass(frozen=True, slots=True)
class Edited:
    """A new turn in the place of turn `first` and all behind it."""

    first: int
    turn: NewTurn


@dataclass(frozen=True, slots=True)
class AnsweredAgain:
    """A further answer to the turn `turn_id` at `index`."""

    index: int
    turn_id: str
    answer: TurnAnswer


@dataclass(frozen=True, slots=True)
class Continued:
    """The answer `selected` of the turn `turn_id` at `index`, gone on with."""

    index: int
    turn_id: str
    selected: int
    answer: TurnAnswer


Operation = Appended | Edited | AnsweredAgain | Continued


async def perform(store: ConversationStore, key: ConversationKey, operation: Operation) -> Turn:
    """Do it. Doing it once more, after a lost reply, changes nothing."""
    match operation:
        case Appended(turn):
            return await store.append(key, turn)
        case Edited(first, turn):
            return await store.replace_from(key, first, turn)
        case AnsweredAgain(index, turn_id, answer):
            return await store.add_answer(key, _named(index, turn_id), answer)
        case Continued(index, turn_id, selected, answer):
            return await store.replace_answer(key, _named(index, turn_id, selected), answer)


def index_after(operations: Sequence[Operation], start: int) -> int:
    """The index behind a conversation that counts up to `start` now, once they are done."""
    for operation in operations:
        if isinstance(operation, Appended):
            start += 1
        elif isinstance(operation, Edited):
            start = operation.first + 1
    return start


def name_of(operation: Operation) -> str:
    """What tells an operation from others of its conversation: a turn waits once."""
    match operation:
        case Appended(turn):
            return turn.turn_id
        case Edited(first, turn):
            return f"edit {first} {turn.turn_id} {turn.answer.created_at!r}"
        case AnsweredAgain(_, turn_id, answer):
            return f"again {turn_id} {answer.created_at!r}"
        case Continued(_, turn_id, _, answer):
            return f"on {turn_id} {answer.created_at!r}"


def answered(turn: Turn, operation: AnsweredAgain | Continued) -> Turn:
    """The turn as it will be."""
    if isinstance(operation, AnsweredAgain):
        answers, selected = with_answer(turn.answers, operation.answer)
    else:
        answers, selected = with_replaced(turn.answers, operation.selected, operation.answer)
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


def fields_of(operation: Operation) -> dict[str, Any]:
    """Return an operation as JSON; a new turn looks as it did when only those could wait."""
    match operation:
        case Appended(turn):
            return _turn_fields(turn)
        case Edited(first, turn):
            return {"first": first, **_turn_fields(turn)}
        case AnsweredAgain(index, turn_id, answer):
            return {"index": index, "turn_id": turn_id, "again": answer_fields(answer)}
        case Continued(index, turn_id, selected, answer):
            fields = {"index": index, "turn_id": turn_id, "selected": selected}
            return {**fields, "on": answer_fields(answer)}


def operation_of(fields: dict[str, Any]) -> Operation:
    """Return the operation of `fields_of`, also as an earlier version left it."""
    for name in ("again", "on"):
        if name in fields:
            answer = answer_from(fields[name], fields[name]["created_at"])
            index, turn_id = fields["index"], fields["turn_id"]
            if name == "again":
                return AnsweredAgain(index, turn_id, answer)
            return Continued(index, turn_id, fields["selected"], answer)
    turn = _turn(fields)
    return Edited(fields["first"], turn) if "first" in fields else Appended(turn)


def _named(index: int, turn_id: str, selected: int = 0) -> Turn:
    """A turn as far as a store looks at it to find its own."""
    return Turn(index, turn_id, "", (), selected, 0.0)


def _turn_fields(turn: NewTurn) -> dict[str, Any]:
    return {
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answer": answer_fields(turn.answer),
        "sent": turn.sent,
        "window_start": turn.window_start,
    }


def _turn(fields: dict[str, Any]) -> NewTurn:
    """Return a new turn, also as an earlier version left it: with the answer's fields flat."""
    answer = fields.get("answer")
    if answer is None:
        answer = {name: fields[name] for name in ("model", "status", "created_at")}
        answer["text"] = fields["output"]
    return NewTurn(
        turn_id=fields["turn_id"],
        input=fields["input"],
        answer=answer_from(answer, answer["created_at"]),
        sent=fields["sent"],
        window_start=fields["window_start"],
    )
