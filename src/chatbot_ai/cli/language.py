"""The language that commands speak: Korean unless English is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

Language = Literal["ko", "en"]
Catalogue = Mapping[str, Mapping[Language, str]]

LanguageOption = Annotated[
    str,
    typer.Option("--lang", envvar="LANG", help="ko | en", show_default="ko", metavar="LANG"),
]


def language_of(value: str) -> Language:
    """Read `--lang` or LANG: English for en, en_US.UTF-8 and the like, Korean for the rest."""
    return "en" if value.lower().startswith("en") else "ko"
