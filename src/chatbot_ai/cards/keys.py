"""How a text contains a lorebook key, in Korean and in Latin script.

V3 leaves "contains" to the application. Here: both sides in NFC; a key that ends in Hangul may
have anything around it, since Korean joins words; a key that begins or ends with a letter or
digit of another script ends there, but for a Korean particle: `Tom` is in `Tom은` and `Tom에게도`,
not in `Tomb` and not in `Tom고양이`.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from chatbot_ai.domain.text import normalize

_HANGUL = re.compile(r"[가-힣ㄱ-ㅣ]")
_HANGUL_RUN = re.compile(r"[가-힣]*")
#: More Hangul than this behind a word is no chain of particles.
_HANGUL_TAIL_CHARS = 12
#: Places looked at where a Latin key stands only inside words, before it is taken as absent.
_MOST_PLACES = 64

_PARTICLES = """
께서 께 은 는 이 가 을 를 의 에 에서 에게 에게서 한테 한테서 더러 보고 와 과 랑 이랑 하고 로
으로 로서 으로서 로써 으로써 로부터 으로부터 부터 까지 마저 조차 밖에 만 도 뿐 나 이나 나마 이나마
든지 이든지 이든 라도 이라도 야 이야 아 여 이여 시여 이시여 처럼 같이 만큼 보다 마다 대로 커녕
은커녕 는커녕 며 이며 요 이요 라 이라 란 이란 라고 이라고 라는 이라는 라면 이라면 라서 이라서 다
이다 였다 이었다 예요 이에요 이예요 이네 이지 죠 이죠 이니 이던 이고 였던 이었던 입니다 입니까 인데
인가 인지 일까 니까 이니까 라니 이라니 였어 이었어 만이 만을 고
"""
#: What Korean writes directly behind a noun: case and auxiliary particles, and the forms of the
#: copula 이다. Not complete: a tail missing here makes a key miss one place.
JOSA = frozenset(_PARTICLES.split())
#: Honorifics and the plural, which stand before all particles.
_SUFFIXES = frozenset("님 씨 양 군 들".split())  # noqa: SIM905
#: Particles that may follow another one.
_SECOND = frozenset("은 는 도 만 의 까지 부터 마저 조차 나 이나 라도 이라도 요 밖에 커녕".split())  # noqa: SIM905


@dataclass(frozen=True)
class Haystack:
    """A text made ready for many searches; what a search needs is computed at its first use."""

    text: str

    @cached_property
    def exact(self) -> str:
        return _nfc(self.text)

    @cached_property
    def folded(self) -> str:
        return fold(self.text)

    @cached_property
    def squeezed_exact(self) -> Squeezed:
        return Squeezed.of(self.exact)

    @cached_property
    def squeezed_folded(self) -> Squeezed:
        return Squeezed.of(self.folded)


@dataclass(frozen=True, slots=True)
class Squeezed:
    """A text without its whitespace; `places[i]` is where its i-th character stood."""

    text: str
    places: array[int]

    @classmethod
    def of(cls, text: str) -> Squeezed:
        places = array("I", (index for index, mark in enumerate(text) if not mark.isspace()))
        return cls("".join(text.split()), places)


@dataclass(frozen=True, slots=True)
class Needle:
    """A key made ready for many searches."""

    text: str
    is_exact: bool
    squeezed: str | None

    @classmethod
    def of(
        cls, key: str, *, case_sensitive: bool = False, space_insensitive: bool = True
    ) -> Needle:
        """A key with Hangul also matches with other spacing if `space_insensitive`."""
        text = (_nfc(key) if case_sensitive else fold(key)).strip()
        has_hangul = space_insensitive and _HANGUL.search(text) is not None
        return cls(text, case_sensitive, "".join(text.split()) if has_hangul else None)


def fold(text: str) -> str:
    """NFC without difference of case."""
    return _nfc(_nfc(text).casefold())


def contains(haystack: Haystack, needle: Needle, *, whole_words: bool = True) -> bool:
    """Whether the text contains the key as a reader of Korean or English would say.

    With `whole_words` False a Latin key may stand inside a word, too.
    """
    text = haystack.exact if needle.is_exact else haystack.folded
    key = needle.text
    if not key:
        return False
    for start in _occurrences(text, key):
        if not whole_words or _is_whole(text, start, start + len(key)):
            return True
    if needle.squeezed is None:
        return False
    squeezed = haystack.squeezed_exact if needle.is_exact else haystack.squeezed_folded
    return _contains_respaced(text, squeezed, needle.squeezed, whole_words=whole_words)


def _nfc(text: str) -> str:
    return normalize(text)


def _occurrences(text: str, key: str) -> Iterator[int]:
    at = -1
    for _ in range(_MOST_PLACES):
        at = text.find(key, at + 1)
        if at < 0:
            return
        yield at


def _is_whole(text: str, start: int, end: int) -> bool:
    if _joins(text[start]) and start > 0 and _joins(text[start - 1]):
        return False
    if not _joins(text[end - 1]) or end == len(text):
        return True
    if _joins(text[end]):
        return False
    run = _HANGUL_RUN.match(text, end, end + _HANGUL_TAIL_CHARS + 1)
    return run is None or is_josa(run.group())


def _joins(mark: str) -> bool:
    """Whether `mark` makes one word with its neighbour: letters and digits but Hangul and Han."""
    return (mark.isalnum() or mark == "_") and not _is_dense(mark)


def _is_dense(mark: str) -> bool:
    """Scripts that write words without spaces, or particles directly behind them."""
    code = ord(mark)
    return (
        0x1100 <= code <= 0x11FF
        or 0x3040 <= code <= 0x318F
        or 0x3400 <= code <= 0x9FFF
        or 0xA960 <= code <= 0xD7FF
        or 0x20000 <= code <= 0x3FFFF
    )


def is_josa(tail: str) -> bool:
    """Whether `tail` is nothing, or what may follow a noun: up to two suffixes, one particle, and
    up to two more that follow particles (씨들에게서도)."""
    if len(tail) > _HANGUL_TAIL_CHARS:
        return False
    ends = {0}
    for allowed in (_SUFFIXES, _SUFFIXES, JOSA, _SECOND, _SECOND):
        ends |= {
            end
            for start in ends
            for end in range(start + 1, min(len(tail), start + 4) + 1)
            if tail[start:end] in allowed
        }
    return len(tail) in ends


def _contains_respaced(text: str, squeezed: Squeezed, key: str, *, whole_words: bool) -> bool:
    """Match with other spacing. A match that skips a space of the text begins at a word's start,
    or 과자 would be in 사과 자르기."""
    for found in _occurrences(squeezed.text, key):
        start = squeezed.places[found]
        end = squeezed.places[found + len(key) - 1] + 1
        if end - start > len(key) and start > 0 and text[start - 1].isalnum():
            continue
        if not whole_words or _is_whole(text, start, end):
            return True
    return False
