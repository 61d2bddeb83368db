"""The sentence as a search query, by the model where earlier turns may be meant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from chatbot_ai.core import prompt as prompts
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.core.lengths import PromptLengths
from chatbot_ai.domain.conversation import Message, Turn
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.domain.generation import Finished, GenerationRequest, Sampling, TextDelta
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel, Clock
from chatbot_ai.domain.query import cleaned_query, leans_on_earlier, plain_query, rewriting_task

log = structlog.get_logger()

#: Tokens and seconds that the model gets to make a query; the sentence itself serves after that.
QUERY_TOKENS = 24
QUERY_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Asked:
    """A message, and who answers it as whom.

    limit_tokens  what the prompt may take
    mark          what a conversation's prompts begin with, see `prompt.mark_of`
    """

    model: ChatModel
    lengths: PromptLengths
    persona: Persona
    request: ChatRequest
    limit_tokens: int
    mark: str = ""

    @property
    def sentence(self) -> str:
        messages = self.request.messages
        return messages[-1].content if messages else self.request.text

    @property
    def may_lean(self) -> bool:
        """Whether earlier turns may be needed to understand it; those of a stored conversation
        are not known yet."""
        request = self.request
        has_earlier = (
            any(m.role == "assistant" for m in request.messages)
            if request.messages
            else bool(request.user_id and request.db_id)
        )
        return has_earlier and leans_on_earlier(self.sentence)


async def rewritten(
    asked: Asked, turns: Sequence[Turn], budget_s: float, room_tokens: int, clock: Clock
) -> str:
    """Ask the model for the query; by rule where that fails or takes more than `budget_s`.

    The question goes on from the conversation's own prompt, word for word, so that the engine
    computes the task alone (about 100 tokens) and keeps what it has cached of the conversation.

    room_tokens  what the passages will take: the window of turns is that of the prompt to come
    """
    try:
        async with asyncio.timeout(budget_s):
            messages = await _continued(asked, turns, asked.limit_tokens - room_tokens)
            answer = await _line(asked, messages, clock.monotonic() + budget_s)
    except (TimeoutError, ChatbotError) as error:
        log.info("search.query_by_rule", reason=type(error).__name__)
        return plain_query(asked.sentence)
    if answer is None:
        log.info("search.query_by_rule", reason="too_long")
        return plain_query(asked.sentence)
    return cleaned_query(answer, asked.sentence)


async def _continued(asked: Asked, turns: Sequence[Turn], limit: int) -> tuple[Message, ...]:
    task = rewriting_task(asked.sentence)
    if asked.request.messages:
        return (*asked.request.messages[:-1], Message("user", prompts.defuse(task)))
    built = await prompts.build(
        persona=asked.persona,
        character=asked.request.character,
        turns=turns,
        text=task,
        references="",
        limit_tokens=limit,
        count=asked.lengths.count,
        bound=asked.lengths.bound,
        model=asked.model.name,
        mark=asked.mark,
    )
    return built.messages


async def _line(asked: Asked, messages: tuple[Message, ...], deadline: float) -> str | None:
    """The first line that the model says; None where its tokens ran out before the line ended."""
    request = GenerationRequest(
        messages,
        Sampling(temperature=0.0, max_tokens=QUERY_TOKENS),
        min(asked.request.deadline, deadline),
        backups=False,
    )
    text = ""
    async with aclosing(asked.model.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                text = (text + event.text).lstrip()
                if "\n" in text:
                    return text.partition("\n")[0]
            elif isinstance(event, Finished) and event.reason == "length":
                return None
    return text
