"""The user's sentence as a search query: the prompt that asks a model for one, and what to make of
its answer. Pure; the caller runs the model with few tokens (24 suffice) and little time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.injection import clean_line

MAX_QUERY_CHARS = 120
_MAX_TURNS = 3
_MAX_PAST_CHARS = 300

_TASK = (
    "너는 검색어를 만드는 도구다. 대화의 마지막 질문에 답하려면 웹에서 무엇을 검색해야 하는지 "
    "검색어 한 줄만 쓴다. '그것', '거기', '그 사람' 같은 말은 앞선 대화에 나온 이름으로 바꾼다. "
    "사용자의 언어로, 핵심 낱말만, 설명이나 따옴표 없이 쓴다. 질문에 답하지 않는다."
)
_EXAMPLES = (
    (
        "사용자: 아이폰 17 어때?\n비서: 화면과 배터리가 좋아졌습니다.\n질문: 그건 언제 나왔어?",
        "아이폰 17 출시일",
    ),
    ("질문: 요즘 서울에서 가볼 만한 전시회 좀 알려줄래?", "서울 전시회 추천"),
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


def rewriting_prompt(sentence: str, turns: Sequence[tuple[str, str]] = ()) -> tuple[Message, ...]:
    """Return the messages that ask a model for the query.

    turns  (input, output) of the conversation, oldest first; the last three count, shortened
    """
    messages = [Message("system", _TASK)]
    for asked, query in _EXAMPLES:
        messages += [Message("user", asked), Message("assistant", query)]
    lines: list[str] = []
    for said, answered in list(turns)[-_MAX_TURNS:]:
        lines.append(f"사용자: {clean_line(said, _MAX_PAST_CHARS)}")
        lines.append(f"비서: {clean_line(answered, _MAX_PAST_CHARS)}")
    lines.append(f"질문: {clean_line(sentence, MAX_QUERY_CHARS * 4)}")
    return (*messages, Message("user", "\n".join(lines)))


def cleaned_query(answer: str, sentence: str) -> str:
    """Make one line of query out of a model's answer, or of the sentence where it is no query.

    Never empty unless the sentence has no visible character; at most MAX_QUERY_CHARS characters.
    """
    for line in answer.splitlines():
        text = _LIST_MARK.sub("", clean_line(line, 400))
        text = _END.sub("", _LABEL.sub("", text).strip(_QUOTES))
        if not any(char.isalnum() for char in text):
            continue
        if len(text) > MAX_QUERY_CHARS or _PROSE_END.search(text):
            break
        return text
    return plain_query(sentence)


def plain_query(sentence: str) -> str:
    """Return the sentence as a query without a model: one line, without "알려줘" and its like."""
    line = clean_line(sentence, MAX_QUERY_CHARS * 4)
    text = _POLITE.sub("", _END.sub("", line)).strip()
    text = _END.sub("", text) or line
    if len(text) <= MAX_QUERY_CHARS:
        return text
    cut = text.rfind(" ", MAX_QUERY_CHARS // 2, MAX_QUERY_CHARS + 1)
    return text[: cut if cut > 0 else MAX_QUERY_CHARS].rstrip()
