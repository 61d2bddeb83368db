"""A card as bare JSON: decoding and parsing a stranger's text within limits."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import math
import re
from typing import Any

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits

JsonObject = dict[str, Any]

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_WHITESPACE = re.compile(rb"[\t\n\f\r \0]+")
_DATA_URL = re.compile(rb"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|,(?=\s*[}\]])', re.DOTALL)
_STRING_OR_SIGN = re.compile(r'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[{}\[\],]', re.DOTALL)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(data: bytes) -> str:
    """The text of a file, in the encoding that can be told from its bytes.

    UTF-8, UTF-16 and UTF-32, else CP949, which Korean Windows writes, else Windows-1252. Raises
    CardError where it is none of them.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], encoding)
    if data[1:2] == b"\0" and data[:1] in (b"{", b"["):
        return _decode(data, "utf-16-le")
    if data[:2] in (b"\0{", b"\0["):
        return _decode(data, "utf-16-be")
    for encoding in ("utf-8", "cp949", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CardError("text_encoding")


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CardError("text_encoding") from error


def decode_base64(data: bytes) -> bytes:
    """Base64 as tools write it: with line breaks, without padding, URL-safe, in a data URL."""
    compact = _WHITESPACE.sub(b"", _DATA_URL.sub(b"", data, count=1))
    compact = compact.translate(_URL_SAFE).rstrip(b"=")
    compact += b"=" * (-len(compact) % 4)
    try:
        return base64.b64decode(compact, validate=True)
    except binascii.Error as error:
        raise CardError("base64_invalid") from error


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def parse_json(text: str, limits: CardLimits = DEFAULT_LIMITS) -> tuple[str, Any, bool]:
    """Parse a text that should be JSON, within limits of size and depth; linear in the text.

    Of a repeated key the last value counts, as in browsers. What tools get wrong is repaired:
    line breaks in strings, commas before a bracket, NaN (null), half a surrogate pair (U+FFFD),
    NUL behind the end, an end that is torn off. Returns the text, written again where it was
    repaired, what it says, and whether it was.
    """
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > limits.json_bytes:
        raise CardError("file_too_large", limit_mib=limits.json_bytes >> 20)
    if text.count("{") + text.count("[") > limits.json_nodes:
        raise CardError("json_too_complex")
    odd: list[str] = []
    for repair in (_as_it_is, _without_slips, _without_torn_end):
        try:
            repaired = repair(text)
            if repaired is None:
                continue
            value = json.loads(
                repaired,
                strict=repair is _as_it_is,
                parse_constant=odd.append,
                parse_float=_FiniteFloats(odd),
            )
            break
        except RecursionError as error:
            raise CardError("json_too_complex") from error
        except ValueError:
            odd.append("syntax")
    else:
        raise CardError("json_invalid")
    _check_depth(value, limits.json_depth)
    if _SURROGATE_ESCAPE.search(text) or len(text.encode("utf-8", "ignore")) != size_bytes:
        written = _dump(value)
        whole = written.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if whole != written:
            odd.append("surrogate")
            value = json.loads(whole)
    return (_dump(value) if odd else text), value, bool(odd)


def read_first_line(text: str) -> Any:
    """The JSON value of a text's first line; None where it is none, or longer than 64 KiB."""
    try:
        return json.loads(text.lstrip()[: 1 << 16].partition("\n")[0])
    except (ValueError, RecursionError):
        return None


def _as_it_is(text: str) -> str:
    return text


def _without_slips(text: str) -> str:
    repaired = _STRING_OR_COMMA.sub(lambda m: "" if m[0] == "," else m[0], text)
    return repaired.strip("\0 \t\r\n\ufeff")


def _without_torn_end(text: str) -> str | None:
    """The text up to its last whole member, its brackets closed; None where that is nothing."""
    open_brackets: list[str] = []
    end, closers = 0, ""
    for match in _STRING_OR_SIGN.finditer(text):
        sign = match[0]
        if sign in "{[":
            open_brackets.append("}" if sign == "{" else "]")
        elif sign in "}]" and open_brackets:
            open_brackets.pop()
        elif sign == ",":
            end, closers = match.start(), "".join(reversed(open_brackets))
    return text[:end] + closers if end else None


class _FiniteFloats:
    """Reads floats for JSON; those beyond the range of a number are noted and become null."""

    def __init__(self, odd: list[str]) -> None:
        self._odd = odd

    def __call__(self, digits: str) -> float | None:
        value = float(digits)
        if math.isfinite(value):
            return value
        self._odd.append(digits)
        return None


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise CardError("json_too_complex") from error


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


def _check_depth(root: Any, limit: int) -> None:
    level: list[Any] = [root] if isinstance(root, dict | list) else []
    for _ in range(limit):
        children: list[Any] = []
        for value in level:
            items = value.values() if isinstance(value, dict) else value
            children.extend(item for item in items if isinstance(item, dict | list))
        if not children:
            return
        level = children
    raise CardError("json_too_complex")
