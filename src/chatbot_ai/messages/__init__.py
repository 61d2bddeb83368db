"""Everything that people read, in Korean and English: one TOML table for each area.

An entry is `[key]` with `ko` and `en`; `{name}` stands for a value. A Korean particle that depends
on the value before it is written in both forms, `{name}을(를)`, and the right one is chosen.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from chatbot_ai.domain.particles import resolve_particle

Language = Literal["ko", "en"]
#: Text by language.
Entry = Mapping[Language, str]

AREAS = ("api", "cards", "cli", "doctor", "gateway", "models", "settings")

_FOLDER = Path(__file__).parent
_FORMATTER = string.Formatter()


@cache
def read_table(area: str) -> Mapping[str, Entry]:
    """Return the entries of `<area>.toml` by their keys; `[chat.hint]` has the key `chat.hint`."""
    table = tomllib.loads((_FOLDER / f"{area}.toml").read_text("utf-8"))
    return dict(_flatten(table, ""))


def get_message(key: str, language: Language, **values: object) -> str:
    """Return the text of `key`, an area and its key (`api.busy`), with its values filled in.

    Raises KeyError for an unknown key or a value that is missing.
    """
    area, _, name = key.partition(".")
    text = read_table(area)[name][language]
    return _fill_korean(text, values) if language == "ko" else text.format(**values)


def has_message(key: str) -> bool:
    area, _, name = key.partition(".")
    return name in read_table(area)


def parse_accept_language(header: str | None, default: Language = "ko") -> Language:
    """Return the language that an Accept-Language header prefers (RFC 9110 §12.5.4)."""
    best: tuple[float, Language] | None = None
    for part in (header or "").split(","):
        tag, _, weight = part.strip().partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary not in ("ko", "en"):
            continue
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, "ko" if primary == "ko" else "en")
    return best[1] if best else default


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Entry]]:
    for key, value in table.items():
        if isinstance(next(iter(value.values())), str):
            yield prefix + key, value
        else:
            yield from _flatten(value, f"{prefix}{key}.")


def _fill_korean(text: str, values: Mapping[str, object]) -> str:
    filled, last_value = "", ""
    for literal, name, spec, conversion in _FORMATTER.parse(text):
        filled += resolve_particle(last_value, literal) if last_value else literal
        if name is None:
            continue
        field = f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
        last_value = field.format(**values)
        filled += last_value
    return filled
