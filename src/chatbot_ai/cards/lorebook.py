"""A lorebook and its entries, as a card carries them. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.fields import (
    flag_field,
    integer_field,
    number_field,
    object_field,
    objects_field,
    text_field,
    texts_field,
)
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits


@dataclass(frozen=True, slots=True)
class LoreEntry:
    """One entry. `key` names it within its book for as long as the book keeps its order.

    content carries its decorators still; priority None: the author gave none;
    case_sensitive None: the application chooses.
    """

    key: str
    keys: tuple[str, ...] = ()
    secondary_keys: tuple[str, ...] = ()
    content: str = ""
    name: str = ""
    comment: str = ""
    enabled: bool = True
    constant: bool = False
    selective: bool = False
    use_regex: bool = False
    case_sensitive: bool | None = None
    whole_words: bool | None = None
    insertion_order: float = 100.0
    priority: float | None = None
    position: str = "before_char"

    @classmethod
    def from_json(cls, data: Mapping[str, Any], index: int) -> LoreEntry:
        identity = data.get("id")
        named = isinstance(identity, int | str) and not isinstance(identity, bool)
        extensions = object_field(data, "extensions")
        order = number_field(data, "insertion_order")
        return cls(
            key=f"{index}:{identity}" if named else str(index),
            keys=tuple(key for key in texts_field(data, "keys") if key.strip()),
            secondary_keys=tuple(k for k in texts_field(data, "secondary_keys") if k.strip()),
            content=text_field(data, "content"),
            name=text_field(data, "name"),
            comment=text_field(data, "comment"),
            enabled=bool(flag_field(data, "enabled", default=True)),
            constant=bool(flag_field(data, "constant")),
            selective=bool(flag_field(data, "selective")),
            use_regex=bool(flag_field(data, "use_regex")),
            case_sensitive=flag_field(data, "case_sensitive", default=None),
            whole_words=flag_field(extensions, "match_whole_words", default=None),
            insertion_order=100.0 if order is None else order,
            priority=number_field(data, "priority"),
            position="after_char" if data.get("position") == "after_char" else "before_char",
        )


@dataclass(frozen=True, slots=True)
class Lorebook:
    """A book. scan_depth in messages, token_budget in tokens; None leaves them to the caller."""

    entries: tuple[LoreEntry, ...] = ()
    name: str = ""
    description: str = ""
    scan_depth: int | None = None
    token_budget: int | None = None
    recursive_scanning: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any], limits: CardLimits = DEFAULT_LIMITS) -> Lorebook:
        """Read a card's `character_book`, or the `data` of a standalone lorebook."""
        raw = objects_field(data, "entries")
        if len(raw) > limits.lore_entries:
            raise CardError("lorebook_too_large", limit=limits.lore_entries)
        entries = tuple(LoreEntry.from_json(item, index) for index, item in enumerate(raw))
        keys = sum(len(entry.keys) + len(entry.secondary_keys) for entry in entries)
        patterns = sum(len(entry.keys) for entry in entries if entry.use_regex)
        if keys > limits.lore_keys or patterns > limits.lore_patterns:
            limit = limits.lore_keys if keys > limits.lore_keys else limits.lore_patterns
            raise CardError("lorebook_too_large", limit=limit)
        object_field(data, "extensions")
        return cls(
            entries=entries,
            name=text_field(data, "name"),
            description=text_field(data, "description"),
            scan_depth=integer_field(data, "scan_depth"),
            token_budget=integer_field(data, "token_budget"),
            recursive_scanning=bool(flag_field(data, "recursive_scanning")),
        )
