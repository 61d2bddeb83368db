"""The chat page's files: small, complete, with licences, and in both languages."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

WEB = Path(__file__).parents[3] / "web"
MAX_COMPRESSED_BYTES = 200_000
SCRIPTS = [*(WEB / "app").glob("*.js"), WEB / "messages.js"]


def test_the_whole_page_is_small() -> None:
    """Every file that the page can ever ask for, compressed one by one, is under 200 kB."""
    shipped = [p for p in WEB.rglob("*") if p.is_file() and p.suffix not in (".txt", ".json")]
    assert sum(len(gzip.compress(p.read_bytes())) for p in shipped) < MAX_COMPRESSED_BYTES


def test_vendored_files_are_what_was_fetched() -> None:
    """Each vendored file has the SHA-256 that vendor.json names, and each package its licence."""
    noted = json.loads((WEB / "vendor" / "vendor.json").read_text("utf-8"))
    there = {
        str(p.relative_to(WEB / "vendor")): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in (WEB / "vendor").rglob("*")
        if p.is_file() and p.name != "vendor.json"
    }
    assert there == noted["sha256"]
    for package in noted["packages"]:
        assert package["text"] in there
        assert package["version"]


def test_every_module_is_fetched_in_the_first_round() -> None:
    """index.html preloads exactly the modules that exist, so that none waits for another."""
    page = (WEB / "index.html").read_text("utf-8")
    named = set(re.findall(r'(?:href|src)="(?!https?:)([^"]+\.js)"', page))
    own = {str(p.relative_to(WEB)) for p in [*SCRIPTS, *(WEB / "vendor").glob("*.js")]}
    assert named == own | {"early.js"}


def test_nothing_is_loaded_from_elsewhere_or_written_inline() -> None:
    """No address of another host, no inline script, style or handler in the page itself."""
    page = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r'(?:href|src)="(?:https?:)?//', page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>", page)


def test_every_sentence_exists_in_both_languages() -> None:
    """Keys that the page uses are in the catalogue, and every one has two different-language
    texts with the same places to fill."""
    catalogue = (WEB / "messages.js").read_text("utf-8")
    entry = r'^  (\w+): \[\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)",?\s*\],$'
    found = re.findall(entry, catalogue, re.M)
    keys = {key for key, _, _ in found}
    assert len(found) == len(keys) == len(re.findall(r"^  \w+: \[", catalogue, re.M))
    for key, korean, english in found:
        places = [set(re.findall(r"\{(\w+)\}", text)) for text in (korean, english)]
        assert places[0] == places[1], key
    used = {
        key for script in SCRIPTS for key in re.findall(r'\bt\("(\w+)"', script.read_text("utf-8"))
    }
    assert used <= keys
