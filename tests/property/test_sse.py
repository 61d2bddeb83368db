"""The decoder of server-sent events under every way of cutting the bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.llm.sse import MAX_EVENT_BYTES, EventTooLong, SseDecoder

#: Letters that make cuts interesting: line ends come from the form, the rest from here.
TEXT = st.text(st.sampled_from(list('ab: 가힣각é👋👩‍👧🇰🇷\x00{}"')), max_size=12)
DATA = st.lists(TEXT, min_size=1, max_size=3).map("\n".join).filter(bool)
NOISE = st.sampled_from([": keep-alive", "event: x", "id: 1", "retry: 5", "database: no", "x"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """A stream in one of the three line ends, and the data that it carries."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    events = draw(st.lists(DATA, max_size=5))
    lines: list[str] = []
    for data in events:
        lines += draw(st.lists(NOISE, max_size=2))
        space = draw(st.sampled_from(["", " "]))
        # without the optional space, a line's own first space would be taken for it
        lines += [
            f"data:{' ' if line.startswith(' ') else space}{line}" for line in data.split("\n")
        ]
        lines.append("")
    return "".join(line + end for line in lines).encode(), events


def decoded(pieces: list[bytes]) -> list[str]:
    decoder = SseDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)]


@given(streams(), st.data())
def test_any_cutting_gives_the_same_events(
    stream: tuple[bytes, list[str]], data: st.DataObject
) -> None:
    """However the bytes are cut, inside CR LF or a character too, the same events come out."""
    raw, expected = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert decoded(pieces) == expected


@given(streams())
def test_byte_by_byte(stream: tuple[bytes, list[str]]) -> None:
    """Fed one byte at a time, every event comes out, each as soon as its blank line is there."""
    raw, expected = stream
    assert decoded([raw[i : i + 1] for i in range(len(raw))]) == expected


@given(streams(), TEXT)
def test_an_unfinished_event_is_not_given(stream: tuple[bytes, list[str]], rest: str) -> None:
    """What no blank line has closed is no event."""
    raw, expected = stream
    assert decoded([raw, f"data: {rest}".encode()]) == expected


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """Nonsense gives events or UnicodeDecodeError, nothing else."""
    with suppress(UnicodeDecodeError):
        assert all(isinstance(data, str) for data in decoded([raw, b"\n\n"]))


@pytest.mark.parametrize(
    "line", [b"data: " + b"x" * 1000 + b"\n", b"data:\n", b"data: " + b"x" * 999]
)
def test_memory_is_bounded(line: bytes) -> None:
    """An event without end, as one line or as many, is given up at the limit."""
    decoder = SseDecoder()
    with pytest.raises(EventTooLong):
        for _ in range(MAX_EVENT_BYTES * 3 // len(line)):
            assert list(decoder.feed(line)) == []


def test_the_largest_event_passes() -> None:
    """An event just below the limit is an event."""
    data = "x" * (MAX_EVENT_BYTES - 100)
    assert decoded([f"data: {data}\n\n".encode()]) == [data]
