"""The documents agree with the code, with each other, and with the files they name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot_ai import __version__

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(?:\w+)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def blocks(path: Path) -> list[str]:
    """The fenced blocks of a document, in order."""
    return FENCE.findall(path.read_text("utf-8"))


def test_generated_parts_are_up_to_date() -> None:
    """Settings tables and .env.example say what the code says."""
    command = [sys.executable, "scripts/generate_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_readmes_show_the_same_commands() -> None:
    """The Korean and the English README hold the same blocks in the same order."""
    assert blocks(ROOT / "README.md") == blocks(ROOT / "README.ko.md")


def test_both_operations_guides_list_the_same_settings() -> None:
    """What one language's guide names, the other names too."""
    names = [
        set(re.findall(r"`([A-Z][A-Z0-9_]{3,})", (ROOT / "docs" / name).read_text("utf-8")))
        for name in ("operations.md", "operations.ko.md")
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_local_links_lead_somewhere(document: Path) -> None:
    """Every link to a file of the project is to one that exists."""
    for target in LINK.findall(document.read_text("utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), target


def test_the_changelog_knows_the_version() -> None:
    """The version of the package is Unreleased or has its heading."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "## Unreleased" in text if ".dev" in __version__ else f"## {__version__}" in text
