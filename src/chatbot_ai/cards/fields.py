"""Reading typed fields out of JSON that people and many tools have written.

null counts as absent, a number stands for its text and the other way round; anything else of the
wrong type is CardError("field_type").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chatbot_ai.cards.errors import CardError


def wrong_type(name: str) -> CardError:
    return CardError("field_type", name=name)


def text_field(data: Mapping[str, Any], name: str, default: str = "") -> str:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise wrong_type(name)


def texts_field(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings. A bare string is split at its commas, as older tools wrote them."""
    value = data.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    if not isinstance(value, list):
        raise wrong_type(name)
    return tuple(text_field({name: item}, name) for item in value)


def number_field(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong_type(name)
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise wrong_type(name) from error
    if not math.isfinite(number):
        raise wrong_type(name)
    return number


def integer_field(data: Mapping[str, Any], name: str) -> int | None:
    number = number_field(data, name)
    return None if number is None else int(number)


def flag_field(data: Mapping[str, Any], name: str, default: bool | None = False) -> bool | None:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise wrong_type(name)


def object_field(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(name)
    return value


def objects_field(data: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    """A list of objects; an object of objects (as SillyTavern stores entries) counts as one."""
    value = data.get(name)
    if value is None:
        return ()
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise wrong_type(name)
    return tuple(items)
