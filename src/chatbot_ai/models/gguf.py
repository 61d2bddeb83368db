"""The header of a GGUF file: what a model is, its control tokens, and how long the file must be.

Source of the layout: ggml, docs/gguf.md (versions 2 and 3); of the block sizes: ggml,
src/ggml-common.h. No weight is read: a file that is cut anywhere behind its header is noticed at
the price of reading some megabytes of vocabulary.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chatbot_ai.domain.errors import ChatbotError, ConfigurationError

MAGIC = b"GGUF"
#: Value types with a fixed size: number -> struct format.
_FIXED = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i",
    6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
#: Kinds of token: 3 control, 4 user-defined.
_CONTROL_KINDS = (3, 4)
_MAX_VOCABULARY = 2_000_000
#: A string longer than this in the part we read is a broken file.
_MAX_STRING_BYTES = 1 << 20
#: Bytes of one number in the KV cache: f16; q8_0 and q4_0 carry a 2-byte scale per 32 numbers.
CACHE_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What decides how much memory one token of context takes."""

    architecture: str
    layers: int
    kv_heads: int
    key_length: int
    value_length: int
    trained_context: int
    file_bytes: int

    def cache_bytes_per_token(self, cache_type: str = "f16") -> int:
        """Bytes of KV cache for one token: layers x KV heads x (key + value length) x precision."""
        numbers = self.layers * self.kv_heads * (self.key_length + self.value_length)
        return int(numbers * CACHE_BYTES[cache_type])


def read_facts(path: Path) -> ModelFacts:
    """Read the header. Raises ConfigurationError where the file is no GGUF or lacks a key."""
    try:
        with path.open("rb") as file:
            found = _read_keys(file)
    except (OSError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a GGUF model file") from error
    arch = str(found.get("general.architecture", ""))
    try:
        heads = _number(found[f"{arch}.attention.head_count"])
        embedding = _number(found[f"{arch}.embedding_length"])
        head_length = embedding // heads
        return ModelFacts(
            architecture=arch,
            layers=_number(found[f"{arch}.block_count"]),
            kv_heads=_number(found.get(f"{arch}.attention.head_count_kv", heads)),
            key_length=_number(found.get(f"{arch}.attention.key_length", head_length)),
            value_length=_number(found.get(f"{arch}.attention.value_length", head_length)),
            trained_context=_number(found.get(f"{arch}.context_length", 0)),
            file_bytes=path.stat().st_size,
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ConfigurationError(f"{path} does not say how large its model is") from error


def read_control_tokens(path: Path) -> tuple[str, ...]:
    """The control and user-defined tokens of the model's vocabulary.

    Raises ConfigurationError where the file is no GGUF.
    """
    try:
        with path.open("rb") as file:
            found = _read_keys(file, through="tokenizer.ggml.token_type")
    except (OSError, struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{path} cannot be read as a GGUF model file") from error
    tokens, kinds = found.get("tokenizer.ggml.tokens"), found.get("tokenizer.ggml.token_type")
    if not isinstance(tokens, list) or not isinstance(kinds, list):
        return ()
    pairs = zip(tokens, kinds, strict=False)
    return tuple(str(token) for token, kind in pairs if kind in _CONTROL_KINDS)


def _read_keys(file: BinaryIO, through: str = "") -> dict[str, object]:
    if file.read(4) != MAGIC:
        raise ValueError("no GGUF magic")
    version, _tensors, count = struct.unpack("<IQQ", file.read(20))
    if version not in (2, 3):
        raise ValueError("unknown GGUF version")
    found: dict[str, object] = {}
    for _ in range(count):
        key = _string(file)
        if key.startswith("tokenizer.") and not through:
            break
        found[key] = _value(file, _unpack(file, "<I"), _MAX_VOCABULARY if through else 4096)
        if key == through:
            break
    return found


def _value(file: BinaryIO, kind: int, most: int = 4096) -> object:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item, length = struct.unpack("<IQ", file.read(12))
        if length > most > 4096:
            raise ValueError("a list is too long")
        if item in _FIXED:
            form = f"<{min(length, most)}{_FIXED[item][1]}"
            return list(struct.unpack(form, file.read(struct.calcsize(form))))
        return [_value(file, item) for _ in range(min(length, most))]
    return _unpack(file, _FIXED[kind])


def _string(file: BinaryIO) -> str:
    length = _unpack(file, "<Q")
    if length > _MAX_STRING_BYTES:
        raise ValueError("a string is too long")
    return file.read(length).decode()


def _unpack(file: BinaryIO, form: str) -> int:
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return int(value) if form != "<f" else value


def _number(value: object) -> int:
    """A key that may be given per layer counts as its largest."""
    if isinstance(value, list):
        return max(int(item) for item in value)
    if isinstance(value, int | float):
        return int(value)
    raise TypeError("not a number")


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


def compute_least_bytes(path: Path) -> int:
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
