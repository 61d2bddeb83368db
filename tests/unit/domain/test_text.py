"""Text in its one form, in time that its length alone decides."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.text import MAX_MARKS, clean_text, normalize

SOURCE = Path(__file__).parents[3] / "src" / "chatbot_ai"
#: Two marks of different classes, which the normal form puts in order.
MARKS = "\u0316\u0301"


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD"])
@given(text=st.text())
def test_text_that_people_write_gets_its_normal_form(
    form: Literal["NFC", "NFKC", "NFD"], text: str
) -> None:
    """Nothing differs from Unicode's own form where no run of marks is too long."""
    assert normalize(text, form) == unicodedata.normalize(form, text)


def test_a_run_of_marks_is_cut() -> None:
    """Ordering marks costs the square of their number; a megabyte of them stays short."""
    text = "a" + MARKS * 250_000 + "b" + MARKS * 10 + "가"
    shaped = normalize(text, "NFD")
    runs = [len(run) for run in re.split(r"[ab가\u1100\u1161]+", shaped) if run]
    assert runs == [MAX_MARKS, 20]
    assert len(clean_text("x" + MARKS * 500_000)) <= MAX_MARKS + 1


def test_marks_after_other_symbols_are_cut_too() -> None:
    """Symbols that are no letters do not hide a run behind them."""
    assert len(normalize("…" * 40 + MARKS * 5_000, "NFD")) == 40 + MAX_MARKS
    assert normalize("…" * 100) == "…" * 100


def test_nothing_else_normalizes_text() -> None:
    """One function bounds the work; nobody calls the library's around it."""
    others = [
        path.name
        for path in SOURCE.rglob("*.py")
        if re.search(r"unicodedata\.(is_)?normalize", path.read_text("utf-8"))
        and path != SOURCE / "domain" / "text.py"
    ]
    assert others == []
