"""Macros in a card's texts: `{{char}}`, `{{random:a,b}}` and the like, replaced once.

After V3 section "Curly Braced Syntax" and the separators SillyTavern's cards use (`::`). The same
text and scope always give the same result, so that a conversation's prefix stays the same.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.macro_values import (
    Language,
    calculate,
    format_time,
    spell_date,
    spell_time,
    spell_weekday,
)
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
_CALL = re.compile(r"\s*(//|\?|[#/:]?[A-Za-z_]+)(?:\s*(::?)|\s+|\Z|(?<=//))(.*)\Z", re.DOTALL)
_UTC = re.compile(r"\s*time_UTC\s*([+-]\d{1,2})\s*\Z", re.IGNORECASE)
_DICE = re.compile(r"\s*(\d{0,3})[dD]?(\d{1,10})\s*\Z")
_UNESCAPED_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class MacroScope:
    """What macros stand for.

    char, user   the names; original: what `{{original}}` means here, None leaves it as it is
    seed         of `{{random}}` and `{{roll}}`; chat_seed: of `{{pick}}`, the same all chat long
    now          local time for `{{time}}`, `{{date}}` and the like; None leaves them as they are
    particles    whether a marked particle right behind a macro is made definite: `{{user}}은(는)`
    texts        the card's own texts by their macro's name in lower case: `{{description}}`
    variables    what `{{setvar::…}}` has stored; shared by the texts that one scope expands
    """

    char: str
    user: str
    original: str | None = None
    seed: str = ""
    chat_seed: str = ""
    now: datetime | None = None
    language: Language = "ko"
    particles: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict, compare=False)


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
    # open {{#if}} blocks: where their text begins, and whether it is kept
    blocks: list[tuple[int, int, bool]] = []
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
            after_macro.pop()
            if _turn_block(body, frames, blocks):
                continue
            result = _evaluate(body, ordinal, scope, view)
            ordinal += 1
            after_macro[-1] = bool(result) or (after_macro[-1] and result is not None)
            size += _append(frames[-1], "{{" + body + "}}" if result is None else result)
        if size > MAX_EXPANDED_CHARS:
            raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
    size += _append(frames[-1], _literal(text[position:], frames[-1], scope, after_macro[-1]))
    if size > MAX_EXPANDED_CHARS:
        raise CardError("text_too_long", limit=MAX_EXPANDED_CHARS)
    while blocks:
        _end_block(frames, blocks)
    expanded = "{{".join("".join(frame) for frame in frames)
    return _TRIMMED.sub("", expanded) if _TRIM in expanded else expanded


def _turn_block(body: str, frames: list[list[str]], blocks: list[tuple[int, int, bool]]) -> bool:
    """Handle `{{#if …}}`, `{{else}}` and `{{/if}}`; False for any other macro."""
    name, _, argument = body.strip().partition(" ")
    name, separator, rest = name.lower().partition("::")
    if name in _BLOCKS:
        truth = (rest if separator else argument).strip().lower()
        blocks.append((len(frames), len(frames[-1]), truth in _TRUE))
        return True
    if name in {"else", ":else"} and blocks:
        _, _, is_kept = blocks[-1]
        _end_block(frames, blocks)
        blocks.append((len(frames), len(frames[-1]), not is_kept))
        return True
    if name.startswith("/") and name[1:] in {"", *(block[1:] for block in _BLOCKS)}:
        if blocks:
            _end_block(frames, blocks)
        return True
    return False


def _end_block(frames: list[list[str]], blocks: list[tuple[int, int, bool]]) -> None:
    depth, begin, is_kept = blocks.pop()
    if not is_kept and depth == len(frames):
        del frames[-1][begin:]


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
    if zone := _UTC.match(body):
        if scope.now is None or abs(int(zone[1])) > 14:
            return None
        return spell_time(
            scope.now.astimezone(timezone(timedelta(hours=int(zone[1])))), scope.language
        )
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


def _choose(call: _Call, seed: str) -> str | None:
    return _draw(call, seed).choice(_choices(call)) if call.argument else None


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


def _by_time(spell: Callable[[datetime, Language, str], str]) -> Callable[[_Call], str | None]:
    def spell_now(call: _Call) -> str | None:
        scope = call.scope
        return None if scope.now is None else spell(scope.now, scope.language, call.argument)

    return spell_now


def _own_text(call: _Call) -> str:
    """One of the card's own texts, with the names in it and nothing further."""
    scope = call.scope
    text = scope.texts.get(_TEXT_NAMES.get(call.name, call.name), "")
    return _NAMES.sub(lambda m: scope.user if m[1].lower() == "user" else scope.char, text)


def _set_variable(call: _Call) -> str | None:
    name, separator, value = call.argument.partition("::")
    if not separator or not name.strip():
        return None
    variables = call.scope.variables
    if name.strip() in variables or len(variables) < _MAX_VARIABLES:
        variables[name.strip()] = value
    return ""


def _add_to_variable(call: _Call) -> str | None:
    name, separator, value = call.argument.partition("::")
    name, step = name.strip(), {"incvar": "1", "decvar": "-1"}.get(call.name, value)
    if not name or (call.name.startswith("add") and not separator):
        return None
    before = call.scope.variables.get(name, "")
    total = calculate(f"({before or 0})+({step})")
    after = before + step if total is None else total
    if len(after) <= _MAX_VALUE_CHARS:
        _set_variable(_Call("setvar", "::", f"{name}::{after}", 0, call.scope, call.view))
    return "" if call.name.startswith("add") else after


_NAMES = re.compile(r"\{\{\s*(user|char)\s*\}\}", re.IGNORECASE)
_BLOCKS = frozenset({"#if", "#if_pure", "#when"})
_TRUE = frozenset({"1", "true", "yes", "on"})
#: Stands for `{{trim}}` until the whole text is there: a noncharacter of Unicode.
_TRIM = "\ufdd0"
_TRIMMED = re.compile(f"[\r\n]*{_TRIM}[\r\n]*")
_MAX_VARIABLES = 1_000
_MAX_VALUE_CHARS = 10_000
#: Names under which other applications know a text of the card.
_TEXT_NAMES = {
    "mesexamplesraw": "mesexamples",
    "example_dialogue": "mesexamples",
    "char_version": "charversion",
    "charjailbreak": "charinstruction",
    "userpersona": "persona",
    "user_persona": "persona",
    "charpersona": "personality",
}
_OWN_TEXTS = (
    "description", "personality", "scenario", "persona", "mesexamples", "charprompt",
    "charinstruction", "charversion", *_TEXT_NAMES,
)  # fmt: skip
#: What only an application with pictures, groups or a running chat could fill in here.
_EMPTY = (
    "noop", "none", "blank", "lastmessage", "lastusermessage", "lastcharmessage", "lastmessageid",
    "idle_duration", "lasttime", "input", "maxprompt", "model", "wibefore", "wiafter", "summary",
    "authorsnote",
)  # fmt: skip
_EMPTY_WITH_ARGUMENT = (
    "img", "image", "asset", "bg", "bgm", "emotion", "audio", "video", "video_img", "raw", "path",
    "inlay", "inlayed", "banned", "outlet", "screen", "button",
)  # fmt: skip
#: Macros that take no argument; with one they are somebody else's.
_PLAIN = frozenset({
    "char", "charname", "charifnotgroup", "group", "groupnotmuted", "user", "username", "bot",
    "original", "time", "date", "weekday", "isodate", "isotime", "trim", "newline", "br", "cbr",
    *_OWN_TEXTS, *_EMPTY,
})  # fmt: skip

_MACROS: Mapping[str, Callable[[_Call], str | None]] = {
    **dict.fromkeys(
        ("char", "charname", "bot", "charifnotgroup", "group", "groupnotmuted"),
        lambda call: call.scope.char,
    ),
    **dict.fromkeys(("user", "username"), lambda call: call.scope.user),
    **dict.fromkeys(("newline", "br", "cbr"), lambda _: "\n"),
    **dict.fromkeys((*_EMPTY, *_EMPTY_WITH_ARGUMENT), lambda _: ""),
    **dict.fromkeys(_OWN_TEXTS, _own_text),
    **dict.fromkeys(("setvar", "setglobalvar", "settempvar"), _set_variable),
    **dict.fromkeys(
        ("getvar", "getglobalvar", "gettempvar"),
        lambda call: call.scope.variables.get(call.argument.strip(), ""),
    ),
    **dict.fromkeys(("addvar", "addglobalvar", "incvar", "decvar"), _add_to_variable),
    **dict.fromkeys(("calc", "?"), lambda call: calculate(call.argument)),
    "trim": lambda _: _TRIM,
    "original": lambda call: call.scope.original,
    "random": lambda call: _choose(call, call.scope.seed),
    "pick": lambda call: _choose(call, call.scope.chat_seed),
    "roll": _roll,
    "dice": _roll,
    "//": lambda _: "",
    "comment": lambda call: call.argument.strip() if call.view == "display" else "",
    "hidden_key": lambda call: call.argument if call.view == "match" else "",
    "reverse": lambda call: call.argument[::-1],
    "upper": lambda call: call.argument.upper(),
    "lower": lambda call: call.argument.lower(),
    "length": lambda call: str(len(call.argument)),
    "time": _by_time(lambda now, language, _: spell_time(now, language)),
    "date": _by_time(lambda now, language, _: spell_date(now, language)),
    "weekday": _by_time(lambda now, language, _: spell_weekday(now, language)),
    "isodate": _by_time(lambda now, *_: f"{now:%Y-%m-%d}"),
    "isotime": _by_time(lambda now, *_: f"{now:%H:%M}"),
    "datetimeformat": _by_time(lambda now, language, form: format_time(form, now, language)),
}
