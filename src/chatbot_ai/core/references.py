"""What is only true now and stands beside the newest input: the time and web passages."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from chatbot_ai.core.answer import Sources
from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.core.search_query import (
    QUERY_SECONDS,
    derive_query,
    may_refer_to_earlier,
    rewrite_query,
)
from chatbot_ai.domain.conversation import Message, Turn
from chatbot_ai.domain.errors import ChatbotError, trace_places
from chatbot_ai.domain.generation import likely_tokens
from chatbot_ai.domain.grounding import Grounder, GroundingResult
from chatbot_ai.domain.ports import Clock
from chatbot_ai.domain.prompt_texts import PROMPT_TEXTS, PromptTexts

log = structlog.get_logger()

#: Share of the prompt that passages may take, so that the conversation keeps the most of it.
PASSAGES_SHARE = 1 / 3
#: What the chat template and the references' frame take, and a guess's error.
MARGIN_TOKENS = 96
#: Below this not even one passage with its frame has a sense; nothing is searched.
MIN_SEARCH_TOKENS = 160
#: Seconds below which a search is not begun.
MIN_SEARCH_S = 0.05

_UNAVAILABLE = GroundingResult("unavailable", warnings=("search_unavailable",))
_LEFT_OUT = GroundingResult("no_room", warnings=("search_left_out",))
_DISABLED = GroundingResult("disabled", warnings=("search_disabled",))


@dataclass(frozen=True, slots=True)
class Gathered:
    """The lines that stand there in any case, and what the search gave (None: none was asked);
    `texts` say that it gave nothing."""

    lines: tuple[str, ...] = ()
    found: GroundingResult | None = None
    texts: PromptTexts = PROMPT_TEXTS["ko"]

    @property
    def text(self) -> str:
        if self.found is None:
            return "\n".join(self.lines)
        reason = self.texts.search_failures.get(self.found.status, "")
        failed = self.texts.search_failed.format(reason=reason)
        return "\n".join([*self.lines, self.found.text or failed])

    @property
    def sources(self) -> Sources:
        if self.found is None:
            return Sources((), ())
        return Sources(self.found.sources, self.found.warnings)

    @property
    def has_passages(self) -> bool:
        return self.found is not None and bool(self.found.text)

    def without_passages(self) -> Gathered:
        """The same where the passages turned out not to fit."""
        return replace(self, found=_LEFT_OUT)


@dataclass(frozen=True, slots=True)
class WebSearch:
    """How the web is searched.

    budget_s  seconds that query, search, pages and ranking may take together
    rewrite   let the model turn a question that leans on earlier turns into a query
    tokens    of web passages; less where the context is small
    """

    grounder: Grounder
    budget_s: float
    rewrite: bool
    tokens: int


class References:
    """Gathers reference text for messages.

    zone  of the date and time, which stand there where `with_time` says so
    web   None: no web search
    """

    def __init__(self, *, zone: dt.tzinfo, with_time: bool, web: WebSearch | None = None) -> None:
        self._zone, self._with_time, self._web = zone, with_time, web

    def begin(self, exchange: Exchange, clock: Clock) -> Gathering:
        """Begin what needs no earlier turns, while the message waits for its place."""
        gathering = Gathering(self, exchange, clock)
        rewrites = self._web is None or self._web.rewrite
        if not (rewrites and may_refer_to_earlier(exchange.request)):
            gathering.search(())
        return gathering

    async def start(self) -> None:
        """Make ready what the first search would wait for."""
        if self._web is not None:
            await self._web.grounder.start()

    async def close(self) -> None:
        if self._web is not None:
            await self._web.grounder.close()

    def local_time(self, clock: Clock) -> dt.datetime:
        """The time in the zone of the team."""
        return dt.datetime.fromtimestamp(clock.now(), self._zone)

    def lines(self, exchange: Exchange, clock: Clock) -> tuple[str, ...]:
        """What stands there whatever a search gives. A caller that keeps its own conversation
        gets the time with a search only, else its messages go as they are."""
        if not self._with_time or (exchange.request.messages and not exchange.request.search):
            return ()
        now = self.local_time(clock)
        texts = exchange.persona.texts
        return (
            texts.current_time.format(
                date=f"{now:%Y-%m-%d}",
                weekday=texts.weekdays[now.weekday()],
                time=f"{now:%H:%M}",
                zone=now.tzname(),
            ),
        )

    async def search(
        self, exchange: Exchange, turns: Sequence[Turn], clock: Clock
    ) -> GroundingResult:
        """Search within the budget. A failure is a result; what is raised is a bug."""
        if self._web is None:
            return _DISABLED
        end = min(clock.monotonic() + self._web.budget_s, exchange.request.deadline)
        try:
            async with asyncio.timeout(end - clock.monotonic()):
                found = await self._search(self._web, exchange, turns, end, clock)
        except (TimeoutError, ChatbotError) as error:
            log.warning("search.unavailable", error=type(error).__name__)
            return _UNAVAILABLE
        return _DISABLED if found.status == "disabled" else found

    async def _search(
        self, web: WebSearch, exchange: Exchange, turns: Sequence[Turn], end: float, clock: Clock
    ) -> GroundingResult:
        token_budget = self._token_budget(web, exchange)
        if token_budget < MIN_SEARCH_TOKENS:
            return _LEFT_OUT
        query = derive_query(exchange.request.question)
        if (
            web.rewrite
            and may_refer_to_earlier(exchange.request)
            and (turns or exchange.request.messages)
        ):
            budget_s = min(QUERY_SECONDS, (end - clock.monotonic()) / 2)
            query = await rewrite_query(exchange, turns, budget_s, token_budget, clock)
        left_s = end - clock.monotonic()
        if left_s < MIN_SEARCH_S:
            return _UNAVAILABLE

        async def count(text: str) -> int:
            return await exchange.model.count_tokens([Message("user", text)])

        return await web.grounder.ground(
            exchange.request.question,
            query=query,
            deadline_s=left_s,
            max_tokens=token_budget,
            count=count,
        )

    def _token_budget(self, web: WebSearch, exchange: Exchange) -> int:
        """Tokens for passages: the setting, a share of the prompt, and what the fixed parts of
        the prompt leave, by a guess; `core/chat.py` corrects a guess that was too large."""
        request = exchange.request
        if request.messages:
            fixed = sum(likely_tokens(message.content) for message in request.messages)
        else:
            system = exchange.persona.system_prompt(request.character)
            fixed = likely_tokens(system) + likely_tokens(request.text)
        left = exchange.limit_tokens - fixed - MARGIN_TOKENS
        return min(web.tokens, int(exchange.limit_tokens * PASSAGES_SHARE), left)


class Gathering:
    """The references of one message, under way. To be cancelled when the message ends."""

    def __init__(self, references: References, exchange: Exchange, clock: Clock) -> None:
        self._references, self._exchange, self._clock = references, exchange, clock
        self._searching: asyncio.Task[GroundingResult] | None = None

    def search(self, turns: Sequence[Turn]) -> None:
        """Begin the search, where one is wished and none is under way."""
        request = self._exchange.request
        is_new = request.mode in ("message", "edit")
        if request.search and is_new and self._searching is None:
            searching = self._references.search(self._exchange, turns, self._clock)
            self._searching = asyncio.create_task(searching)

    async def result(self, turns: Sequence[Turn]) -> Gathered:
        """Wait for it; `turns` are those before the message."""
        self.search(turns)
        lines = self._references.lines(self._exchange, self._clock)
        lines += await find_lore(self._exchange.request, turns)
        texts = self._exchange.persona.texts
        if self._searching is None:
            return Gathered(lines)
        await asyncio.wait([self._searching])
        if self._searching.cancelled():
            return Gathered(lines, _UNAVAILABLE, texts)
        if error := self._searching.exception():
            # the answer can be given without it: a bug in the search costs its sources only
            log.error(
                "search.crashed",
                error=type(error).__name__,
                at=trace_places(error),
                warning="search_unavailable",
            )
            return Gathered(lines, _UNAVAILABLE, texts)
        found = self._searching.result()
        numbered = found.with_numbers_from(next_number(turns, len(found.sources)))
        return Gathered(lines, numbered, texts)

    def cancel(self) -> None:
        if self._searching is not None:
            self._searching.cancel()


def next_number(turns: Sequence[Turn], sources: int) -> int:
    """The number of the first of so many new sources: none of those that earlier turns in the
    prompt have, for the model sees their passages too. Starts over before four digits."""
    start = turns[-1].window_start if turns else 0
    taken = [source.n for turn in turns if turn.index >= start for source in turn.sources]
    first = max(taken, default=0) + 1
    return first if first + sources < 1000 else 1


#: Newest turns that a prompt surely holds, so that lore beside their inputs needs no repeating.
STAYS = 2


async def find_lore(request: ChatRequest, turns: Sequence[Turn]) -> tuple[str, ...]:
    """The text to stand beside the newest input; nothing for most messages."""
    if request.lore is None:
        return ()
    shown = [turn.sent or "" for turn in turns[-STAYS:]]
    text = await asyncio.to_thread(request.lore, _list_spoken(request, turns), shown)
    return (text,) if text else ()


def _list_spoken(request: ChatRequest, turns: Sequence[Turn]) -> list[Message]:
    """The conversation as the two have spoken it, without what stood beside it."""
    if request.messages:
        return [message for message in request.messages if message.role != "system"]
    said = [
        message
        for turn in turns
        for message in (Message("user", turn.input), Message("assistant", turn.output))
    ]
    return [*said, Message("user", request.text)]
