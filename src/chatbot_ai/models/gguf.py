"""The facts of a GGUF file that sizing needs, read from its header.

Source of the layout: ggml, docs/gguf.md (version 2 and 3). Only the key-value part is read, and
only until the tokenizer's lists, which hold megabytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chatbot_ai.domain.errors import ConfigurationError

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
