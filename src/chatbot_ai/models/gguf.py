"""The header of a GGUF file: what a model is, its control tokens, and how long the file must be.

Source of the layout: ggml, docs/gguf.md (versions 2 and 3); of the block sizes: ggml,
src/ggml-common.h. No weight is read: a file that is cut anywhere behind its header is noticed at
the price of reading some megabytes of vocabulary. Every length is checked against the file before
anything of that length is read, so a broken file costs no more than a whole one.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.domain.errors import ChatbotError, ConfigurationError

MAGIC = b"GGUF"
#: Value types with a fixed size: number -> struct format.
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
#: More dimensions than ggml has, or deeper arrays than anybody writes, mean a broken header; so do
#: a string or a list that is longer than this where we read it.
_MOST_DIMENSIONS, _DEEPEST = 4, 4
_LONGEST_STRING, _LONGEST_LIST = 1 << 20, 2_000_000
#: The largest vocabularies take some ten megabytes.
_LONGEST_HEADER = 1 << 27
#: What is read of a header, without the first part of the key's name.
_FACT_KEYS = """
    architecture block_count embedding_length context_length attention.head_count
    attention.head_count_kv attention.key_length attention.value_length
"""
_FACTS = frozenset(_FACT_KEYS.split())
_ALIGNMENT_KEY, _ALIGNMENT = "general.alignment", 32
_LANGUAGES_KEY = "general.languages"
#: Other spellings that model cards have of the two languages that matter here.
_LANGUAGE_CODES = {"kor": "ko", "korean": "ko", "eng": "en", "english": "en"}
_TOKENS_KEY, _KINDS_KEY = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
#: Kinds of token: 3 control, 4 user-defined.
_CONTROL_KINDS = (3, 4)
#: Bytes of one number in the KV cache: f16; q8_0 and q4_0 carry a 2-byte scale per 32 numbers.
CACHE_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
#: ggml's type numbers: numbers in a block, bytes of a block.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class BrokenHeader(ChatbotError):
    """The header cannot be read: no GGUF, another version, or cut within the header."""


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
    found = _read_keys(path, lambda key: key.partition(".")[2] in _FACTS, "tokenizer.")
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
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigurationError(f"{path} does not say how large its model is") from error


def _number(value: object) -> int:
    """A key that may be given per layer counts as its largest."""
    if isinstance(value, list):
        return max(int(item) for item in value)
    if isinstance(value, int | float):
        return int(value)
    raise TypeError("not a number")


def read_control_tokens(path: Path) -> tuple[str, ...]:
    """The control and user-defined tokens of the model's vocabulary.

    Raises ConfigurationError where the file is no GGUF.
    """
    found = _read_keys(path, lambda key: key in (_TOKENS_KEY, _KINDS_KEY), _KINDS_KEY)
    tokens, kinds = found.get(_TOKENS_KEY), found.get(_KINDS_KEY)
    if not isinstance(tokens, list) or not isinstance(kinds, list):
        return ()
    pairs = zip(tokens, kinds, strict=False)
    return tuple(str(token) for token, kind in pairs if kind in _CONTROL_KINDS)


def read_languages(path: Path) -> tuple[str, ...]:
    """The languages that the model says it speaks, as ISO 639-1 codes; empty where it says nothing.

    Raises ConfigurationError where the file is no GGUF.
    """
    found = _read_keys(path, lambda key: key == _LANGUAGES_KEY, "tokenizer.").get(_LANGUAGES_KEY)
    if not isinstance(found, list):
        return ()
    names = (re.split("[-_]", str(name).lower())[0] for name in found)
    return tuple(_LANGUAGE_CODES.get(name, name) for name in names)


def compute_least_bytes(path: Path) -> int:
    """Bytes that the file has at least if its last tensor is whole.

    A tensor of a type that is not known here counts with its beginning only. Raises BrokenHeader,
    and OSError where the file cannot be read.
    """
    with _open(path) as header:
        found = dict(header.read_keys(lambda key: key == _ALIGNMENT_KEY)).get(_ALIGNMENT_KEY)
        return header.find_end(found if isinstance(found, int) else _ALIGNMENT)


def _read_keys(path: Path, is_wanted: Callable[[str], bool], last: str) -> dict[str, object]:
    """The values of the wanted keys, up to the first key that begins with `last`."""
    found = {}
    try:
        with _open(path) as header:
            for key, value in header.read_keys(is_wanted):
                found[key] = value
                if key.startswith(last):
                    break
        return found
    except (OSError, BrokenHeader) as error:
        raise ConfigurationError(f"{path} cannot be read as a GGUF model file") from error


@contextmanager
def _open(path: Path) -> Iterator[_Header]:
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield _Header(content)
        except (struct.error, ValueError, OverflowError) as error:
            # an empty file, a length beyond the end, a type that is none
            raise BrokenHeader(str(error)) from error


class _Header:
    """A position in the header that moves forward."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = len(MAGIC)
        version, self._tensors, self._keys = self._take("<IQQ")
        if content[: len(MAGIC)] != MAGIC or version not in (2, 3):
            raise ValueError("no GGUF of version 2 or 3")

    def read_keys(self, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, object]]:
        """Yield each key with its value, None for those that are not wanted."""
        for _ in range(self._keys):
            key = self._string().decode("utf-8", "replace")
            (kind,) = self._take("<I")
            yield key, self._value(kind, is_kept=is_wanted(key))

    def find_end(self, alignment: int) -> int:
        """Where the last tensor ends; to be called behind the keys."""
        ends = [self._tensor_end() for _ in range(self._tensors)]
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

    def _value(self, kind: int, *, is_kept: bool, depth: int = 0) -> object:
        """Read a value, or pass it over and return None."""
        if kind in _FIXED:
            (number,) = self._take(f"<{_FIXED[kind]}")
            return number if is_kept else None
        if kind == _STRING:
            text = self._string(is_kept=is_kept)
            return text.decode() if is_kept else None
        if kind != _ARRAY or depth == _DEEPEST:
            raise ValueError(f"value type {kind}")
        item, length = self._take("<IQ")
        if is_kept and length > _LONGEST_LIST:
            raise ValueError("a list is too long")
        if item in _FIXED:
            form = f"<{length}{_FIXED[item]}"
            if is_kept:
                return list(self._take(form))
            self._skip(struct.calcsize(form))
            return None
        values = []
        for _ in range(length):
            value = self._value(item, is_kept=is_kept, depth=depth + 1)
            if is_kept:
                values.append(value)
        return values if is_kept else None

    def _string(self, *, is_kept: bool = True) -> bytes:
        (length,) = _LENGTH.unpack_from(self._content, self._at)
        self._skip(_LENGTH.size + length)
        if is_kept and length > _LONGEST_STRING:
            raise ValueError("a string is too long")
        return self._content[self._at - length : self._at] if is_kept else b""

    def _take(self, form: str) -> tuple[int, ...]:
        begin = self._skip(struct.calcsize(form))
        return struct.unpack_from(form, self._content, begin)

    def _skip(self, count: int) -> int:
        """Move forward and return where this began. Raises ValueError at the header's end."""
        begin = self._at
        self._at += count
        if self._at > min(len(self._content), _LONGEST_HEADER):
            raise ValueError("the header ends early")
        return begin
