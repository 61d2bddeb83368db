"""GGUF files: true headers without weights, for sizing and checking; a model with few layers."""

from __future__ import annotations

import os
import random
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What Llama 3.1 8B says of itself.
LLAMA_8B: Mapping[str, str | int] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.context_length": 131072,
}
#: Name, dimensions, ggml type (2 is Q4_0: 18 bytes for 32 numbers), offset in the data.
Tensor = tuple[str, tuple[int, ...], int, int]
TENSORS: Sequence[Tensor] = (
    ("token_embd.weight", (64, 32), 0, 0),
    ("blk.0.attn_q.weight", (64, 64), 2, 8192),
)
#: The bytes of TENSORS: 64 x 32 of f32, 64 x 64 of Q4_0.
TENSOR_BYTES = 8192 + 64 * 64 // 32 * 18
ALIGNMENT = 32


def header(
    facts: Mapping[str, str | int | Sequence[str]] = LLAMA_8B,
    tensors: Sequence[Tensor] = TENSORS,
    alignment: int = ALIGNMENT,
) -> bytes:
    """Everything before the weights, padded to where they begin."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(facts))]
    for key, value in facts.items():
        parts.append(_string(key))
        if isinstance(value, int):
            parts.append(struct.pack("<II", 4, value))
        elif isinstance(value, str):
            parts.append(struct.pack("<I", 8) + _string(value))
        else:
            parts.append(struct.pack("<IIQ", 9, 8, len(value)))
            parts += [_string(item) for item in value]
    for name, dimensions, kind, offset in tensors:
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        parts.append(_string(name) + shape + struct.pack("<IQ", kind, offset))
    whole = b"".join(parts)
    return whole + bytes(-len(whole) % alignment)


def small_gguf(fill: bytes = b"w") -> bytes:
    """A whole file of some kilobytes."""
    return header() + (fill * (TENSOR_BYTES // len(fill) + 1))[:TENSOR_BYTES]


def random_gguf(seed: int, weights_bytes: int) -> bytes:
    """A whole file whose weights are noise, so that it does not compress and no part repeats."""
    weights = (("w", (weights_bytes,), 24, 0),)
    return header(tensors=weights) + random.Random(seed).randbytes(weights_bytes)


def sparse_gguf(path: Path, size_bytes: int) -> Path:
    """A file that is as large as a real one and takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(header())
        file.truncate(size_bytes)
    return path


def keep_layers(source: Path, target: Path, layers: Sequence[int]) -> None:
    """Write the model in `source` with these of its layers alone: vocabulary, template and all
    else stay. `target` is there whole or not at all, however many processes write it."""
    content = source.read_bytes()
    reader = _Reader(content, at=4)
    version, tensors, keys = reader.take("<IQQ")
    begin, count_at = reader.at, 0
    for _ in range(keys):
        is_count = reader.string().endswith(".block_count")
        (kind,) = reader.take("<I")
        count_at = reader.at if is_count else count_at
        reader.skip_value(kind)
    facts = bytearray(content[begin : reader.at])
    struct.pack_into("<I", facts, count_at - begin, len(layers))
    infos = [reader.tensor() for _ in range(tensors)]
    start = -(-reader.at // ALIGNMENT) * ALIGNMENT
    offsets = sorted([*(offset for *_, offset in infos), len(content) - start])
    head, data = bytearray(), bytearray()
    kept = 0
    for name, dimensions, kind, offset in infos:
        layer = re.match(r"blk\.(\d+)\.", name)
        if layer and int(layer[1]) not in layers:
            continue
        new = f"blk.{layers.index(int(layer[1]))}.{name[layer.end() :]}" if layer else name
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        head += _string(new) + shape + struct.pack("<IQ", kind, len(data))
        data += content[start + offset : start + offsets[offsets.index(offset) + 1]]
        kept += 1
    whole = b"GGUF" + struct.pack("<IQQ", version, kept, keys) + facts + head
    written = target.with_name(f"{target.name}.{os.getpid()}")
    written.write_bytes(whole + bytes(-len(whole) % ALIGNMENT) + data)
    written.replace(target)


class _Reader:
    """A position in a header that moves forward."""

    #: Bytes of the values that have a fixed size, by their type.
    WIDTHS: Mapping[int, int] = {
        0: 1,
        1: 1,
        2: 2,
        3: 2,
        4: 4,
        5: 4,
        6: 4,
        7: 1,
        10: 8,
        11: 8,
        12: 8,
    }

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self.at = content, at

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._content, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self) -> str:
        (length,) = self.take("<Q")
        self.at += length
        return self._content[self.at - length : self.at].decode()

    def skip_value(self, kind: int) -> None:
        if kind in self.WIDTHS:
            self.at += self.WIDTHS[kind]
        elif kind == 8:
            self.string()
        else:
            item, length = self.take("<IQ")
            for _ in range(length):
                self.skip_value(item)

    def tensor(self) -> Tensor:
        name = self.string()
        (count,) = self.take("<I")
        return (name, self.take(f"<{count}Q"), *self.take("<IQ"))  # type: ignore[return-value]


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
