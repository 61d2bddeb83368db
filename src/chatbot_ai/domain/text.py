"""Text as people typed it, in the one form that everything here compares."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

#: Control characters carry no meaning in a chat, but for tab and newline.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
#: Combining marks that may follow one character (UAX #15, stream-safe text format).
MAX_MARKS = 30
#: Where a longer run may hide: combining marks are no letters and not ASCII.
_LONG_RUNS = re.compile(rf"[^\w\x00-\x7f]{{{MAX_MARKS + 1},}}")


def normalize(text: str, form: Literal["NFC", "NFKC", "NFD"] = "NFC") -> str:
    """The normal form of `text`, in time linear in its length.

    Putting marks in order takes the square of their number, so of a run of combining marks only
    the first 30 stay; no language writes more (UAX #15).
    """
    return unicodedata.normalize(form, _LONG_RUNS.sub(_shorten_run, text))


def _shorten_run(match: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for character in match.group():
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def plain(text: str) -> str:
    """Composed Hangul (NFC), newlines as line ends, no control characters.

    macOS sends Hangul as separate letters (NFD), three characters for a syllable; lengths count
    what the user sees. Raises UnicodeEncodeError for a lone surrogate, which is no character.
    """
    text.encode()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return normalize(_CONTROLS.sub("", text))


def clean(text: str) -> str:
    """The same without the space around it."""
    return plain(text).strip()
