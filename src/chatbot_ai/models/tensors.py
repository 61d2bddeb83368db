"""How long a GGUF file must be, from the table of tensors in its header.

Source of the layout: ggml, docs/gguf.md (versions 2 and 3); of the block sizes: ggml,
src/ggml-common.h. No weight is read: a file that is cut anywhere behind its header is noticed at
the price of reading some megabytes of vocabulary.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.models.gguf import MAGIC

#: ggml's type numbers: numbers in a block, bytes of a block.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
#: Bytes of one value of the types that have a fixed size.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _U32 = 8, 9, 4
_ALIGNMENT_KEY, _ALIGNMENT = b"general.alignment", 32
#: More dimensions than ggml has, or deeper arrays than anybody writes, mean a broken header.
_MOST_DIMENSIONS, _DEEPEST = 4, 4
#: The largest vocabularies take some ten megabytes.
_LONGEST_HEADER = 1 << 27


class BrokenHeader(ChatbotError):
    """The header cannot be read: no GGUF, another version, or cut within the header."""


def least_bytes(path: Path) -> int:
    """Bytes that the file has at least if its last tensor is whole.

    A tensor of a type that is not known here counts with its beginning only. Raises BrokenHeader,
    and OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Header(content).end()
        except (struct.error, ValueError, OverflowError) as error:
            # an empty file, a length beyond the end, a type that is none
            raise BrokenHeader(str(error)) from error


class _Header:
    """A position in the header that moves forward."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 0

    def end(self) -> int:
        if self._content[:4] != MAGIC:
            raise ValueError("no GGUF magic")
        self._skip(4)
        version, tensors, keys = self._take("<IQQ")
        if version not in (2, 3):
            raise ValueError(f"GGUF version {version}")
        alignment = _ALIGNMENT
        for _ in range(keys):
            key = self._string()
            (kind,) = self._take("<I")
            if key == _ALIGNMENT_KEY and kind == _U32:
                (alignment,) = self._take("<I")
            else:
                self._skip_value(kind)
        ends = [self._tensor_end() for _ in range(tensors)]
        start = math.ceil(self._at / alignment) * alignment if alignment else self._at
        return start + max(ends, default=0)

    def _tensor_end(self) -> int:
        self._string()
        (count,) = self._take("<I")
        if count > _MOST_DIMENSIONS:
            raise ValueError(f"{count} dimensions")
        numbers = math.prod(self._take(f"<{count}Q"))
        kind, offset = self._take("<IQ")
        in_block, block_bytes = BLOCKS.get(kind, (1, 0))
        return int(offset + math.ceil(numbers / in_block) * block_bytes)

    def _skip_value(self, kind: int, depth: int = 0) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY and depth < _DEEPEST:
            item, length = self._take("<IQ")
            if item in _WIDTHS:
                self._skip(_WIDTHS[item] * length)
            else:
                for _ in range(length):
                    self._skip_value(item, depth + 1)
        elif kind in _WIDTHS:
            self._skip(_WIDTHS[kind])
        else:
            raise ValueError(f"value type {kind}")

    def _string(self) -> bytes:
        (length,) = self._take("<Q")
        begin = self._at
        self._skip(length)
        return self._content[begin : self._at] if length == len(_ALIGNMENT_KEY) else b""

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return values

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > min(len(self._content), _LONGEST_HEADER):
            raise ValueError("the header ends early")
