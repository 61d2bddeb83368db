"""Source numbers in an answer: those that have no source are taken out, as the text streams."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal

from chatbot_ai.domain.grounding import Source

#: A citation: numbers of at most three digits in brackets, as models write them.
CITATION = re.compile(
    r"[\[【［][ ]{0,2}(?:\^|(?:출처|자료|참고|source|ref)[ ]{0,2}[:.]?[ ]{0,2})?"
    r"(?P<numbers>[0-9]{1,3}(?:[ ]{0,2}[,;·\-~–][ ]{0,2}[0-9]{1,3}){0,9})[ ]{0,2}[\]】］]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+")
_RANGE = re.compile(r"([0-9]+)[ ]{0,2}[-~–][ ]{0,2}([0-9]+)")
_OPENING = "[【［"
_CLOSING = "]】］"
_INSIDE_CHAR = re.compile(r"[\^:., ;·\-~–0-9출처자료참고sourcef]", re.IGNORECASE)
_INSIDE = re.compile(f"{_INSIDE_CHAR.pattern}*", re.IGNORECASE)
#: The longest marker that CITATION takes is shorter.
_MAX_MARKER_CHARS = 96
_HEADINGS = {"ko": "출처", "en": "Sources"}


class CodeSpans:
    """Follows back-ticks in Markdown, a character at a time.

    A run of them opens code, a run as long closes it (three or more: any run of three or more).
    Code in one or two ends with its line at the latest.
    """

    def __init__(self) -> None:
        self._run = 0
        self._open = 0

    def next(self, char: str) -> bool:
        """Take the next character and tell whether it belongs to code. Taking the same character
        again, other than a back-tick, changes nothing."""
        if char == "`":
            self._run += 1
            return True
        if self._run:
            if self._open == 0:
                self._open = self._run
            elif self._open == self._run or min(self._open, self._run) >= 3:
                self._open = 0
            self._run = 0
        if char == "\n" and self._open < 3:
            self._open = 0
        return self._open > 0


class CitationFilter:
    """Removes `[n]` where there is no source n, from text that comes in pieces.

    The joined output does not depend on how the text was cut. At most a bracket that may become a
    marker, and the spaces before it, are held back. Code (between back-ticks) passes unchanged,
    since `a[3]` is no citation there. A removed marker takes the spaces before it along.

    known  the numbers that have a source; none removes every marker
    """

    def __init__(self, known: Collection[int]) -> None:
        self._has_source = frozenset(known)
        self._held = ""
        self._code = CodeSpans()
        self._last = ""
        self._in_bracket = False
        self.cited: set[int] = set()

    def feed(self, text: str) -> str:
        """Return what of the text so far is certain by now and was not returned yet."""
        return self._run(self._held + text, final=False)

    def finish(self) -> str:
        """Return the rest; to be called once, after the last piece."""
        return self._run(self._held, final=True)

    def _run(self, text: str, *, final: bool) -> str:
        out: list[str] = []
        spaces_from = 0  # where in `text` the spaces begin that stand right before `at`
        at = 0
        while at < len(text):
            char = text[at]
            is_code = self._code.next(char)
            if char in _OPENING and not is_code:
                end = self._marker_end(text, at, final=final)
                if end is None:
                    break
                marker = CITATION.fullmatch(text, at, end)
                if marker is not None:
                    kept = self._keep_known(marker)
                    self._emit(out, kept or self._seam(), text[spaces_from:at] if kept else "")
                    at = spaces_from = end
                    continue
            if char != " " or is_code:
                self._emit(out, char, text[spaces_from:at])
                spaces_from = at + 1
            at += 1
        if final:
            self._emit(out, "", text[spaces_from:])
            spaces_from = len(text)
        self._held = text[spaces_from:]
        return "".join(out)

    def _emit(self, out: list[str], piece: str, spaces: str = "") -> None:
        for char in spaces + piece:
            if char in _OPENING:
                self._in_bracket = True
            elif not _INSIDE_CHAR.match(char):
                self._in_bracket = False
            self._last = char
            out.append(char)

    def _seam(self) -> str:
        """Return what stands for a removed marker, so that its neighbours do not become a marker
        (as the "[1" and "2]" around it would) or a longer run of back-ticks together."""
        if self._in_bracket:
            return "[]"
        return " " if self._last == "`" else ""

    def _marker_end(self, text: str, at: int, *, final: bool) -> int | None:
        """Return where the bracket at `at` ends as a marker, `at + 1` if it is none, None if that
        cannot be told yet."""
        inside = _INSIDE.match(text, at + 1)
        end = inside.end() if inside is not None else at + 1
        if end - at > _MAX_MARKER_CHARS:
            return at + 1
        if end == len(text):
            return at + 1 if final else None
        return end + 1 if text[end] in _CLOSING else at + 1

    def _keep_known(self, marker: re.Match[str]) -> str:
        wanted = _numbers(marker["numbers"])
        known = [n for n in wanted if n in self._has_source]
        self.cited.update(known)
        if len(known) == len(wanted):
            return marker.group()
        return "".join(f"[{n}]" for n in known)


def filtered(text: str, known: Collection[int]) -> str:
    """Return a whole text as CitationFilter would stream it."""
    citations = CitationFilter(known)
    return citations.feed(text) + citations.finish()


def find_cited(text: str, sources: Sequence[Source]) -> set[int]:
    """Return the numbers of `sources` that a text cites."""
    citations = CitationFilter({source.n for source in sources})
    citations.feed(text)
    citations.finish()
    return citations.cited


def format_sources(
    sources: Sequence[Source], cited: set[int] | None = None, language: Literal["ko", "en"] = "ko"
) -> str:
    """Return the list of sources to stand after an answer, "" where there is none.

    cited  the numbers that the answer used; None lists all
    """
    listed = [source for source in sources if cited is None or source.n in cited]
    if not listed:
        return ""
    lines = [f"[{source.n}] {source.title} - {source.url}" for source in listed]
    return "\n\n" + "\n".join([f"{_HEADINGS[language]}:", *lines])


def _numbers(text: str) -> list[int]:
    """Return the numbers of "1, 3-5" as [1, 3, 4, 5]; a range backwards is its two ends."""
    found: list[int] = []
    rest = text
    for span in _RANGE.finditer(text):
        first, last = int(span.group(1)), int(span.group(2))
        found.extend(range(first, last + 1) if first <= last else (first, last))
        rest = rest.replace(span.group(), " ", 1)
    found.extend(int(number) for number in _NUMBER.findall(rest))
    return list(dict.fromkeys(found))
