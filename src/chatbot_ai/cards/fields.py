"""Reading typed fields out of JSON that people and many tools have written.

Nothing is refused: a field of the wrong type is read as near as it can be, else as its default,
and its name is noted, so that the person who brought the file can be told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one JSON object. odd: names of those whose type was wrong, in their order."""

    data: Mapping[str, Any]
    odd: dict[str, None] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A string; a number stands for its digits, a list of strings for their lines."""
        value = self.data.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        if _is_number(value):
            return str(value)
        self._note(name)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return "\n".join(value)
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; a string alone is a list of one."""
        value = self.data.get(name)
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, dict):
            self._note(name)
            value = list(value.values())
        if not isinstance(value, list):
            self._note(name)
            return ()
        found = [str(item) for item in value if isinstance(item, str) or _is_number(item)]
        if any(not isinstance(item, str) and not _is_number(item) for item in value):
            self._note(name)
        return tuple(found)

    def words(self, name: str) -> tuple[str, ...]:
        """A list of tags or keys; a string alone is split at its commas, as older tools did."""
        value = self.data.get(name)
        if isinstance(value, str):
            return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
        return tuple(word for word in self.texts(name) if word.strip())

    def number(self, name: str) -> float | None:
        """A finite number, or the text of one."""
        value = self.data.get(name)
        if value is None or value == "":
            return None
        try:
            number = float(value) if _is_number(value) or isinstance(value, str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
        self._note(name)
        return None

    def integer(self, name: str) -> int | None:
        """A number without what is behind its point."""
        number = self.number(name)
        return None if number is None else int(number)

    def seconds(self, name: str) -> int:
        """A time in Unix seconds, also where it is written as a date; 0 if unknown."""
        value = self.data.get(name)
        if isinstance(value, str) and "-" in value[1:]:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                self._note(name)
                return 0
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        return self.integer(name) or 0

    def flag(self, name: str, default: bool | None = False) -> bool | None:
        """true or false, also as a number or a word."""
        value = self.data.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool | int | float):
            return bool(value)
        if isinstance(value, str) and value.lower() in _FLAGS:
            return _FLAGS[value.lower()]
        self._note(name)
        return default

    def object(self, name: str) -> Mapping[str, Any]:
        """An object; an empty list or text stands for an empty one."""
        value = self.data.get(name)
        if isinstance(value, dict):
            return value
        if value not in (None, "", []):
            self._note(name)
        return {}

    def objects(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """A list of objects; an object of objects (as SillyTavern stores entries) counts as one."""
        value = self.data.get(name)
        if value is None or value == "":
            return ()
        items = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(items, list):
            self._note(name)
            return ()
        if not all(isinstance(item, dict) for item in items):
            self._note(name)
        return tuple(item for item in items if isinstance(item, dict))

    def _note(self, name: str) -> None:
        self.odd[name[:100]] = None


_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
