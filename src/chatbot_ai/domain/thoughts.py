"""What a reasoning model thinks aloud before its answer, taken out of the answer."""

from __future__ import annotations

import re

#: How model families mark where their thoughts begin and end: DeepSeek, Qwen and most others;
#: EXAONE Deep; Magistral; Kimi; Seed; gpt-oss.
MARKS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_CLOSINGS = "|".join(re.escape(closing) for _, closing in MARKS)
_ANY_CLOSING = re.compile(_CLOSINGS)
#: Thoughts that began in the prompt end on a line of their own; `</think>` in a sentence is text.
_LONE_CLOSING = re.compile(rf"(?:\A|\n)[ ]{{0,3}}({_CLOSINGS})[ \t]*(?=\n|\Z)")
_FENCES = ("```", "~~~")
_LONGEST_MARK = max(len(mark) for marks in MARKS for mark in marks)


class ThoughtFilter:
    """Passes an answer on without the thoughts that it begins with.

    Feed it the pieces as they come; `finish` gives what was held back at the end, `passed` is all
    that was passed on, and `clean` that without thoughts which only their end told from an answer.

    inside  whether the prompt has opened the thoughts already, so that only their end is marked;
            None where nobody knows: all is held back until that or the end is seen
    """

    def __init__(self, inside: bool | None = False) -> None:
        self.passed = ""
        self._inside = inside
        self._began_inside = False
        self._is_split = False
        self._held = ""
        self._looked = 0
        self._thought: list[str] = []
        self._closing = ""
        self._state = "start"

    def feed(self, piece: str) -> str:
        """The text that can be shown by now."""
        if self._state == "answer":
            self.passed += piece
            return piece
        self._held += piece
        if self._state == "start":
            self._look_for_opening()
        if self._state == "inside" and (found := self._look_for_end()):
            self._began_inside = True
            self._state, self._held = "gap", self._held[found.end() :]
        if self._state == "thought":
            _, closing, rest = self._held.partition(self._closing)
            if closing:
                self._state, self._held = "gap", rest
            else:
                # a closing mark may be cut in two
                self._thought.append(self._held[: -len(self._closing)])
                self._held = self._held[-len(self._closing) :]
        if self._state != "gap":
            return self._pass_on(self._held) if self._state == "answer" else ""
        self._is_split = True
        answer = self._held.lstrip()
        return self._pass_on(answer) if answer else ""

    def split_elsewhere(self) -> None:
        """The server sends thoughts apart: what comes as an answer is one."""
        if self._state == "start":
            self._inside, self._is_split = False, True

    def finish(self, reason: str | None = "stop") -> str:
        """What is left: a beginning that turned out to be no opening, an answer of a model that did
        not think this time or that begins with a mark which it tells of; no thought cut off."""
        held, self._held = self._held, ""
        cut_off = reason == "length"
        if self._state == "inside":
            if found := _find_end(held):
                self._began_inside = self._is_split = True
                held = held[found.end() :].lstrip()
            return self._pass_on("" if cut_off and self._inside else held)
        if self._state == "thought":
            return self._pass_on("" if cut_off else "".join((*self._thought, held)))
        return self._pass_on(held if self._state == "start" and held.strip() else "")

    def clean(self) -> str:
        """What was passed on, without thoughts that had no opening; to be asked at the end."""
        found = None if self._is_split else _find_end(self.passed)
        return self.passed[found.end() :].lstrip() if found else self.passed

    @property
    def began_inside(self) -> bool:
        """Whether the answer began inside thoughts; to be asked at the end."""
        return self._began_inside or self.clean() != self.passed

    def _look_for_opening(self) -> None:
        begun = self._held.lstrip()
        before = self._held[: len(self._held) - len(begun)]
        for opening, closing in MARKS:
            if begun.startswith(opening):
                self._state, self._closing = "thought", closing
                self._held = begun.removeprefix(opening)
                self._thought = [before + opening]
                return
        if len(begun) < _LONGEST_MARK and any(mark.startswith(begun) for mark, _ in MARKS):
            return
        self._state = "answer" if self._inside is False else "inside"

    def _look_for_end(self) -> re.Match[str] | None:
        if self._inside:
            return _ANY_CLOSING.search(self._held)
        # a mark on the last line may be the begin of a sentence; no line is read twice
        begin, end = self._looked, self._held.rfind("\n")
        if end < 0:
            return None
        self._looked = end
        return _find_end(self._held[:end], begin)

    def _pass_on(self, text: str) -> str:
        self._state, self._held = "answer", ""
        self.passed += text
        return text


def without_thoughts(text: str) -> str:
    """A whole answer without the thoughts before it, also where only their end is marked."""
    thoughts = ThoughtFilter()
    thoughts.feed(text)
    thoughts.finish()
    return thoughts.clean()


def _find_end(text: str, begin: int = 0) -> re.Match[str] | None:
    """The first mark from `begin` on that closes thoughts which began before the text: neither one
    that has its opening here nor one in a block of code, as an answer about thoughts shows them."""
    openings = {closing: opening for opening, closing in MARKS}
    for found in _LONE_CLOSING.finditer(text, begin):
        before = text[: found.start()]
        is_code = any(before.count(fence) % 2 for fence in _FENCES)
        if not is_code and openings[found[1]] not in before:
            return found
    return None


def opens_thoughts(template: str) -> bool:
    """Whether a chat template's last words, before the answer, open the thoughts."""
    end = template.rpartition("add_generation_prompt")[2]
    return any(end.count(opening) > end.count(closing) for opening, closing in MARKS)
