"""Cards in PNG files: base64 JSON in the text chunks `ccv3` and `chara`.

Chunk layout: PNG specification, third edition, sections 5.3 and 11.3.3.
"""

from __future__ import annotations

import base64
import contextlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chatbot_ai.cards.card import CharacterCard
from chatbot_ai.cards.decorators import split_decorators
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.jsoncard import decode_base64, decode_text, dump_object
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits, safe_path
from chatbot_ai.cards.pictures import PNG_MAGIC, check_size

ASSET_KEYWORD = "chara-ext-asset_:"
#: Text chunks that are looked into where none has the keyword of a card.
MAX_RENAMED = 8

_CARD_KEYWORDS = ("ccv3", "chara")
_TEXT_TYPES = (b"tEXt", b"zTXt", b"iTXt")
#: Tolerated without the colon, too.
_ASSET_PREFIXES = (ASSET_KEYWORD, "chara-ext-asset_")


@dataclass(frozen=True, slots=True)
class PngCard:
    """A card as a PNG holds it.

    picture  the same PNG without the chunks that hold the card and its assets; empty if damaged
    assets   legacy assets by their path
    """

    card: CharacterCard
    picture: bytes
    assets: dict[str, bytes]
    warnings: tuple[CardWarning, ...]


@dataclass(frozen=True, slots=True)
class _Chunk:
    type: bytes
    body: memoryview
    whole: memoryview
    is_sound: bool


def read_png(data: bytes, limits: CardLimits = DEFAULT_LIMITS) -> PngCard:
    """Read the card of a PNG, whatever its keyword's case; of several the newest that can be read.

    What is damaged or attached beside the card is left behind, with a warning.
    """
    found: list[tuple[str, bytes]] = []
    others: list[_Chunk] = []
    assets: dict[str, bytes] = {}
    kept: list[memoryview] = []
    warnings: list[CardWarning] = []
    allowance = limits.inflated_bytes
    length, is_sound = len(PNG_MAGIC), True
    for chunk in _chunks(data, limits):
        length += len(chunk.whole)
        keyword = _keyword(chunk)
        if not _is_card_keyword(keyword):
            kept.append(chunk.whole)
            if keyword and chunk.is_sound:
                others.append(chunk)
            is_sound = is_sound and chunk.is_sound
            continue
        payload = _payload(chunk, allowance)
        allowance -= len(payload)
        if not chunk.is_sound:
            warnings.append(CardWarning("checksum_wrong"))
        if keyword.lower() in _CARD_KEYWORDS:
            found.append((keyword.lower(), payload))
            continue
        path = safe_path(_asset_path(keyword), limits)
        if path in assets:
            raise CardError("path_repeated", path=path)
        assets[path] = decode_base64(payload)
        if len(assets) > limits.files:
            raise CardError("files_too_many", limit=limits.files)
    if not found:
        # some programs rename the chunk
        found = [("chara", text) for text in _card_like(others[:MAX_RENAMED], limits)]
    card, is_older = _first_card(found, limits)
    if len({keyword for keyword, _ in found}) < len(found):
        warnings.append(CardWarning("card_repeated"))
    if is_older:
        warnings.append(CardWarning("card_damaged_copy"))
    picture, has_picture = _close_picture(kept, is_sound)
    if not has_picture:
        warnings.append(CardWarning("picture_dropped"))
    if length < len(data):
        warnings.append(CardWarning("bytes_dropped", {"bytes": len(data) - length}))
    return PngCard(card, picture, assets, tuple(warnings))


def _first_card(found: list[tuple[str, bytes]], limits: CardLimits) -> tuple[CharacterCard, bool]:
    """The newest card of the chunks that can be read, of `ccv3` before `chara`; and whether a
    newer one could not."""
    candidates = [
        payload
        for wanted in _CARD_KEYWORDS
        for keyword, payload in reversed(found)
        if keyword == wanted and payload.strip(b"\0\r\n ")
    ]
    if found and not candidates:
        raise CardError("json_invalid")
    failure: CardError | None = None
    for payload in candidates:
        try:
            return _card_in(payload, limits), failure is not None
        except CardError as error:
            failure = failure or error
    raise failure or CardError("card_missing")


def _card_like(chunks: list[_Chunk], limits: CardLimits) -> list[bytes]:
    """Those texts that begin as a card does; what is wrong with others is no fault of the card."""
    found = []
    for chunk in chunks:
        with contextlib.suppress(CardError):
            text = _payload(chunk, limits.json_bytes)
            if text.lstrip()[:2] in (b"ey", b'{"', b"{\n", b"{ "):
                found.append(text)
    return found


def _card_in(payload: bytes, limits: CardLimits) -> CharacterCard:
    is_bare = payload.lstrip()[:1] == b"{"
    text = decode_text(payload if is_bare else decode_base64(payload))
    return CharacterCard.from_text(text, limits)


def _close_picture(kept: list[memoryview], is_sound: bool) -> tuple[bytes, bool]:
    """The picture's own chunks as a PNG; a plain one where they are damaged."""
    kinds = [bytes(whole[4:8]) for whole in kept]
    if not is_sound or b"IDAT" not in kinds or kinds[:1] != [b"IHDR"]:
        return b"", False
    end = [] if kinds[-1] == b"IEND" else [_encode_chunk(b"IEND", b"")]
    return PNG_MAGIC + b"".join([*kept, *end]), True


def write_png(
    card: CharacterCard,
    picture: bytes,
    assets: Iterable[tuple[str, bytes]] = (),
    limits: CardLimits = DEFAULT_LIMITS,
) -> bytes:
    """Put the card into a PNG in place of what card was there; all other chunks stay byte for
    byte.

    A V3 card is written as `ccv3` with its V2 copy as `chara`, an older one as `chara` alone.
    """
    if not picture.startswith(PNG_MAGIC):
        raise CardError("picture_not_png")
    texts = [("chara", backfill_card(card).text.encode())]
    if card.version == 3:
        texts.append(("ccv3", card.text.encode()))
    texts += [(ASSET_KEYWORD + path, content) for path, content in assets]
    chunks = list(_chunks(picture, limits))
    if not all(chunk.is_sound for chunk in chunks) or chunks[-1].type != b"IEND":
        raise CardError("png_damaged")
    kept = [chunk.whole for chunk in chunks if not _is_card_keyword(_keyword(chunk))]
    added = [_text_chunk(keyword, content) for keyword, content in texts]
    return PNG_MAGIC + b"".join([*kept[:-1], *added, kept[-1]])


def draw_plain_png(width: int, height: int, rgb: tuple[int, int, int]) -> bytes:
    """A PNG of one colour: the picture of a card that has none."""
    row = b"\0" + bytes(rgb) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(row * height, 9)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return PNG_MAGIC + b"".join(_encode_chunk(kind, body) for kind, body in parts)


def _chunks(data: bytes, limits: CardLimits) -> Iterator[_Chunk]:
    """Every chunk up to IEND, or to where the file is cut; `is_sound` says whether its CRC is
    right. CardError("png_damaged") where the file is no PNG from its first chunk on."""
    view = memoryview(data)
    at = len(PNG_MAGIC)
    for number in range(limits.png_chunks):
        if at + 12 > len(data):
            break
        length = int.from_bytes(view[at : at + 4], "big")
        end = at + 12 + length
        if end > len(data):
            break
        kind, body = bytes(view[at + 4 : at + 8]), view[at + 8 : end - 4]
        crc = int.from_bytes(view[end - 4 : end], "big")
        if (number == 0) != (kind == b"IHDR") or (number == 0 and length != 13):
            raise CardError("png_damaged")
        if number == 0:
            check_size(int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), limits)
        yield _Chunk(kind, body, view[at:end], zlib.crc32(view[at + 4 : end - 4]) == crc)
        at = end
        if kind == b"IEND":
            return
    if at == len(PNG_MAGIC) or at + 12 <= len(data):
        raise CardError("png_damaged")


def _keyword(chunk: _Chunk) -> str:
    if chunk.type not in _TEXT_TYPES:
        return ""
    head = bytes(chunk.body[:400])
    return head.partition(b"\0")[0].decode("latin-1").strip()


def _is_card_keyword(keyword: str) -> bool:
    lowered = keyword.lower()
    return lowered in _CARD_KEYWORDS or lowered.startswith(_ASSET_PREFIXES)


def _asset_path(keyword: str) -> str:
    prefix = next(prefix for prefix in _ASSET_PREFIXES if keyword.lower().startswith(prefix))
    return keyword[len(prefix) :].strip()


def _payload(chunk: _Chunk, limit_bytes: int) -> bytes:
    _, _, rest = bytes(chunk.body).partition(b"\0")
    if chunk.type == b"tEXt":
        return rest
    if chunk.type == b"zTXt":
        return _inflate(rest[1:], limit_bytes) if rest[:1] == b"\0" else _refuse()
    compressed, method, tagged = rest[:1], rest[1:2], rest[2:].split(b"\0", 2)
    if len(tagged) < 3 or compressed not in (b"\0", b"\1"):
        return _refuse()
    if compressed == b"\0":
        return tagged[2]
    return _inflate(tagged[2], limit_bytes) if method == b"\0" else _refuse()


def _refuse() -> bytes:
    raise CardError("png_damaged")


def _inflate(data: bytes, limit_bytes: int) -> bytes:
    inflator = zlib.decompressobj()
    try:
        content = inflator.decompress(data, max(1, limit_bytes))
    except zlib.error as error:
        raise CardError("png_damaged") from error
    if not inflator.eof:
        raise CardError("inflated_too_large" if inflator.unconsumed_tail else "png_damaged")
    return content


def _text_chunk(keyword: str, content: bytes) -> bytes:
    try:
        name = keyword.encode("latin-1")
    except UnicodeEncodeError as error:
        raise CardError("path_unsafe", path=keyword) from error
    return _encode_chunk(b"tEXt", name + b"\0" + base64.b64encode(content))


def _encode_chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


#: V3 says to tell the reader of the V2 copy what it lacks.
NOTE = (
    "[V2 copy of a V3 card: lorebook decorators and assets are left out. "
    "V3 카드의 V2 사본: 로어북 데코레이터와 에셋이 빠져 있습니다.]"
)


def backfill_card(card: CharacterCard) -> CharacterCard:
    """The V2 copy of a V3 card: no decorators, no assets, and a note if that lost something.

    A V1 or V2 card is returned as it is.
    """
    if card.version != 3:
        return card
    data: dict[str, Any] = {k: v for k, v in card.data.items() if k != "assets"}
    lost = card.data.get("assets") is not None
    book = data.get("character_book")
    if isinstance(book, dict) and isinstance(book.get("entries"), list):
        entries = []
        for entry in book["entries"]:
            content = entry.get("content") if isinstance(entry, dict) else None
            plain = split_decorators(content)[1] if isinstance(content, str) else content
            lost = lost or plain != content
            entries.append(entry | {"content": plain} if plain != content else entry)
        data["character_book"] = book | {"entries": entries}
    if lost:
        notes = card.creator_notes
        data["creator_notes"] = f"{notes}\n\n{NOTE}" if notes else NOTE
    raw = dict(card.raw) | {"spec": "chara_card_v2", "spec_version": "2.0", "data": data}
    return CharacterCard.from_text(dump_object(raw))
