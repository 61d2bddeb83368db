"""Paths inside a card file: what may become a file's name somewhere else."""

from __future__ import annotations

import unicodedata

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits


def safe_path(path: str, limits: CardLimits = DEFAULT_LIMITS) -> str:
    """`path` itself if it is relative, stays inside and is plain text; else CardError.

    Refused: empty or overlong, `..` and other dot segments, a leading `/`, a drive, backslashes,
    colons, control and format characters, lone surrogates.
    """
    segments = path.split("/")
    is_plain = all(unicodedata.category(mark)[0] != "C" for mark in path)
    is_inside = all(segment.strip(" .") for segment in segments)
    if not path or len(path) > limits.path_chars or not (is_plain and is_inside):
        raise CardError("path_unsafe", path=printable(path))
    if "\\" in path or ":" in path:
        raise CardError("path_unsafe", path=printable(path))
    return path


def printable(path: str) -> str:
    """`path` as an error message can carry it: short, and nothing that moves a cursor."""
    return "".join(mark if mark.isprintable() else "?" for mark in path[:100])
