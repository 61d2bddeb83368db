"""Keys in texts: Korean, Latin and both."""

from __future__ import annotations

import unicodedata

import pytest

from chatbot_ai.cards.keys import Haystack, Needle, contains, is_josa


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("열쇠", "그 열쇠를 줘", True),
        ("열쇠", unicodedata.normalize("NFD", "그 열쇠를 줘"), True),
        (unicodedata.normalize("NFD", "열쇠"), "은열쇠가", True),
        ("마법 학교", "마법학교에 가자", True),
        ("마법학교", "그 마법 학교에 가자", True),
        ("과자", "사과 자르기", False),
        ("왕", "여왕님", True),
        ("Tom", "Tom은 간다", True),
        ("Tom", "tom에게서도 왔다", True),
        ("Tom", "Tom씨들이랑", True),
        ("Tom", "그Tom", True),
        ("Tom", "Tom입니다.", True),
        ("Tom", "Tom고양이", False),
        ("Tom", "Tomb", False),
        ("Tom", "atom", False),
        ("Tom", "Tom1", False),
        ("Tom", "bottom, then Tom!", True),
        ("AI 로봇", "ai로봇을", True),
        ("AI 로봇", "mai로봇을", False),
        ("S급", "클래S급", True),
        ("S급", "CLASS급", False),
        ("GPT-4", "GPT-4로 썼다", True),
        ("C++", "C++을 쓴다", True),
        ("straße", "STRASSE", True),
        ("ÉMILE", "émile은", True),
        ("猫", "黒猫です", True),
        ("", "anything", False),
        ("  ", "any thing", False),
        ("!", "hey!", True),
    ],
)
def test_keys_are_contained_as_readers_would_say(key: str, text: str, expected: bool) -> None:
    """Korean joins words and adds particles; Latin words stand alone."""
    assert contains(Haystack(text), Needle.of(key)) is expected


def test_ways_of_matching_can_be_chosen() -> None:
    """Case, whole words and spacing."""
    assert not contains(Haystack("tom"), Needle.of("Tom", case_sensitive=True))
    assert contains(Haystack("Tom은"), Needle.of("Tom", case_sensitive=True))
    assert contains(Haystack("bottom"), Needle.of("tom"), whole_words=False)
    assert not contains(Haystack("마법 학교"), Needle.of("마법학교", space_insensitive=False))


def test_particles_may_follow_one_another() -> None:
    """Real chains are known, other words are not."""
    assert all(map(is_josa, ["", "은", "에게서도", "들에게까지만", "이라고는", "씨한테서", "만을"]))
    assert not any(map(is_josa, ["고양이", "학회", "은행", "가방", "가을", "이야기", "은는이가"]))
