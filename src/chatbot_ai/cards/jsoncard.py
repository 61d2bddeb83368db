"""A card as bare JSON: decoding and parsing a stranger's text within limits."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits

JsonObject = dict[str, Any]

_BOM = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_WHITESPACE = re.compile(rb"[\t\n\f\r ]+")


def decode_text(data: bytes) -> str:
    """UTF-8 without a byte-order mark, or CardError."""
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CardError("text_encoding") from error


def decode_base64(data: bytes) -> bytes:
    """Strict base64, but for line breaks and missing padding, which some tools write."""
    compact = _WHITESPACE.sub(b"", data)
    compact += b"=" * (-len(compact) % 4)
    try:
        return base64.b64decode(compact, validate=True)
    except binascii.Error as error:
        raise CardError("base64_invalid") from error


def parse_object(text: str, limits: CardLimits = DEFAULT_LIMITS) -> JsonObject:
    """Parse one JSON object. Finite numbers, whole characters, bounded size and depth.

    Cost is linear in the text. Of a repeated key the last value counts, as in browsers.
    """
    try:
        size_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise CardError("text_encoding") from error
    if size_bytes > limits.json_bytes:
        raise CardError("file_too_large", limit_mib=limits.json_bytes >> 20)
    if text.count("{") + text.count("[") > limits.json_nodes:
        raise CardError("json_too_complex")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise CardError("json_too_complex") from error
    except ValueError as error:
        raise CardError("json_invalid") from error
    if not isinstance(value, dict):
        raise CardError("not_a_character")
    _check_depth(value, limits.json_depth)
    if _SURROGATE_ESCAPE.search(text):
        dump_object(value)
    return value


def dump_object(value: JsonObject) -> str:
    """JSON as browsers write it: no spaces, characters as themselves, keys in their order."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CardError("text_encoding") from error
    except RecursionError as error:
        raise CardError("json_too_complex") from error
    except (ValueError, TypeError) as error:
        raise CardError("json_invalid") from error
    return text


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _check_depth(root: JsonObject, limit: int) -> None:
    level: list[Any] = [root]
    for _ in range(limit):
        children: list[Any] = []
        for value in level:
            items = value.values() if isinstance(value, dict) else value
            children.extend(item for item in items if isinstance(item, dict | list))
        if not children:
            return
        level = children
    raise CardError("json_too_complex")
