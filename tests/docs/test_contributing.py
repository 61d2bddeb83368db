"""CONTRIBUTING.md sends nobody to what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PLACES = re.findall(r"^\| [^|]+ \| `([^`|]+)` \| `([^`|]+)` \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("path", "symbol"), PLACES)
def test_every_place_of_a_change_is_there(path: str, symbol: str) -> None:
    """The file exists and holds what one is to look for."""
    assert symbol in (ROOT / path).read_text("utf-8")


def test_the_table_answers_the_usual_questions() -> None:
    assert len(PLACES) >= 16


def test_every_command_exists() -> None:
    """Each `make` of the page is a target."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"\bmake ([a-z][a-z-]+)", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
