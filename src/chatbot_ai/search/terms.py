"""Words of Korean and English text as a ranking compares them. Pure.

Korean attaches particles to nouns (서울은, 서울에서), so that whole words rarely match. A word of
Hangul becomes its stem without a trailing particle and the stem's syllable pairs, which also find
compounds (부동산세 in 종합부동산세). A morphological analyser would be more exact and costs a
model of about 80 MB and a second of start-up; for ranking a few pages the pairs suffice.
"""

from __future__ import annotations

import re

from chatbot_ai.domain.text import normalize

_WORD = re.compile(r"[가-힣]+|[a-z0-9]+(?:[._'+#-]?[a-z0-9+#]+)*|[\u3040-\u30ff\u4e00-\u9fff]+")
_PARTICLE_LIST = """
    은 는 이 가 을 를 의 에 도 만 로 와 과 랑 나 야 께 으로 에서 에게 에는 에도 에만 한테
    까지 부터 처럼 보다 마다 조차 밖에 이나 이랑 이란 이라 라는 이라는 에서는 에서도 에게는
    으로는 으로도 까지는 부터는 이었다 였다 입니다 이다 인가요 인가 이며 하고 하는 하다 했다
    합니다 했습니다 되었다 됐다 됩니다 된다 인데 이고 이야 이에요 예요 에요 나요 은요 는요
"""
_PARTICLES = tuple(sorted(_PARTICLE_LIST.split(), key=len, reverse=True))
#: Of a two-syllable word only these leave a one-syllable noun; nouns seldom end in them.
_CERTAIN = ("은", "는", "을", "를", "의")
_FILLERS = """
    그 이 저 것 수 등 및 더 좀 왜 뭐 뭔 무엇 어떤 어떻게 언제 어디 누가 누구 그리고 그런데 하지만
    알려 알려줘 알려주세요 알려줄래 해줘 해주세요 설명해줘 말해줘 찾아줘 검색해줘 궁금해 대해 대한
    대해서 관련
    the a an of to in on at is are was were be and or for with what when how who why do does did it
    this that i you me my your please tell about
"""
_STOP = frozenset(_FILLERS.split())


def terms(text: str) -> list[str]:
    """Return the terms of `text`, in order and with repetitions, without filler words."""
    found: list[str] = []
    for word in _WORD.findall(normalize(text, "NFKC").casefold()):
        if word in _STOP:
            continue
        if "가" <= word[0] <= "힣":
            found.extend(_korean(word))
        elif word[0] >= "\u3040":
            found.extend(_pairs(word) or [word])
        else:
            found.append(word)
    return found


def stem(word: str) -> str:
    """Return a Hangul word without its trailing particle, if it has one."""
    for particle in _PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= 2:
            return word.removesuffix(particle)
    if len(word) == 2 and word.endswith(_CERTAIN):
        return word[0]
    return word


def _korean(word: str) -> list[str]:
    base = stem(word)
    if base in _STOP:
        return []
    return [base, *(pair for pair in _pairs(base) if pair != base)]


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(len(word) - 1)]
