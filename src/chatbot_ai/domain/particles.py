"""Korean particles after a name: 은/는, 이/가, 을/를, 와/과, (으)로 and their kin, chosen by how
the name's last sound ends.

Standard Korean orthography: the loanword and numeral readings; rules for Latin names are those by
which Korean readers usually transcribe English ones.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from chatbot_ai.domain.text import normalize

#: How a word's last syllable ends: in a vowel, in ㄹ, or in another consonant.
Ending = Literal["vowel", "rieul", "consonant"]

#: No name's ending is decided by what stands further from it.
_TAIL_CHARS = 64
#: Final consonants by their number in a Hangul syllable: none, ㄹ; all others alike.
_FINALS: dict[int, Ending] = {0: "vowel", 8: "rieul"}
#: 영 일 이 삼 사 오 육 칠 팔 구
_DIGIT_ENDINGS: dict[str, Ending] = {
    "0": "consonant",
    "1": "rieul",
    "2": "vowel",
    "3": "consonant",
    "4": "vowel",
    "5": "vowel",
    "6": "consonant",
    "7": "rieul",
    "8": "rieul",
    "9": "vowel",
}
#: 엘 엠 엔 알; the names of all other letters end in a vowel.
_LETTER_ENDINGS: dict[str, Ending] = {
    "l": "rieul",
    "m": "consonant",
    "n": "consonant",
    "r": "rieul",
}
_VOWELS = "aeiou"
#: The zeros of 조, the one power of ten in Korean whose name ends in a vowel.
_ZEROS_OF_JO = 12

#: Written pair, as cards' authors mark it: (after a consonant, after a vowel). ㄹ counts as a
#: vowel before 로 alone.
_PAIRS = (("은", "는"), ("이", "가"), ("을", "를"), ("과", "와"), ("아", "야"))
_FORMS: dict[str, tuple[str, str]] = {
    written: pair
    for pair in _PAIRS
    for first, second in (pair, pair[::-1])
    for written in (f"{first}({second})", f"({first}){second}", f"{first}/{second}")
} | {f"({first}){tail}": (first + tail, tail) for first, tail in (("으", "로"), ("이", "랑"))}
_FORMS |= {f"(이){tail}": (f"이{tail}", tail) for tail in ("라", "나", "며", "여", "야", "다")}
_FORMS |= {"으로/로": ("으로", "로"), "로/으로": ("으로", "로"), "으(로)": ("으로", "로")}
_FORMS |= {"이랑/랑": ("이랑", "랑"), "랑/이랑": ("이랑", "랑"), "로(으로)": ("으로", "로")}
_MARKED = re.compile("|".join(re.escape(form) for form in sorted(_FORMS, key=len, reverse=True)))


def find_ending(word: str) -> Ending | None:
    """How `word` ends when read aloud in Korean; None where nobody could tell (漢, …)."""
    text = normalize(word[-_TAIL_CHARS:])
    while text and not text[-1].isalnum():
        text = text[:-1]
    last = text[-1:]
    if "가" <= last <= "힣":
        return _FINALS.get((ord(last) - ord("가")) % 28, "consonant")
    if "ㄱ" <= last <= "ㅣ":
        return "vowel" if last >= "ㅏ" else _FINALS.get(8 if last == "ㄹ" else 1, "consonant")
    if "ぁ" <= last <= "ヿ":
        return "consonant" if last in "んン" else "vowel"
    return _number_ending(text) if last in _DIGIT_ENDINGS else _latin_ending(text)


def with_particle(word: str, marked: str) -> str | None:
    """The form of the particle that `marked` ("은(는)", "을/를", "(으)로") takes after `word`.

    None where `marked` is no particle or the word's ending cannot be told.
    """
    pair = _FORMS.get(marked)
    ending = find_ending(word)
    if pair is None or ending is None:
        return None
    is_vowel = ending == "vowel" or (ending == "rieul" and pair[1] == "로")
    return pair[1] if is_vowel else pair[0]


def resolve_particle(word: str, following: str) -> str:
    """`following` with the marked particle at its very start, if there is one, made definite."""
    match = _MARKED.match(following)
    if match is None:
        return following
    chosen = with_particle(word, match.group())
    return following if chosen is None else chosen + following[match.end() :]


def _number_ending(text: str) -> Ending:
    digits = text[len(text.rstrip("0123456789")) :]
    zeros = len(digits) - len(digits.rstrip("0"))
    if zeros == 0:
        return _DIGIT_ENDINGS[digits[-1]]
    return "vowel" if zeros in range(_ZEROS_OF_JO, _ZEROS_OF_JO + 4) else "consonant"


def _latin_ending(text: str) -> Ending | None:
    plain = normalize(text, "NFD")
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark))
    letters = plain[len(plain.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) :]
    if not letters:
        return None
    if letters.isupper() and len(letters) <= 4:
        return _LETTER_ENDINGS.get(letters[-1].lower(), "vowel")
    word = letters.lower()
    if word[-1] == "e" and len(word) > 3 and word[-2] in "lmn" and word[-3] in _VOWELS + "lmn":
        word = word[:-1]
    if word[-1] == "l":
        return "rieul"
    if word[-1] in "mn" or word.endswith(("ng", "ck")):
        return "consonant"
    before = word[-2:-1]
    is_short = word[-1] in "ptkc" or (word[-1] in "bg" and len(word) <= 4)
    return "consonant" if is_short and before and before in _VOWELS else "vowel"
