"""A lorebook and its entries, as a card carries them. Pure values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chatbot_ai.cards.fields import Fields
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.patterns import is_slashed, is_supported

#: How secondary keys count: one of them, not all, none, or all of them must be there.
SecondaryLogic = Literal["any", "not_all", "not_any", "all"]
_LOGICS: tuple[SecondaryLogic, ...] = ("any", "not_all", "not_any", "all")
#: Fields that only SillyTavern's exporter writes. It says `use_regex` of every entry.
_SILLYTAVERN = frozenset({"selectiveLogic", "useProbability", "display_index", "exclude_recursion"})
#: What makes a bare key more than the words in it.
_SIGNS = re.compile(r"[\\^$.|?*+()\[\]{}]")
#: Names of SillyTavern's world info, for ours.
_WORLD_INFO = {
    "keys": "key",
    "secondary_keys": "keysecondary",
    "insertion_order": "order",
    "case_sensitive": "caseSensitive",
    "id": "uid",
}


@dataclass(frozen=True, slots=True)
class LoreEntry:
    """One entry. `key` names it within its book for as long as the book keeps its order.

    content      carries its decorators still
    use_regex    keys are patterns also where they are not written `/…/`
    priority     None: the author gave none; case_sensitive None: the application chooses
    probability  of being used when it matches, in percent
    scan_depth   in messages; None: that of the book
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
    logic: SecondaryLogic = "any"
    probability: float = 100.0
    use_regex: bool = False
    case_sensitive: bool | None = None
    whole_words: bool | None = None
    scan_depth: int | None = None
    insertion_order: float = 100.0
    priority: float | None = None
    position: str = "before_char"

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], index: int, odd: dict[str, None] | None = None
    ) -> LoreEntry:
        """Read an entry of V2, V3 or SillyTavern's world info."""
        known = {name: data[other] for name, other in _WORLD_INFO.items() if other in data}
        entry = Fields({**known, **data}, {} if odd is None else odd)
        extensions = entry.object("extensions")
        # world info has these beside the text, a card in `extensions`
        extra = Fields({**data, **extensions}, entry.odd)
        is_sillytavern = bool(_SILLYTAVERN & extensions.keys()) or "keysecondary" in data
        identity = entry.data.get("id")
        named = isinstance(identity, int | str) and not isinstance(identity, bool)
        order, logic = entry.number("insertion_order"), extra.integer("selectiveLogic") or 0
        chance = extra.number("probability") if extra.flag("useProbability", default=True) else None
        exact = entry.flag("case_sensitive", default=None)
        words = extra.flag("match_whole_words", default=None)
        position = entry.data.get("position")
        return cls(
            key=f"{index}:{identity}" if named else str(index),
            keys=entry.words("keys"),
            secondary_keys=entry.words("secondary_keys"),
            content=entry.text("content"),
            name=entry.text("name"),
            comment=entry.text("comment"),
            enabled=bool(entry.flag("enabled", default=not entry.flag("disable"))),
            constant=bool(entry.flag("constant")),
            selective=bool(entry.flag("selective")),
            logic=_LOGICS[logic] if 0 <= logic < len(_LOGICS) else "any",
            probability=100.0 if chance is None else chance,
            use_regex=bool(entry.flag("use_regex")) and not is_sillytavern,
            case_sensitive=extra.flag("case_sensitive", default=None) if exact is None else exact,
            whole_words=extra.flag("matchWholeWords", default=None) if words is None else words,
            scan_depth=extra.integer("scan_depth" if "scan_depth" in extra.data else "scanDepth"),
            insertion_order=100.0 if order is None else order,
            priority=entry.number("priority"),
            position="after_char" if position in ("after_char", 1) else "before_char",
        )

    def patterns(self) -> tuple[str, ...]:
        """Those of its keys that are regular expressions."""
        return tuple(key for key in (*self.keys, *self.secondary_keys) if self.is_pattern(key))

    def is_pattern(self, key: str) -> bool:
        """Whether a key of this entry is a regular expression and no plain text."""
        return is_slashed(key) or (self.use_regex and _SIGNS.search(key) is not None)


@dataclass(frozen=True, slots=True)
class Lorebook:
    """A book. scan_depth in messages, token_budget in tokens; None leaves them to the caller.

    left_out  entries that a book over the limits has too many
    """

    entries: tuple[LoreEntry, ...] = ()
    name: str = ""
    description: str = ""
    scan_depth: int | None = None
    token_budget: int | None = None
    recursive_scanning: bool = False
    left_out: int = 0

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Any],
        limits: CardLimits = DEFAULT_LIMITS,
        odd: dict[str, None] | None = None,
    ) -> Lorebook:
        """Read a card's `character_book`, the `data` of a standalone lorebook, or world info.

        Of a book over the limits the entries that fit are kept, in their order.
        """
        book = Fields(data, {} if odd is None else odd)
        raw = book.objects("entries")
        kept: list[LoreEntry] = []
        keys = patterns = 0
        for index, item in enumerate(raw[: limits.lore_entries]):
            entry = LoreEntry.from_json(item, index, book.odd)
            keys += len(entry.keys) + len(entry.secondary_keys)
            patterns += len(entry.patterns())
            if keys > limits.lore_keys or patterns > limits.lore_patterns:
                break
            kept.append(entry)
        book.object("extensions")
        return cls(
            entries=tuple(kept),
            name=book.text("name"),
            description=book.text("description"),
            scan_depth=book.integer("scan_depth"),
            token_budget=book.integer("token_budget"),
            recursive_scanning=bool(book.flag("recursive_scanning")),
            left_out=len(raw) - len(kept),
        )

    def find_unsupported_patterns(self, limits: CardLimits = DEFAULT_LIMITS) -> tuple[str, ...]:
        """Keys that an engine without look-around cannot search for; compiles each of them."""
        return tuple(
            pattern
            for entry in self.entries
            for pattern in entry.patterns()
            if len(pattern) > limits.pattern_chars or not is_supported(pattern)
        )
