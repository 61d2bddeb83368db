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
_LONE_CLOSING = re.compile(rf"(?:\A|\n)[ \t]*(?:{_CLOSINGS})[ \t]*(?=\n|\Z)")
_LONGEST_MARK = max(len(mark) for marks in MARKS for mark in marks)


class ThoughtFilter:
    """Passes an answer on without the thoughts that it begins with.

    Feed it the pieces as they come; `finish` gives what was held back at the end, and `passed` is
    all of the answer.

    inside  whether the prompt has opened the thoughts already, so that only their end is marked;
            None where nobody knows: all is held back until that or the end is seen
    """

    def __init__(self, inside: bool | None = False) -> None:
        self.passed = ""
        self.began_inside = False
        self._inside = inside
        self._held = ""
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
        if self._state == "inside":
            pattern = _ANY_CLOSING if self._inside else _LONE_CLOSING
            # a mark on the last line may be the begin of a sentence
            found = pattern.search(self._held if self._inside else self._held.rpartition("\n")[0])
            if found:
                self.began_inside = True
                self._state, self._held = "gap", self._held[found.end() :]
        if self._state == "thought":
            _, closing, rest = self._held.partition(self._closing)
            if closing:
                self._state, self._held = "gap", rest
            else:
                # a closing mark may be cut in two
                self._held = self._held[-len(self._closing) :]
        if self._state != "gap":
            return self._pass_on(self._held) if self._state == "answer" else ""
        answer = self._held.lstrip()
        return self._pass_on(answer) if answer else ""

    def split_elsewhere(self) -> None:
        """The server sends thoughts apart: what comes as an answer is one."""
        if self._state == "start":
            self._inside = False

    def finish(self, reason: str | None = "stop") -> str:
        """What is left: a beginning that turned out to be no opening, an answer of a model that did
        not think this time; no unfinished thought."""
        held, self._held = self._held, ""
        if self._state == "inside":
            cut_off = self._inside and reason == "length"
            rest = without_thoughts(held)
            self.began_inside = self.began_inside or rest != held
            return self._pass_on("" if cut_off else rest)
        return self._pass_on(held if self._state == "start" and held.strip() else "")

    def _look_for_opening(self) -> None:
        begun = self._held.lstrip()
        for opening, closing in MARKS:
            if begun.startswith(opening):
                self._state, self._closing = "thought", closing
                self._held = begun.removeprefix(opening)
                return
        if len(begun) < _LONGEST_MARK and any(mark.startswith(begun) for mark, _ in MARKS):
            return
        self._state = "answer" if self._inside is False else "inside"

    def _pass_on(self, text: str) -> str:
        self._state, self._held = "answer", ""
        self.passed += text
        return text


def without_thoughts(text: str) -> str:
    """A whole answer without the thoughts before it, also where only their end is marked."""
    thoughts = ThoughtFilter()
    answer = thoughts.feed(text) + thoughts.finish()
    found = list(_LONE_CLOSING.finditer(answer))
    return answer[found[-1].end() :].lstrip() if found else answer


def opens_thoughts(template: str) -> bool:
    """Whether a chat template's last words, before the answer, open the thoughts."""
    end = template.rpartition("add_generation_prompt")[2]
    return any(end.count(opening) > end.count(closing) for opening, closing in MARKS)
