"""Turns and conversations as MongoDB documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, ConversationSummary, Turn
from chatbot_ai.storage.records import Answer, checked_status

Document = dict[str, Any]


def identity(key: ConversationKey) -> Document:
    """Return the filter that names a conversation."""
    return {"assistant": key.assistant, "user_id": key.user_id, "db_id": key.db_id}


def key_of(document: Document) -> ConversationKey:
    return ConversationKey(document["assistant"], document["user_id"], document["db_id"])


def document_of(key: ConversationKey, turn: Turn, answers: Sequence[Answer]) -> Document:
    return {
        **identity(key),
        "index": turn.index,
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answers": [answer_document(answer) for answer in answers],
        "selected": turn.selected,
        "sent": turn.sent,
        "window_start": turn.window_start,
        "created_at": float(turn.created_at),
    }


def answer_document(answer: Answer) -> Document:
    return {"text": answer.text, "model": answer.model, "status": answer.status}


def turn_of(document: Document) -> Turn:
    answers, selected = document["answers"], document["selected"]
    return Turn(
        index=document["index"],
        turn_id=document["turn_id"],
        input=document["input"],
        outputs=tuple(answer["text"] for answer in answers),
        selected=selected,
        model=answers[selected]["model"],
        created_at=document["created_at"],
        status=checked_status(answers[selected]["status"]),
        sent=document["sent"],
        window_start=document["window_start"],
    )


def summary_of(line: Document) -> ConversationSummary:
    return ConversationSummary(
        key=key_of(line),
        title=line.get("title"),
        preview=line.get("preview", ""),
        turns=line["next_index"] - line.get("first_index", 0),
        updated_at=line["updated_at"],
    )
