"""The sentence as a search query, by the model where earlier turns may be meant."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.domain.control_tokens import neutralize
from chatbot_ai.domain.conversation import Message, Turn
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.domain.generation import Finished, GenerationRequest, Sampling, TextDelta
from chatbot_ai.domain.ports import Clock
from chatbot_ai.domain.prompt_texts import PromptTexts
from chatbot_ai.domain.text import sanitize_line

log = structlog.get_logger()

#: Tokens and seconds that the model gets to make a query; the sentence itself serves after that.
QUERY_TOKENS = 24
QUERY_SECONDS = 1.5


def may_refer_to_earlier(request: ChatRequest) -> bool:
    """Whether earlier turns may be needed to understand it; those of a stored conversation are not
    known yet."""
    has_earlier = (
        any(m.role == "assistant" for m in request.messages)
        if request.messages
        else bool(request.user_id and request.db_id)
    )
    return has_earlier and refers_to_earlier(request.question)


async def rewrite_query(
    exchange: Exchange, turns: Sequence[Turn], limit_s: float, token_budget: int, clock: Clock
) -> str:
    """Ask the model for the query; derive it where that fails or takes more than `limit_s`.

    The question goes on from the conversation's own prompt, word for word, so that the engine
    computes the task alone (about 100 tokens) and keeps what it has cached of the conversation.

    token_budget  what the passages will take: the window of turns is that of the prompt to come
    """
    question = exchange.request.question
    try:
        async with asyncio.timeout(limit_s):
            messages = await _build_messages(exchange, turns, exchange.limit_tokens - token_budget)
            answer = await _generate_line(exchange, messages, clock.monotonic() + limit_s)
    except (TimeoutError, ChatbotError) as error:
        log.info("search.query_by_rule", reason=type(error).__name__)
        return derive_query(question)
    if answer is None:
        log.info("search.query_by_rule", reason="too_long")
        return derive_query(question)
    return clean_query(answer, question)


async def _build_messages(
    exchange: Exchange, turns: Sequence[Turn], limit_tokens: int
) -> tuple[Message, ...]:
    request = exchange.request
    task = build_query_task(request.question, exchange.persona.texts)
    if request.messages:
        return (*request.messages[:-1], Message("user", neutralize(task)))
    return (await exchange.fit(task, "", turns, limit_tokens=limit_tokens)).messages


async def _generate_line(
    exchange: Exchange, messages: tuple[Message, ...], deadline: float
) -> str | None:
    """The first line that the model says; None where its tokens ran out before the line ended."""
    request = GenerationRequest(
        messages,
        Sampling(temperature=0.0, max_tokens=QUERY_TOKENS),
        min(exchange.request.deadline, deadline),
        backups=False,
    )
    text = ""
    async with aclosing(exchange.model.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                text = (text + event.text).lstrip()
                if "\n" in text:
                    return text.partition("\n")[0]
            elif isinstance(event, Finished) and event.reason == "length":
                return None
    return text


MAX_QUERY_CHARS = 120
#: Characters, spaces aside, of a sentence that is too short to be a query of its own.
_SHORT_CHARS = 8

#: Words that stand for something said before.
_LEANING = re.compile(
    r"(?:^|[\s,.\"'(])(?:"
    r"[그이저요](?:건|거|게|것|걸|곳|분|때|쪽|녀|들|날|럼|러면|래서|런데)"
    r"|[그이저](?=\s+[가-힣])|거기|여기|저기|걔|얘|쟤|방금|아까|앞에서|위에서|앞서|나머지|(?:더|또|다시)(?=\s)"
    r"|(?:(?-i:it|It)|its|that|this|those|these|they|them|their|he|she|his|him|her|there|then|ones?|same"
    r"|former|latter|more|else|why|again)\b)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^(?:(?:웹\s?)?(?:검색어|검색|질의|쿼리)(?:는|은)?|(?:search )?query)\s*[:：]\s*",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^(?:[-*•>#]+\s*|\d+[.)]\s+)+")
_QUOTES = "\"'`“”‘’「」『』<>[]()*_ \t"
#: A model that answers the question instead of naming a query, or refuses.
_PROSE_END = re.compile(r"(?:니다|세요|어요|아요|에요|예요|해요|돼요|죠|네요|sorry|cannot)[.!。]?$")
_POLITE = re.compile(
    r"(?:\s*(?:에 대해서?|에 대하여|좀|한번|혹시|제발))*\s*(?:(?:자세히|간단히|쉽게)\s*)?"
    r"(?:(?:검색|설명|정리|요약|소개|추천|번역)\s?해\s?(?:줘|줄래|주세요|주실래요|줘요|봐|보세요)"
    r"|(?:알려|말해|찾아|가르쳐)\s?(?:줘|줄래|주세요|주실래요|줘요|봐|보세요|줄 수 있어|주시겠어요)"
    r"|궁금해요?|궁금합니다|please)\s*$",
    re.IGNORECASE,
)
_END = re.compile(r"[\s?？!！.。~…]+$")


def refers_to_earlier(sentence: str) -> bool:
    """Tell whether a sentence ("그건 언제 나왔어?") may say too little without earlier turns."""
    short = len("".join(sentence.split())) <= _SHORT_CHARS
    return short or _LEANING.search(sentence) is not None


def build_query_task(sentence: str, texts: PromptTexts) -> str:
    """Return the user message that asks for the query, to stand after the turns it may mean."""
    question = sanitize_line(sentence, MAX_QUERY_CHARS * 4)
    return texts.search_query_task.format(question=question)


def clean_query(answer: str, sentence: str) -> str:
    """Make one line of query out of a model's answer, or of the sentence where it is no query.

    Never empty unless the sentence has no visible character; at most MAX_QUERY_CHARS characters.
    """
    for line in answer.splitlines():
        text = _LIST_MARK.sub("", sanitize_line(line, 400))
        text = _END.sub("", _LABEL.sub("", text).strip(_QUOTES))
        if not any(char.isalnum() for char in text):
            continue
        if len(text) > MAX_QUERY_CHARS or _PROSE_END.search(text):
            break
        return text
    return derive_query(sentence)


def derive_query(sentence: str) -> str:
    """Return the sentence as a query without a model: one line, without "알려줘" and its like."""
    line = sanitize_line(sentence, MAX_QUERY_CHARS * 4)
    text = _POLITE.sub("", _END.sub("", line)).strip()
    text = _END.sub("", text) or line
    if len(text) <= MAX_QUERY_CHARS:
        return text
    cut = text.rfind(" ", MAX_QUERY_CHARS // 2, MAX_QUERY_CHARS + 1)
    return text[: cut if cut > 0 else MAX_QUERY_CHARS].rstrip()
