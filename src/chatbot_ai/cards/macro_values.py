"""What macros work out: times in words, and sums of plain numbers."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

Language = Literal["ko", "en"]

#: Longer sums are no one's.
_MAX_SUM_CHARS = 200
#: Not strftime: a process's locale must not change a prompt.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOMENT = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s|A|a")
_OPERATORS: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def spell_time(now: datetime, language: Language) -> str:
    hour = now.hour % 12 or 12
    if language == "ko":
        return f"{'오전' if now.hour < 12 else '오후'} {hour}:{now.minute:02}"
    return f"{hour}:{now.minute:02} {'AM' if now.hour < 12 else 'PM'}"


def spell_date(now: datetime, language: Language) -> str:
    if language == "ko":
        return f"{now.year}년 {now.month}월 {now.day}일"
    return f"{_MONTHS[now.month - 1]} {now.day}, {now.year}"


def spell_weekday(now: datetime, language: Language) -> str:
    if language == "ko":
        return f"{'월화수목금토일'[now.weekday()]}요일"
    return _WEEKDAYS[now.weekday()]


def format_time(form: str, now: datetime, language: Language) -> str:
    """A time in the tokens of Moment.js: `YYYY-MM-DD HH:mm`."""
    hour = now.hour % 12 or 12
    half = spell_time(now, language).split()
    values = {
        "YYYY": f"{now.year:04}", "YY": f"{now.year % 100:02}",
        "MMMM": f"{now.month}월" if language == "ko" else _MONTHS[now.month - 1],
        "MMM": f"{now.month}월" if language == "ko" else _MONTHS[now.month - 1][:3],
        "MM": f"{now.month:02}", "M": str(now.month), "DD": f"{now.day:02}", "D": str(now.day),
        "dddd": spell_weekday(now, language),
        "ddd": spell_weekday(now, language)[: 1 if language == "ko" else 3],
        "HH": f"{now.hour:02}", "H": str(now.hour), "hh": f"{hour:02}", "h": str(hour),
        "mm": f"{now.minute:02}", "m": str(now.minute), "ss": f"{now.second:02}",
        "s": str(now.second), "A": half[0] if language == "ko" else half[1],
    }  # fmt: skip
    values["a"] = values["A"].lower()
    return _MOMENT.sub(lambda m: m[1] if m[1] is not None else values[m[0]], form.strip())


def calculate(text: str) -> str | None:
    """The value of a sum of plain numbers, None where it is none: no names, no powers."""
    if len(text) > _MAX_SUM_CHARS:
        return None
    try:
        value = _compute(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    if not math.isfinite(value):
        return None
    return str(int(value)) if value == int(value) else f"{value:.10g}"


def _compute(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_compute(left), _compute(right))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            return float(_OPERATORS[type(op)](_compute(left), _compute(right)))
    raise ValueError("no sum")
