"""The tables of everything that people read, and how a text is found and filled in."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai import messages
from chatbot_ai.messages import AREAS, get_message, has_message, parse_accept_language, read_table

SOURCE = Path(messages.__file__).parents[1]
HANGUL = re.compile("[가-힣]")
KEYS = sorted(f"{area}.{key}" for area in AREAS for key in read_table(area))
#: Names that are the same in every language.
NAMES = re.compile(r"\{[^}]*\}|CPU|GPU|nginx|MongoDB|SQLite|Docker|Python")
#: A particle right behind a value, in the one form that fits every value or not.
FIXED_PARTICLE = re.compile(
    r"\}[\'’”)]?(?:은|는|이|가|을|를|과|와|으로|로|이나|나|이랑|랑)(?![가-힣])"
)
#: A particle is written without a space.
LOOSE_PARTICLE = re.compile(r"[}`’”)] (?:은|는|이|가|을|를|에|에서|의|로|으로|과|와)(?![가-힣])")


def find_entry(key: str) -> messages.Entry:
    area, _, name = key.partition(".")
    return read_table(area)[name]


def placeholders(text: str) -> set[tuple[str, str | None]]:
    return {(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None}


@cache
def read_source() -> tuple[set[str], set[str]]:
    """Return every string of the source, and a pattern for every key that it looks up.

    An f-string of a key becomes a pattern with (.+) for its values.
    """
    strings, keys = set(), set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
            if isinstance(node, ast.expr) and "chatbot_ai.messages" in text:
                keys.add(_to_pattern(node))
    is_key = re.compile(rf"(?:{'|'.join(AREAS)})\\\.[a-z_(.+)\\]*[a-z)]")
    return strings, {key for key in keys if is_key.fullmatch(key)}


def _to_pattern(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(_to_pattern(part) for part in parts)
        case ast.FormattedValue():
            return "(.+)"
    return ""


@pytest.mark.parametrize("key", KEYS)
def test_both_languages_say_the_same(key: str) -> None:
    """Both are there, in their own letters, with the same values in the same number of lines."""
    entry = find_entry(key)
    assert set(entry) == {"ko", "en"}
    words = NAMES.sub("", entry["ko"])
    assert HANGUL.search(words) or not re.search("[A-Za-z]{3}", words)
    assert not HANGUL.search(entry["en"])
    assert placeholders(entry["ko"]) == placeholders(entry["en"])
    assert entry["ko"].count("\n") == entry["en"].count("\n")


@pytest.mark.parametrize("key", KEYS)
def test_particles_fit_any_value(key: str) -> None:
    """After a value stands no particle, or one in both forms; none stands after a space."""
    korean = find_entry(key)["ko"]
    assert not FIXED_PARTICLE.search(korean)
    assert not LOOSE_PARTICLE.search(korean)


def is_named(part: str) -> bool:
    """Whether the source names this part of a key, or both halves of it (`model_` and a state)."""
    begin, _, end = part.partition("_")
    strings, _ = read_source()
    return part in strings or {f"{begin}_", end} <= strings


def test_the_tables_are_shipped() -> None:
    """Each area has its table, and a wheel takes it along."""
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["chatbot_ai"]
    tables = sorted(SOURCE.rglob("messages/*.toml"))
    assert [table.stem for table in tables] == sorted(AREAS)
    assert all(any(map(table.relative_to(SOURCE).match, patterns)) for table in tables)


def test_every_key_is_used() -> None:
    """The source names each key, whole or as an f-string whose values it also names."""
    _, looked_up = read_source()
    found = {key: [m for p in looked_up if (m := re.fullmatch(p, key))] for key in KEYS}
    assert [
        key
        for key, matches in found.items()
        if not any(all(map(is_named, match.groups())) for match in matches)
    ] == []


def test_every_key_that_is_looked_up_exists() -> None:
    """A misspelt key fails here, not before a reader."""
    _, looked_up = read_source()
    assert len(looked_up) > 40
    assert [p for p in looked_up if not any(re.fullmatch(p, key) for key in KEYS)] == []


def test_values_are_filled_in_and_korean_particles_follow_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """은(는) and its kin take the form that the value before them needs."""
    table = {"x": {"ko": "{a}을(를) {n:.1f}(으)로 바꿨습니다. {{}}", "en": "{a} is {n:.1f} {{}}"}}
    monkeypatch.setattr(messages, "read_table", lambda area: table)
    assert get_message("any.x", "ko", a="하늘", n=0.21) == "하늘을 0.2로 바꿨습니다. {}"
    assert get_message("any.x", "ko", a="바다", n=6.0) == "바다를 6.0으로 바꿨습니다. {}"
    assert get_message("any.x", "ko", a="{b}!r", n=1) == "{b}!r를 1.0으로 바꿨습니다. {}"
    assert get_message("any.x", "en", a="a", n=1) == "a is 1.0 {}"
    with pytest.raises(KeyError):
        get_message("any.x", "ko", a="하늘")


def test_an_unknown_key_is_an_error() -> None:
    """Code that may meet one asks has_message first."""
    assert has_message("api.busy")
    assert not has_message("api.no_such_key")
    with pytest.raises(KeyError):
        get_message("api.no_such_key", "ko")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "ko"),
        ("", "ko"),
        ("en", "en"),
        ("EN-us", "en"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.3, ko;q=0.7", "ko"),
        ("fr, en;q=0.5", "en"),
        ("fr", "ko"),
        ("en;q=0", "ko"),
        ("en;q=x", "ko"),
        ("en;q=nan", "ko"),
        ("english", "ko"),
        ("*", "ko"),
    ],
)
def test_language_of_a_header(header: str | None, expected: str) -> None:
    """The better liked of Korean and English; the default for all else."""
    assert parse_accept_language(header) == expected


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    """Nonsense reads as the default, not as a failure."""
    assert parse_accept_language(header, "en") in ("ko", "en")


#: Korean that is neither a message nor a prompt: help of commands, examples of the API, and what
#: recognizes or forms Korean.
KOREAN_ELSEWHERE = (
    "api/*schemas.py",
    "api/character_bodies.py",
    "cards/png.py",
    "cards/keys.py",
    "cards/macro*.py",
    "cards/prompt.py",
    "cli/*.py",
    "core/search_query.py",
    "domain/citations.py",
    "domain/particles.py",
    "domain/prompt_texts.py",
    "domain/text.py",
    "search/grounder.py",
    "search/passages.py",
    "tools/loadtest/*.py",
)


DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_korean_stands_in_the_tables_and_in_prompt_texts() -> None:
    """A new message goes into a table, and a new text of a prompt into domain/prompt_texts.py."""
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        documented = (n for n in ast.walk(tree) if isinstance(n, DOCUMENTED))
        docs = {ast.get_docstring(n, clean=False) for n in documented}
        strings = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
        if any(isinstance(s, str) and HANGUL.search(s) and s not in docs for s in strings):
            assert any(map(path.match, KOREAN_ELSEWHERE)), path
