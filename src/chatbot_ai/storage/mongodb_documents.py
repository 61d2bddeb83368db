"""Turns and conversations as MongoDB documents."""

from __future__ import annotations

from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, ConversationSummary, Turn
from chatbot_ai.storage.records import answer_fields, answer_from

Document = dict[str, Any]


def identity(key: ConversationKey) -> Document:
    """Return the filter that names a conversation."""
    return {"assistant": key.assistant, "user_id": key.user_id, "db_id": key.db_id}


def key_of(document: Document) -> ConversationKey:
    return ConversationKey(document["assistant"], document["user_id"], document["db_id"])


def document_of(key: ConversationKey, turn: Turn) -> Document:
    return {
        **identity(key),
        "index": turn.index,
        "turn_id": turn.turn_id,
        "input": turn.input,
        "answers": [answer_fields(answer) for answer in turn.answers],
        "selected": turn.selected,
        "sent": turn.sent,
        "window_start": turn.window_start,
        "created_at": float(turn.created_at),
    }


def turn_of(document: Document) -> Turn:
    created_at = document["created_at"]
    return Turn(
        index=document["index"],
        turn_id=document["turn_id"],
        input=document["input"],
        answers=tuple(answer_from(fields, created_at) for fields in document["answers"]),
        selected=document["selected"],
        created_at=created_at,
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
