"""Text as people typed it, in the one form that everything here compares."""

from __future__ import annotations

import unicodedata

#: Control characters that text may keep; the others carry no meaning in a chat.
KEPT_CONTROLS = "\n\t"


def plain(text: str) -> str:
    """Composed Hangul (NFC), newlines as line ends, no control characters.

    macOS sends Hangul as separate letters (NFD), three characters for a syllable; lengths count
    what the user sees. Raises UnicodeEncodeError for a lone surrogate, which is no character.
    """
    text.encode()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c for c in text if c in KEPT_CONTROLS or unicodedata.category(c) != "Cc")
    return unicodedata.normalize("NFC", text)


def clean(text: str) -> str:
    """The same without the space around it."""
    return plain(text).strip()
