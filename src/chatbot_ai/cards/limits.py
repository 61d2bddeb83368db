"""How much of a stranger's file is read before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


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
