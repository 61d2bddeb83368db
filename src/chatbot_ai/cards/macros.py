"""Macros in a card's texts: `{{char}}`, `{{random:a,b}}` and the like, replaced once.

After V3 section "Curly Braced Syntax" and the separators SillyTavern's cards use (`::`). The same
text and scope always give the same result, so that a conversation's prefix stays the same.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chatbot_ai.cards.errors import CardError
from chatbot_ai.domain.particles import resolve_particle

#: prompt: comments and hidden keys vanish. match: hidden keys show, for the scan of a lorebook.
#: display: comments show, for the person who reads.
MacroView = Literal["prompt", "match", "display"]

#: More than any card needs: beyond it replacing is an attack on memory or time.
MAX_EXPANDED_CHARS = 4_000_000
MAX_MACROS = 10_000
_MAX_DICE = 20
_MAX_FACES = 1_000_000_000

_BRACES = re.compile(r"\{\{(?!\{)|\}\}")
_TAGS = re.compile(r"<(user|bot|char)>", re.IGNORECASE)
_CALL = re.compile(r"\s*(//|[A-Za-z_]+)(?:\s*(::?)|\s+|\Z|(?<=//))(.*)\Z", re.DOTALL)
_DICE = re.compile(r"\s*(\d{0,3})[dD]?(\d{1,10})\s*\Z")
_UNESCAPED_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class MacroScope:
    """What macros stand for.

    char, user   the names; original: what `{{original}}` means here, None leaves it as it is
    seed         of `{{random}}` and `{{roll}}`; chat_seed: of `{{pick}}`, the same all chat long
    now          local time for `{{time}}` and `{{date}}`; None leaves them as they are
    particles    whether a marked particle right behind a macro is made definite: `{{user}}은(는)`
    """

    char: str
    user: str
    original: str | None = None
    seed: str = ""
    chat_seed: str = ""
    now: datetime | None = None
    language: Literal["ko", "en"] = "ko"
    particles: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    separator: str
    argument: str
    ordinal: int
    scope: MacroScope
    view: MacroView


def expand(text: str, scope: MacroScope, view: MacroView = "prompt") -> str:
    """`text` with its macros replaced, inner ones first; unknown ones stay as they are.

    What a macro gave is never read for macros again. Cost is linear in the text and the result.
    Raises CardError("text_too_long") beyond MAX_EXPANDED_CHARS or MAX_MACROS.
    """
    if text.count("{{") + text.count("}}") > 2 * MAX_MACROS:
        raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
    frames: list[list[str]] = [[]]
    size, position, ordinal = 0, 0, 0
    after_macro = [False]
    for match in _BRACES.finditer(text):
        piece = _literal(text[position : match.start()], frames[-1], scope, after_macro[-1])
        size += _append(frames[-1], piece)
        after_macro[-1] = after_macro[-1] and not piece
        position = match.end()
        if match.group() == "{{":
            frames.append([])
            after_macro.append(False)
        elif len(frames) == 1:
            size += _append(frames[-1], "}}")
        else:
            body = "".join(frames.pop())
            result = _evaluate(body, ordinal, scope, view)
            ordinal += 1
            after_macro.pop()
            after_macro[-1] = bool(result) or (after_macro[-1] and result is not None)
            size += _append(frames[-1], "{{" + body + "}}" if result is None else result)
        if size > MAX_EXPANDED_CHARS:
            raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
    size += _append(frames[-1], _literal(text[position:], frames[-1], scope, after_macro[-1]))
    if size > MAX_EXPANDED_CHARS:
        raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
    return "{{".join("".join(frame) for frame in frames)


def _append(frame: list[str], piece: str) -> int:
    if piece:
        frame.append(piece)
    return len(piece)


def _literal(text: str, frame: list[str], scope: MacroScope, after_macro: bool) -> str:
    """Plain text between macros: `<USER>` and `<BOT>` replaced, the particle in front settled."""
    if scope.particles and after_macro and frame:
        text = resolve_particle(frame[-1], text)
    pieces: list[str] = []
    position, size = 0, 0
    for match in _TAGS.finditer(text):
        name = scope.user if match.group(1).lower() == "user" else scope.char
        size += len(name)
        if size > MAX_EXPANDED_CHARS:
            raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
        before = text[position : match.start()]
        if scope.particles and pieces:
            before = resolve_particle(pieces[-1], before)
        pieces += [before, name]
        position = match.end()
    rest = text[position:]
    if scope.particles and pieces:
        rest = resolve_particle(pieces[-1], rest)
    return "".join([*pieces, rest])


def _evaluate(body: str, ordinal: int, scope: MacroScope, view: MacroView) -> str | None:
    match = _CALL.match(body)
    if match is None:
        return None
    name, separator, argument = match.group(1).lower(), match.group(2) or "", match.group(3)
    macro = _MACROS.get(name)
    if macro is None or (name in _PLAIN and (separator or argument)):
        return None
    return macro(_Call(name, separator, argument, ordinal, scope, view))


def _choices(call: _Call) -> list[str]:
    if call.separator == "::" and "::" in call.argument:
        return [choice.strip() for choice in call.argument.split("::")]
    return [choice.replace("\\,", ",").strip() for choice in _UNESCAPED_COMMA.split(call.argument)]


def _draw(call: _Call, seed: str) -> random.Random:
    key = f"{call.name}\0{seed}\0{call.ordinal}\0{call.argument}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return random.Random(digest)  # noqa: S311


def _random(call: _Call) -> str | None:
    return _draw(call, call.scope.seed).choice(_choices(call)) if call.argument else None


def _pick(call: _Call) -> str | None:
    return _draw(call, call.scope.chat_seed).choice(_choices(call)) if call.argument else None


def _roll(call: _Call) -> str | None:
    match = _DICE.match(call.argument)
    if match is None:
        return None
    has_count = "d" in call.argument.lower()
    count = int(match.group(1) or 1) if has_count else 1
    faces = int(match.group(2) if has_count else call.argument)
    if not (1 <= count <= _MAX_DICE and 1 <= faces <= _MAX_FACES):
        return None
    draw = _draw(call, call.scope.seed)
    return str(sum(draw.randint(1, faces) for _ in range(count)))


def _hidden_key(call: _Call) -> str:
    return call.argument if call.view == "match" else ""


def _comment(call: _Call) -> str:
    return call.argument.strip() if call.view == "display" else ""


def _time(call: _Call) -> str | None:
    now = call.scope.now
    if now is None:
        return None
    hour = now.hour % 12 or 12
    if call.scope.language == "ko":
        return f"{'오전' if now.hour < 12 else '오후'} {hour}:{now.minute:02}"
    return f"{hour}:{now.minute:02} {'AM' if now.hour < 12 else 'PM'}"


def _date(call: _Call) -> str | None:
    now = call.scope.now
    if now is None:
        return None
    if call.scope.language == "ko":
        return f"{now.year}년 {now.month}월 {now.day}일"
    return f"{_MONTHS[now.month - 1]} {now.day}, {now.year}"


#: Not strftime: a process's locale must not change a prompt.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
#: Macros that take no argument; with one they are somebody else's.
_PLAIN = frozenset({"char", "user", "bot", "original", "time", "date"})

_MACROS: Mapping[str, Callable[[_Call], str | None]] = {
    "char": lambda call: call.scope.char,
    "bot": lambda call: call.scope.char,
    "user": lambda call: call.scope.user,
    "original": lambda call: call.scope.original,
    "random": _random,
    "pick": _pick,
    "roll": _roll,
    "//": lambda _: "",
    "comment": _comment,
    "hidden_key": _hidden_key,
    "reverse": lambda call: call.argument[::-1],
    "time": _time,
    "date": _date,
}
