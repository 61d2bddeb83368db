"""GGUF files with true headers and no weights: what sizing and checking read, without gigabytes."""

from __future__ import annotations

import random
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


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
