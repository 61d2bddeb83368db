"""What a stored character's lorebook has to say to a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.domain.conversation import Message, Turn

#: Newest turns that a prompt surely holds, so that lore beside their inputs needs no repeating.
STAYS = 2


async def called_up(request: ChatRequest, turns: Sequence[Turn]) -> tuple[str, ...]:
    """The text to stand beside the newest input; nothing for most messages."""
    if request.lore is None:
        return ()
    shown = [turn.sent or "" for turn in turns[-STAYS:]]
    text = await asyncio.to_thread(request.lore, _said(request, turns), shown)
    return (text,) if text else ()


def _said(request: ChatRequest, turns: Sequence[Turn]) -> list[Message]:
    """The conversation as the two have spoken it, without what stood beside it."""
    if request.messages:
        return [message for message in request.messages if message.role != "system"]
    said = [
        message
        for turn in turns
        for message in (Message("user", turn.input), Message("assistant", turn.output))
    ]
    return [*said, Message("user", request.text)]
