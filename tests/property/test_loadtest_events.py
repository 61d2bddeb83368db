"""Properties of the load test's event decoder and of what is embedded in the report."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.tools.loadtest.client import (
    EventDecoder,
    ServerEvent,
    retry_after_s,
    server_timing_s,
)
from chatbot_ai.tools.loadtest.record import seconds
from chatbot_ai.tools.loadtest.report import embed_json

LINES = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)
EVENTS = st.lists(
    st.builds(ServerEvent, LINES.filter(bool), st.lists(LINES, min_size=1).map("\n".join))
)


def encoded(events: list[ServerEvent], end: str) -> bytes:
    text = ""
    for item in events:
        data = "".join(f"data: {line}{end}" for line in item.data.split("\n"))
        text += f"event: {item.name}{end}: a comment{end}{data}{end}"
    return text.encode()


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_survive_any_cut(events: list[ServerEvent], end: str, data: st.DataObject) -> None:
    """Any stream, with any line ending, cut anywhere, gives the events that went in."""
    whole = encoded(events, end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    decoder = EventDecoder()
    edges = [0, *cuts, len(whole)]
    found = [
        item
        for begin, finish in itertools.pairwise(edges)
        for item in decoder.feed(whole[begin:finish])
    ]
    assert found == events


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    """Bytes of any kind give events or none, never an exception, and the same at every cut."""
    whole = EventDecoder().feed(raw)
    decoder = EventDecoder()
    assert [e for index in range(len(raw)) for e in decoder.feed(raw[index : index + 1])] == whole


@given(st.text())
def test_headers_of_any_text_are_read_without_harm(text: str) -> None:
    """Header values of any kind give finite, non-negative seconds or nothing."""
    for value in [*server_timing_s(text).values(), retry_after_s(text), seconds(text)]:
        assert value is None or 0 <= value < float("inf")


TEXTS = st.text() | st.sampled_from(
    ["</script>", "<!--", "]]>", "&lt;", "\u2028", "<img onerror=x>"]
)


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_embedded_text_cannot_leave_its_element(value: object) -> None:
    """Data of any text holds no character that HTML could read, and comes back unchanged."""
    text = embed_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
