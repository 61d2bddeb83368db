"""Source numbers that have no source never reach a reader, however the text is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot_ai.domain.citations import (
    CitationFilter,
    filtered,
    find_cited,
    format_sources,
)
from chatbot_ai.domain.grounding import Source
from support.generated import examples

SIGNS = "[ ] 1 2 3 7 12 , - 출처 ^ ` `` ``` 【 】 ［ ］ [1] [9] [1,9] [1-3] 가 a . ( ~"
PIECES = st.sampled_from([*SIGNS.split(" "), " ", "  ", "\n", "[ 2 ]", "[1, 9]"])
TEXTS = st.lists(PIECES, max_size=24).map("".join)


@pytest.mark.parametrize(
    ("text", "sources", "expected"),
    [
        ("서울은 수도다 [1].", 1, "서울은 수도다 [1]."),
        ("서울은 수도다 [2].", 1, "서울은 수도다."),
        ("서울은 수도다[3][1].", 1, "서울은 수도다[1]."),
        ("둘 다 [1, 2]", 2, "둘 다 [1, 2]"),
        ("하나만 [1, 4]", 2, "하나만 [1]"),
        ("범위 [1-5]", 2, "범위 [1][2]"),
        ("범위 [3-5] 끝", 2, "범위 끝"),
        ("없음 [0]", 3, "없음"),
        ("전각 【4】 기호", 2, "전각 기호"),
        ("이름 붙은 [출처 9] 번호", 2, "이름 붙은 번호"),
        ("각주[^8]", 2, "각주"),
        ("연도 [2024] 보고서", 2, "연도 [2024] 보고서"),
        ("[예시] [x] [ ]", 2, "[예시] [x] [ ]"),
        ("코드 `a[7]` 밖 [7]", 2, "코드 `a[7]` 밖"),
        ("`a`[7] 뒤", 2, "`a`  뒤"),
        ("```\nb[9]\n```\n뒤 [9]", 2, "```\nb[9]\n```\n뒤"),
        ("`닫히지 않은\n뒤 [9].", 2, "`닫히지 않은\n뒤."),
        ("미완 [1", 2, "미완 [1"),
        ("미완 [", 2, "미완 ["),
        ("겹친 [1[7]2] 꼴", 3, "겹친 [1[]2] 꼴"),
        ("", 2, ""),
    ],
)
def test_markers(text: str, sources: int, expected: str) -> None:
    """Known numbers stay, unknown ones go with the space before them, code is left alone."""
    assert filtered(text, range(1, sources + 1)) == expected


@given(TEXTS, st.integers(0, 3))
@settings(max_examples=examples(300))
def test_every_single_cut_gives_the_same(text: str, sources: int) -> None:
    """A text cut in two anywhere, and one fed character by character, filter the same."""
    whole = filtered(text, range(1, sources + 1))
    for cut in range(len(text) + 1):
        citations = CitationFilter(range(1, sources + 1))
        out = citations.feed(text[:cut]) + citations.feed(text[cut:]) + citations.finish()
        assert out == whole
    citations = CitationFilter(range(1, sources + 1))
    assert "".join(map(citations.feed, text)) + citations.finish() == whole


@given(st.lists(TEXTS, max_size=8), st.integers(0, 3))
@settings(max_examples=examples(200))
def test_any_deltas_give_the_same(deltas: list[str], sources: int) -> None:
    """Any sequence of deltas filters like their joined text, and cites the same sources."""
    streamed, whole = CitationFilter(range(1, sources + 1)), CitationFilter(range(1, sources + 1))
    out = "".join(map(streamed.feed, deltas)) + streamed.finish()
    assert out == whole.feed("".join(deltas)) + whole.finish()
    assert streamed.cited == whole.cited


@given(TEXTS.filter(lambda text: "`" not in text), st.integers(0, 3))
@settings(max_examples=examples(500))
def test_no_unknown_number_is_left(text: str, sources: int) -> None:
    """Outside of code, every bracketed number that comes out has a source."""
    out = filtered(text, range(1, sources + 1))
    for marker in re.findall(r"[\[【［] *(?:\^|출처 *)?(\d{1,3}) *[\]】］]", out):
        assert 1 <= int(marker) <= sources


@given(TEXTS, st.integers(0, 3))
@settings(max_examples=examples(300))
def test_filtering_twice_changes_nothing(text: str, sources: int) -> None:
    """What was removed does not make a new marker of its neighbours."""
    once = filtered(text, range(1, sources + 1))
    assert filtered(once, range(1, sources + 1)) == once


@given(st.text(alphabet="가나다 abc.,!?\n", max_size=200))
def test_text_without_brackets_passes_at_once(text: str) -> None:
    """Plain text passes unchanged, and all but trailing spaces without delay."""
    citations = CitationFilter((1, 2))
    first = citations.feed(text)
    assert first == text.rstrip(" ")
    assert first + citations.finish() == text


def test_what_is_held_back_is_bounded() -> None:
    """An endless bracket is not held back."""
    citations = CitationFilter((1,))
    assert len(citations.feed("[" + "1," * 1000)) > 1800


SOURCES = (Source(1, "하나", "https://a.example/"), Source(2, "둘", "https://b.example/"))


def test_the_list_names_the_cited_sources() -> None:
    """The list holds the cited sources, all of them without a selection, and none is no list."""
    assert "https://b.example/" not in format_sources(SOURCES, {1})
    assert [line[:3] for line in format_sources(SOURCES).splitlines()[3:]] == ["[1]", "[2]"]
    assert format_sources(SOURCES, set()) == ""
    assert format_sources((), None, "en") == ""


@pytest.mark.parametrize(
    ("text", "cited"),
    [("없다.", set()), ("하나 [1].", {1}), ("둘 다 [1, 2] [3]", {1, 2}), ("`[1]`", set())],
)
def test_an_answer_that_cites_nothing_has_no_list(text: str, cited: set[int]) -> None:
    """Pages that were found and not used are no sources of the answer."""
    assert find_cited(text, SOURCES) == cited
    assert bool(format_sources(SOURCES, find_cited(text, SOURCES))) == bool(cited)
