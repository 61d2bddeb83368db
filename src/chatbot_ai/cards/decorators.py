"""Decorators: the lines `@@name value` at the start of a lorebook entry's content (V3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Place = Literal["after_desc", "before_desc", "personality", "scenario"]
LoreRole = Literal["system", "user", "assistant"]
UiPrompt = Literal["system_prompt", "post_history_instructions"]


@dataclass(frozen=True, slots=True)
class Decorators:
    """The decorators of one entry that this application understands, under their own names.

    depth, reverse_depth, scan_depth in messages; activate_only_* in assistant messages.
    """

    activate_only_after: int | None = None
    activate_only_every: int | None = None
    keep_activate_after_match: bool = False
    dont_activate_after_match: bool = False
    depth: int | None = None
    reverse_depth: int | None = None
    role: LoreRole | None = None
    scan_depth: int | None = None
    is_greeting: int | None = None
    position: Place | None = None
    ignore_on_max_context: bool = False
    additional_keys: tuple[tuple[str, ...], ...] = ()
    exclude_keys: tuple[str, ...] = ()
    is_user_icon: str | None = None
    activate: bool = False
    dont_activate: bool = False
    disable_ui_prompt: tuple[UiPrompt, ...] = ()


def split_decorators(content: str) -> tuple[Decorators, str]:
    """The decorators of `content`, and the text without them and the newlines around.

    An unknown or invalid decorator is ignored and the `@@@` lines that follow it are tried in
    order; of duplicates the first counts, but for `additional_keys`, which adds up.
    """
    lines = content.lstrip("\r\n").split("\n")
    if not lines[0].startswith("@@"):
        return Decorators(), content
    found: dict[str, Any] = {}
    is_settled = True
    used = 0
    for line in lines:
        stripped = line.strip()
        if stripped and not stripped.startswith("@@"):
            break
        used += 1
        if not stripped or (stripped.startswith("@@@") and is_settled):
            continue
        is_settled = _take(stripped.lstrip("@"), found)
    return Decorators(**found), "\n".join(lines[used:]).strip("\r\n")


def _take(line: str, found: dict[str, Any]) -> bool:
    name, _, value = line.partition(" ")
    read = _READERS.get(name)
    if read is None:
        return False
    try:
        parsed = read(value.strip())
    except ValueError:
        return False
    if name in _REPEATABLE:
        found[name] = (*found.get(name, ()), *cast("tuple[Any, ...]", parsed))
    else:
        found.setdefault(name, parsed)
    return True


def _number(value: str) -> int:
    if len(value) > 9:
        raise ValueError(value)
    return int(value)


def _natural(value: str) -> int:
    number = _number(value)
    if number < 0:
        raise ValueError(value)
    return number


def _positive(value: str) -> int:
    number = _number(value)
    if number < 1:
        raise ValueError(value)
    return number


def _flag(value: str) -> bool:
    if value.lower() not in {"", "true"}:
        raise ValueError(value)
    return True


def _words(value: str) -> tuple[str, ...]:
    if len(value) > _LONGEST_VALUE:
        raise ValueError(value[:20])
    words = tuple(word for word in (piece.strip() for piece in value.split(",")) if word)
    if not words:
        raise ValueError(value)
    return words


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return read


def _text(value: str) -> str:
    if not value:
        raise ValueError(value)
    return value


_LONGEST_VALUE = 2_000
_REPEATABLE = frozenset({"additional_keys", "disable_ui_prompt"})

_READERS: Mapping[str, Callable[[str], object]] = {
    "activate_only_after": _natural,
    "activate_only_every": _positive,
    "keep_activate_after_match": _flag,
    "dont_activate_after_match": _flag,
    "depth": _number,
    "reverse_depth": _number,
    "role": _one_of(get_args(LoreRole)),
    "scan_depth": _natural,
    "is_greeting": _natural,
    "position": _one_of(get_args(Place)),
    "ignore_on_max_context": _flag,
    "additional_keys": lambda value: (_words(value),),
    "exclude_keys": _words,
    "is_user_icon": _text,
    "activate": _flag,
    "dont_activate": _flag,
    "disable_ui_prompt": lambda value: (_one_of(get_args(UiPrompt))(value),),
}
