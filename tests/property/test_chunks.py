"""Reading a streamed chunk: whatever arrives, it is a chunk or BackendProtocolError."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.llm.chat_protocol import LONGEST_RETRY_S, parse_chunk, retry_after_s

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(["content", "finish_reason", "prompt_tokens", "delta", "x"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def parts(**optional: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=optional)


USAGE = parts(prompt_tokens=JSON, completion_tokens=JSON, prompt_tokens_details=JSON)
CHOICE = parts(delta=JSON | parts(content=JSON), message=JSON, finish_reason=JSON)
TIMINGS = parts(prompt_ms=JSON, predicted_ms=JSON, cache_n=JSON)
CHUNK = parts(
    choices=JSON | st.lists(CHOICE, max_size=2),
    usage=JSON | USAGE,
    timings=JSON | TIMINGS,
    model=JSON,
)


def read(data: str) -> None:
    try:
        chunk = parse_chunk(data)
    except BackendProtocolError:
        return
    chunk.text.encode()
    assert chunk.finish_reason in (None, "stop", "length")
    if chunk.usage:
        assert all(type(n) is int for n in (chunk.usage.prompt_tokens, chunk.usage.cached_tokens))


@given(JSON | CHUNK)
def test_any_json(body: object) -> None:
    """Any JSON is read or refused, and what is read has the promised types."""
    read(json.dumps(body))


@given(st.text())
def test_any_text(data: str) -> None:
    """Any text is read or refused."""
    read(data)


@given(st.text() | st.integers().map(str) | st.floats().map(str) | st.none())
def test_any_retry_after(header: str | None) -> None:
    """Every Retry-After header gives a wait between a second and an hour."""
    assert 1 <= retry_after_s(header, 5.0) <= LONGEST_RETRY_S
