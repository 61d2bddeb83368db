"""What of a stranger's file is refused: more than is read of it, and paths that lead elsewhere."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from chatbot_ai.cards.errors import CardError


@dataclass(frozen=True, slots=True)
class CardLimits:
    """Caps on one card file. The defaults hold every card its author could upload to a public
    gallery and keep the memory of one import under about 300 MB.

    json_nodes       objects and arrays together: each costs about 60 bytes beside its text
    json_depth       of nesting; a card of the specification needs 6
    inflate_ratio    inflated bytes per stored byte, looked at beyond the first MiB
    picture_pixels   a browser holds 4 bytes for each
    scan_rounds      how often matched entries may call up further ones
    scan_steps       characters looked through for keys, per activation, each look at least 2000
    regex_steps      program size × scanned bytes, per activation; measured: RE2's slowest engine
                     does 2 × 10⁸ of them a second
    """

    file_bytes: int = 32 << 20
    json_bytes: int = 8 << 20
    json_nodes: int = 200_000
    json_depth: int = 64
    inflated_bytes: int = 64 << 20
    inflate_ratio: int = 200
    files: int = 512
    path_chars: int = 255
    png_chunks: int = 65_536
    picture_side: int = 16_384
    picture_pixels: int = 40_000_000
    lore_entries: int = 2_000
    lore_keys: int = 10_000
    lore_patterns: int = 500
    pattern_chars: int = 1_000
    scanned_chars: int = 40_000
    scan_rounds: int = 8
    scan_steps: int = 400_000_000
    regex_steps: int = 100_000_000


DEFAULT_LIMITS = CardLimits()


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
