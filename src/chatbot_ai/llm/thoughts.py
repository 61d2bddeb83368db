"""What a reasoning model thinks aloud before its answer, taken out of the answer."""

from __future__ import annotations

import re

_OPENING = "<think>"
#: Thinking that began in the prompt ends on a line of its own; `</think>` in a sentence is text.
_CLOSING = re.compile(r"(?:\A|\n)[ \t]*</think>[ \t]*(?=\n|\Z)")


class ThoughtFilter:
    """Passes an answer on without the `<think>…</think>` that it begins with.

    Feed it the pieces as they come; `finish` gives what was held back at the end.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def feed(self, piece: str) -> str:
        """The text that can be shown by now."""
        if self._state == "answer":
            return piece
        self._held += piece
        if self._state == "start":
            begun = self._held.lstrip()
            if len(begun) < len(_OPENING) and _OPENING.startswith(begun):
                return ""
            if not begun.startswith(_OPENING):
                return self._pass_on(self._held)
            self._state, self._held = "thought", begun.removeprefix(_OPENING)
        if self._state == "thought":
            _, closing, rest = self._held.partition("</think>")
            if not closing:
                # a closing tag may be cut in two
                self._held = self._held[-len("</think>") :]
                return ""
            self._state, self._held = "gap", rest
        answer = self._held.lstrip()
        if not answer:
            self._held = ""
            return ""
        return self._pass_on(answer)

    def finish(self) -> str:
        """What is left: a beginning that turned out to be no opening; no unfinished thought."""
        held, self._held = self._held, ""
        return held if self._state == "start" and held.strip() else ""

    def _pass_on(self, text: str) -> str:
        self._state, self._held = "answer", ""
        return text


def without_thoughts(text: str) -> str:
    """A whole answer without the thoughts before it, also where only their end is marked."""
    thoughts = ThoughtFilter()
    answer = thoughts.feed(text) + thoughts.finish()
    found = list(_CLOSING.finditer(answer))
    return answer[found[-1].end() :].lstrip() if found else answer
