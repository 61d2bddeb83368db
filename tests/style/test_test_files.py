"""Where tests are and what they are called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests").rglob("test_*.py"))
#: Folders of tests/unit that are no package of ours: programs and pages beside it.
OTHERS = {"web"}


def test_every_name_is_its_own() -> None:
    """A file of tests is found by its name alone."""
    assert [name for name, count in Counter(file.name for file in FILES).items() if count > 1] == []


def test_unit_tests_are_in_the_folder_of_their_package() -> None:
    """tests/unit/core holds the unit tests of src/chatbot_ai/core, and so on."""
    packages = {path.parent.name for path in (ROOT / "src" / "chatbot_ai").glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests" / "unit").iterdir() if any(path.glob("*.py"))}
    assert folders - packages - OTHERS - {"__pycache__"} == set()
