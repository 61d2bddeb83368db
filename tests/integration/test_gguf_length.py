"""The length of a GGUF file, computed from its header alone."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.models.gguf import (
    BLOCKS,
    BrokenHeader,
    compute_least_bytes,
    read_control_tokens,
    read_facts,
)
from support.gguf_files import LLAMA_8B, TENSOR_BYTES, header, small_gguf


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def test_the_demo_models_length_is_exact(model_file: Path) -> None:
    """A real file of llama.cpp's own tools ends where its last tensor does."""
    assert compute_least_bytes(model_file) == model_file.stat().st_size


def test_header_and_tensors_add_up(tmp_path: Path) -> None:
    """Vocabulary is passed over, alignment kept, blocks counted as ggml does."""
    assert compute_least_bytes(written(tmp_path, small_gguf())) == len(header()) + TENSOR_BYTES
    facts = {**LLAMA_8B, "tokenizer.ggml.tokens": ["a", "한", ""] * 100, "general.alignment": 64}
    start = header(facts, alignment=64)
    assert compute_least_bytes(written(tmp_path, start)) == len(start) + TENSOR_BYTES
    assert compute_least_bytes(written(tmp_path, header(tensors=()))) == len(header(tensors=()))


@pytest.mark.parametrize("kind", [*BLOCKS, 77])
def test_every_type_has_its_size(tmp_path: Path, kind: int) -> None:
    """A type's blocks make its bytes; one that is not known counts from its beginning."""
    in_block, block_bytes = BLOCKS.get(kind, (1, 0))
    start = header(tensors=[("w", (512, 3), kind, 64)])
    expected = len(start) + 64 + 1536 // in_block * block_bytes
    assert compute_least_bytes(written(tmp_path, start)) == expected


@given(st.integers(0, len(header()) - 40), st.binary(max_size=12))
def test_any_damage_to_the_header_is_a_broken_header(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    """Cut or overwritten anywhere, it is read or refused; nothing else comes of it."""
    folder = tmp_path_factory.mktemp("gguf")
    whole = header()
    with contextlib.suppress(BrokenHeader):
        compute_least_bytes(written(folder, whole[:cut] + garbage + whole[cut + len(garbage) :]))
    with pytest.raises(BrokenHeader):
        compute_least_bytes(written(folder, whole[:cut]))
    for read in (read_facts, read_control_tokens):
        with contextlib.suppress(ConfigurationError):
            read(written(folder, whole[:cut] + garbage + whole[cut + len(garbage) :]))


@pytest.mark.parametrize("kind", [1, 6, 8, 9])
def test_a_length_beyond_the_file_is_never_made_room_for(tmp_path: Path, kind: int) -> None:
    """A list that claims more items than the file has bytes is refused before it is read."""
    key = b"llama.block_count"
    start = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, len(key)) + key
    path = written(tmp_path, start + struct.pack("<IIQ", 9, kind, 1 << 60) + bytes(64))
    with pytest.raises(BrokenHeader):
        compute_least_bytes(path)
    with pytest.raises(ConfigurationError):
        read_facts(path)


def test_numbers_that_are_none_and_long_lists_are_read(tmp_path: Path) -> None:
    """Infinity is no size; a list before the facts is passed over however long it is."""
    words = header({"general.tags": ["tag"] * 5000, **LLAMA_8B})
    assert read_facts(written(tmp_path, words)).layers == LLAMA_8B["llama.block_count"]
    heads = b"attention.head_count" + struct.pack("<I", 4)
    at = words.index(heads) + len(heads)
    infinite = words[: at - 4] + struct.pack("<If", 6, float("inf")) + words[at + 4 :]
    with pytest.raises(ConfigurationError):
        read_facts(written(tmp_path, infinite))


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    """Nothing can be read of nothing."""
    with pytest.raises(BrokenHeader):
        compute_least_bytes(written(tmp_path, b""))
