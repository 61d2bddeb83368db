"""What a picture is, told by its bytes alone: PNG, JPEG, WebP or GIF of sane dimensions.

Nothing is decoded; a browser will do that. Headers after the PNG (W3C), JPEG (ITU T.81), GIF89a
and WebP container specifications.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
ZIP_END = b"PK\x05\x06"

#: The last chunk of every PNG: a type and the CRC of nothing else.
_PNG_END = b"IEND\xaeB`\x82"
_GIF_MAGICS = (b"GIF87a", b"GIF89a")
_SVG = re.compile(rb"<(?:[a-z][\w.-]{0,30}:)?svg[\s>/]", re.IGNORECASE)
#: Start-of-frame markers; C4, C8 and CC between them are other things (T.81 table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: APP1 (EXIF, XMP) and comments.
_JPEG_NOTES = frozenset({0xE1, 0xFE})
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's type and size in pixels."""

    media_type: str
    width: int
    height: int


def is_picture(data: bytes) -> bool:
    """Whether `data` begins as one of the accepted picture formats."""
    return data.startswith((PNG_MAGIC, JPEG_MAGIC, *_GIF_MAGICS)) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


def is_svg(data: bytes) -> bool:
    """Whether a browser could take `data` for SVG: its tag among the first 4 KiB of text."""
    head = data[:4096].replace(b"\0", b"")
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] == b"<" and bool(_SVG.search(head))


def has_zip_tail(data: bytes) -> bool:
    """Whether a ZIP reader would find an archive at the end of `data`."""
    end = data.rfind(ZIP_END, max(0, len(data) - 65_557))
    if end < 0 or end + 22 > len(data):
        return False
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    return size == 0xFFFFFFFF or data[max(0, end - size) :][:4] in (b"PK\x01\x02", ZIP_END)


def split_exif(data: bytes) -> tuple[bytes, list[bytes]]:
    """A WebP or JPEG without its EXIF and XMP data, and the texts in these that may be JSON.

    Other pictures come back as they are.
    """
    if data.startswith(JPEG_MAGIC):
        kept, notes = _split_jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kept, notes = _split_webp(data)
    else:
        return data, []
    begins = ((note, note.find(b"{")) for note in notes)
    return kept, [note[at:] for note, at in begins if at >= 0]


def _split_webp(data: bytes) -> tuple[bytes, list[bytes]]:
    chunks: list[bytes] = []
    notes: list[bytes] = []
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        whole = data[at : end + (end - at) % 2]
        if data[at : at + 4] in (b"EXIF", b"XMP "):
            notes.append(whole[8:])
        elif data[at : at + 4] == b"VP8X" and len(whole) > 8:
            # the flags that say that EXIF (8) and XMP (4) are there
            chunks.append(whole[:8] + bytes([whole[8] & ~0x0C]) + whole[9:])
        else:
            chunks.append(whole)
        at += max(8, len(whole))
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body, notes


def _split_jpeg(data: bytes) -> tuple[bytes, list[bytes]]:
    kept, notes = [data[:2]], []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        if data[at + 1] in _JPEG_NOTES:
            notes.append(data[at + 4 : end])
        else:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]]), notes


def inspect_picture(data: bytes, limits: CardLimits = DEFAULT_LIMITS) -> Picture:
    """The type and size of a picture, or CardError: another type, damaged, huge, or two files
    in one."""
    if is_svg(data):
        raise CardError("picture_svg")
    if data.startswith(PNG_MAGIC):
        found = "image/png", _png_size(data)
    elif data.startswith(JPEG_MAGIC):
        found = "image/jpeg", _jpeg_size(data)
    elif data.startswith(_GIF_MAGICS):
        found = "image/gif", _gif_size(data)
    elif is_picture(data):
        found = "image/webp", _webp_size(data)
    else:
        raise CardError("picture_type")
    if has_zip_tail(data):
        raise CardError("file_polyglot")
    media_type, (width, height) = found
    check_size(width, height, limits)
    return Picture(media_type, width, height)


def check_size(width: int, height: int, limits: CardLimits) -> None:
    """Refuse a picture without pixels, or with more than a browser should be made to hold."""
    is_sane = min(width, height) > 0 and max(width, height) <= limits.picture_side
    if not is_sane or width * height > limits.picture_pixels:
        raise CardError("picture_size", width=width, height=height)


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 45:
        raise CardError("picture_damaged")
    if not data.rstrip(b"\0\r\n\x1a ").endswith(_PNG_END):
        raise CardError("file_polyglot" if _PNG_END in data else "picture_damaged")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    if data.rfind(b"\xff\xd9") < 0:
        raise CardError("picture_damaged")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_STANDALONE:
            at += 2
            continue
        if marker in _JPEG_FRAMES:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            return int.from_bytes(data[at + 7 : at + 9], "big"), height
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            break
        at += 2 + length
    raise CardError("picture_damaged")


def _gif_size(data: bytes) -> tuple[int, int]:
    if len(data) < 14 or data.rstrip(b"\0")[-1:] != b";":
        raise CardError("picture_damaged")
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _webp_size(data: bytes) -> tuple[int, int]:
    declared = int.from_bytes(data[4:8], "little") + 8
    if len(data) < 30 or declared > len(data):
        raise CardError("picture_damaged")
    if len(data) - declared > 1:
        raise CardError("file_polyglot")
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        return width, int.from_bytes(data[28:30], "little") & 0x3FFF
    raise CardError("picture_damaged")
