"""What a pattern in a JSON schema costs an engine that follows it, see grammar_cost.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

#: Repetitions beyond this are unlimited for llama.cpp, or refused (MAX_REPETITION_THRESHOLD).
MOST_REPETITIONS = 2000
#: Groups in each other.
MOST_GROUPS = 32
#: Counts stay below this, however often they are multiplied.
MANY = 1_000_000


class PatternCost(NamedTuple):
    """A part of a pattern.

    places  that its text can be at, all repetitions written out; `width` of them at once
    size    of the grammar
    sure    whether the text itself tells where the part ends: it has one length, or its last
            character can be no other one's
    signs   what it may hold since it was last sure where it is, and in all
    letter  the character that it is, if it is one
    end     the character that it ends with and holds nowhere else, if there is one
    """

    places: int = 0
    width: int = 0
    size: int = 0
    sure: bool = True
    length: int | None = 0
    open_signs: frozenset[str] = frozenset()
    signs: frozenset[str] = frozenset()
    letter: str = ""
    end: str = ""

    def then(self, other: PatternCost) -> PatternCost:
        if self.length == 0 and not self.places:
            return other
        is_known = self.sure or (
            other.letter != "" and not _may_hold(self.open_signs, other.letter)
        )
        # behind a text of any length the next part may have begun everywhere
        width = max(self.width, other.width) if is_known else self.width + other.places
        if not is_known and self.end and not _may_hold(other.signs, self.end):
            # the next part can only have begun behind the last end, which it cannot hold
            width = max(self.width + other.width, other.places)
        is_sure = is_known and other.sure
        open_signs = other.open_signs if is_known else self.open_signs | other.open_signs
        has_length = self.length is not None and other.length is not None
        return PatternCost(
            places=min(self.places + other.places, MANY),
            width=min(width, MANY),
            size=min(self.size + other.size, MANY),
            sure=is_sure,
            length=(self.length or 0) + (other.length or 0) if has_length else None,
            open_signs=frozenset() if is_sure else _few(open_signs),
            signs=_few(self.signs | other.signs),
            end="" if _may_hold(self.signs, other.letter) else other.letter,
        )

    def or_else(self, other: PatternCost) -> PatternCost:
        length = self.length if self.length == other.length else None
        signs = _few(self.signs | other.signs)
        return PatternCost(
            places=min(self.places + other.places, MANY),
            width=min(self.width + other.width, MANY),
            size=min(self.size + other.size, MANY),
            sure=length is not None,
            length=length,
            open_signs=signs,
            signs=signs,
        )

    def repeated(self, least: int, most: int | None) -> PatternCost:
        count = max(1, least + 1 if most is None or most > MOST_REPETITIONS else most)
        places = min(self.places * count, MANY)
        is_fixed = self.length is not None and least == most
        return PatternCost(
            places=places,
            width=self.width if (self.sure and self.length != 0) or most == 1 else places,
            size=min(self.size + count, MANY),
            sure=self.sure and least == most,
            length=(self.length or 0) * least if is_fixed else None,
            open_signs=self.signs,
            signs=self.signs,
            end=self.end if self.sure else "",
        )


#: More different signs than this count as any.
MOST_SIGNS = 32
_ANY_SIGN = frozenset({r"[\s\S]"})
_LETTERS = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}


def _few(signs: frozenset[str]) -> frozenset[str]:
    return signs if len(signs) <= MOST_SIGNS else _ANY_SIGN


def _may_hold(signs: frozenset[str], letter: str) -> bool:
    return letter != "" and any(_matches(sign, letter) for sign in signs)


def _matches(sign: str, letter: str) -> bool:
    """Whether a class, an escape or a character may be this character."""
    if len(sign) == 1:
        return sign == letter or (sign == "." and letter not in "\r\n")
    compiled = _compile(sign)
    return compiled is None or compiled.fullmatch(letter) is not None


# re keeps 512 patterns at most, of everybody
@lru_cache(1024)
def _compile(sign: str) -> re.Pattern[str] | None:
    try:
        return re.compile(sign)
    except re.error:
        return None


@lru_cache(1024)
def _read_sign(sign: str) -> PatternCost:
    letter = sign[1:] if sign.startswith("\\") and not sign[1:].isalnum() else sign
    letter = _LETTERS.get(letter, letter)
    one = frozenset({sign})
    is_letter = len(letter) == 1 and letter != "."
    return PatternCost(1, 1, 1, True, 1, one, one, letter if is_letter or sign == r"\." else "")


NOTHING = PatternCost()


@dataclass(slots=True)
class _Group:
    """What is read of a group: the alternatives before, and the sequence before its last part."""

    choice: PatternCost | None = None
    before: PatternCost = NOTHING
    last: PatternCost = NOTHING

    def add(self, part: PatternCost) -> None:
        self.before, self.last = self.before.then(self.last), part

    def whole(self) -> PatternCost:
        sequence = self.before.then(self.last)
        return self.choice.or_else(sequence) if self.choice else sequence


_TOKEN = re.compile(
    r"\(\?:|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\{(\d*)(,?)(\d*)\}|.",
    re.DOTALL,
)
_REPEATED: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def read_pattern(pattern: str) -> PatternCost:
    """What a pattern costs; one that is not well-formed is refused by the engine at once."""
    groups = [_Group()]
    for sign, least, most in _tokens(pattern.removeprefix("^").removesuffix("$")):
        group = groups[-1]
        if least is not None:
            group.last = group.last.repeated(least, most)
        elif sign in ("(", "(?:"):
            if len(groups) > MOST_GROUPS:
                return PatternCost(size=MANY)
            groups.append(_Group())
        elif sign == "|":
            groups[-1] = _Group(choice=group.whole())
        elif sign == ")" and len(groups) > 1:
            groups.pop()
            groups[-1].add(group.whole())
        else:
            group.add(_read_sign(sign))
    return groups[0].whole()


def _tokens(pattern: str) -> Iterator[tuple[str, int | None, int | None]]:
    """Each token, and how often the one before it is repeated where it says that."""
    for match in _TOKEN.finditer(pattern):
        token = match.group()
        if token in _REPEATED:
            yield token, *_REPEATED[token]
        elif token.startswith("{") and len(token) > 1:
            first, comma, last = match.groups()
            least = _count(first)
            yield token, least, (_count(last) if last else None) if comma else least
        else:
            yield token, None, None


def _count(digits: str) -> int:
    return min(int(digits[:9] or 0), MANY)
