"""What is only true now and stands beside the newest input: the time and web passages."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from chatbot_ai.core.exchange import ChatRequest, Sources
from chatbot_ai.domain.conversation import Message, Turn
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.domain.generation import GenerationRequest, Sampling, TextDelta
from chatbot_ai.domain.grounding import Grounder
from chatbot_ai.domain.ports import ChatModel, Clock
from chatbot_ai.domain.query import cleaned_query, plain_query, rewriting_prompt

log = structlog.get_logger()

WEEKDAYS = "월화수목금토일"
#: Tokens and seconds that the model gets to make a query; the sentence itself serves after that.
QUERY_TOKENS = 24
QUERY_SECONDS = 1.5


class References:
    """Gathers reference text for one message.

    zone         of the date and time, which stand there where `with_time` says so
    grounder     None: no web search
    search_s     seconds that search, pages and ranking may take together
    """

    def __init__(
        self,
        *,
        zone: dt.tzinfo,
        with_time: bool,
        grounder: Grounder | None = None,
        search_s: float = 3.0,
        rewrite: bool = True,
    ) -> None:
        self._zone, self._with_time = zone, with_time
        self._grounder, self._search_s, self._rewrite = grounder, search_s, rewrite

    async def gather(
        self, model: ChatModel, request: ChatRequest, turns: Sequence[Turn], clock: Clock
    ) -> tuple[str, Sources]:
        """The reference text, and the sources in it with warnings. Never fails an answer."""
        lines = []
        if self._with_time and not request.messages:
            lines.append(self._time(clock))
        grounded = Sources((), ())
        if request.search:
            text, grounded = await self._search(model, request, turns, clock)
            if text:
                lines.append(text)
        return "\n".join(lines), grounded

    async def start(self) -> None:
        """Make ready what the first search would wait for."""
        if self._grounder is not None:
            await self._grounder.start()

    async def close(self) -> None:
        if self._grounder is not None:
            await self._grounder.close()

    def _time(self, clock: Clock) -> str:
        now = dt.datetime.fromtimestamp(clock.now(), self._zone)
        day = WEEKDAYS[now.weekday()]
        return f"현재 시각: {now:%Y-%m-%d} ({day}) {now:%H:%M} {now.tzname()}"

    async def _search(
        self, model: ChatModel, request: ChatRequest, turns: Sequence[Turn], clock: Clock
    ) -> tuple[str, Sources]:
        if self._grounder is None:
            return "", Sources((), ("search_disabled",))
        sentence = request.messages[-1].content if request.messages else request.text
        began = clock.monotonic()
        query = await self._query(model, sentence, turns, request.deadline, clock)
        left = min(self._search_s, request.deadline - clock.monotonic())
        left -= min(clock.monotonic() - began, self._search_s / 2)

        async def count(text: str) -> int:
            return await model.count_tokens([Message("user", text)])

        result = await self._grounder.ground(
            sentence, query=query, deadline_s=max(0.1, left), count=count
        )
        warnings: tuple[str, ...] = result.warnings
        if result.status == "disabled":
            warnings = ("search_disabled",)
        return result.text, Sources(result.sources, warnings)

    async def _query(
        self,
        model: ChatModel,
        sentence: str,
        turns: Sequence[Turn],
        deadline: float,
        clock: Clock,
    ) -> str:
        """The sentence as a query: by the model where earlier turns may be meant, in a strict
        budget; else, and where that fails, by rule."""
        if not turns or not self._rewrite:
            return plain_query(sentence)
        past = [(turn.input, turn.output) for turn in turns[-3:]]
        request = GenerationRequest(
            rewriting_prompt(sentence, past),
            Sampling(temperature=0.0, max_tokens=QUERY_TOKENS),
            min(deadline, clock.monotonic() + QUERY_SECONDS),
            whole=False,
        )
        parts: list[str] = []
        try:
            async with asyncio.timeout(QUERY_SECONDS), aclosing(model.stream(request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        parts.append(event.text)
        except (TimeoutError, ChatbotError) as error:
            log.info("search.query_by_rule", error=type(error).__name__)
            return plain_query(sentence)
        return cleaned_query("".join(parts), sentence)
