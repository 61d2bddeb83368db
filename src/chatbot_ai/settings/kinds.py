"""Kinds of setting values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints


def blank_to_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Blank = BeforeValidator(blank_to_none)
OptionalStr = Annotated[str | None, Blank]
OptionalSecret = Annotated[SecretStr | None, Blank]
OptionalUrl = Annotated[
    Annotated[str, StringConstraints(pattern=r"^(https?://[^/\s]+(/\S*)?|unix:/\S+)$")] | None,
    Blank,
]
OptionalInt = Annotated[int | None, Blank]
Positive = Annotated[int, Field(ge=1)]
OptionalPath = Annotated[Path | None, Blank]


def reveal(value: SecretStr | str | None) -> str | None:
    """The value of a setting that may be a secret, for the adapter that needs it."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def split_list(text: str) -> tuple[str, ...]:
    """The items of a setting that holds several, separated by commas."""
    return tuple(item.strip() for item in text.split(",") if item.strip())
