"""Cards in CHARX files: a ZIP archive with card.json at its root and assets beside it."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from chatbot_ai.cards.card import CharacterCard
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.jsoncard import decode_text
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits, safe_path
from chatbot_ai.cards.pictures import JPEG_MAGIC, PNG_MAGIC, inspect_picture
from chatbot_ai.cards.png import read_png

CARD_PATH = "card.json"
#: Files of an archive that are looked into for a card; each may inflate to the limit.
MAX_CARDS_INSIDE = 16

_BLOCK_BYTES = 1 << 16
#: Below this an archive may be as dense as it likes: a page of spaces is no attack.
_RATIO_FREE_BYTES = 1 << 20
_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: The earliest time ZIP can say, so that the same card gives the same file.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: All that zipfile raises for a file that is not what it says; each is a ZIP that is damaged.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    OverflowError,
)


@dataclass(frozen=True, slots=True)
class CharxCard:
    """A card as a CHARX holds it.

    files   all other files of the archive by path
    prefix  the JPEG that stands before the archive, where a tool made one file of both
    """

    card: CharacterCard
    files: dict[str, bytes]
    prefix: bytes | None
    warnings: tuple[CardWarning, ...]


def read_charx(data: bytes, limits: CardLimits = DEFAULT_LIMITS) -> CharxCard:
    """Read an archive, or a JPEG or self-extracting program with an archive behind it.

    The size of what is inflated is counted while inflating, whatever the archive declares.
    """
    if data.count(b"PK\x01\x02") > limits.files:
        raise CardError("files_too_many", limit=limits.files)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, limits)
            files = _inflate(archive, members, limits)
            start = min(info.header_offset for info in members.values())
            comment_bytes = len(archive.comment)
    except _ZIP_ERRORS as error:
        raise CardError("zip_damaged") from error
    prefix, warnings = _prefix(data[:start], limits)
    if comment_bytes:
        warnings.append(CardWarning("bytes_dropped", {"bytes": comment_bytes}))
    if CARD_PATH not in files:
        # not an archive of one card but one that holds cards
        return _first_card_inside(files, limits)
    card = CharacterCard.from_text(decode_text(files.pop(CARD_PATH)), limits)
    return CharxCard(card, files, prefix, tuple(warnings))


def _first_card_inside(files: dict[str, bytes], limits: CardLimits) -> CharxCard:
    """The first file of an archive that is a card itself; how many more there are is said."""
    cards: list[CharxCard] = []
    likely = [
        (path, content)
        for path, content in files.items()
        if content.startswith(PNG_MAGIC) or path.lower().endswith(".json")
    ]
    for _, content in likely[:MAX_CARDS_INSIDE]:
        with contextlib.suppress(CardError):
            if content.startswith(PNG_MAGIC):
                png = read_png(content, limits)
                cards.append(CharxCard(png.card, png.assets, png.picture or None, png.warnings))
            else:
                card = CharacterCard.from_text(decode_text(content), limits)
                cards.append(CharxCard(card, {}, None, ()))
    if not cards:
        raise CardError("card_missing")
    first = cards[0]
    if len(cards) == 1:
        return first
    more = CardWarning("cards_left_out", {"cards": len(cards) - 1})
    return replace(first, warnings=(*first.warnings, more))


def write_charx(card: CharacterCard, files: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive of the card and its files. The same input gives the same bytes."""
    buffer = io.BytesIO()
    written = {CARD_PATH}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_member(CARD_PATH, zipfile.ZIP_DEFLATED), card.text.encode("utf-8"))
        for path, content in files:
            if path in written:
                raise CardError("path_repeated", path=path)
            written.add(safe_path(path))
            archive.writestr(_member(path, zipfile.ZIP_STORED), content)
    return buffer.getvalue()


def _member(path: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.compress_type = method
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _members(archive: zipfile.ZipFile, limits: CardLimits) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > limits.files:
        raise CardError("files_too_many", limit=limits.files)
    for info in infos:
        is_folder = info.orig_filename.endswith("/")
        path = safe_path(info.orig_filename.removesuffix("/"), limits)
        if info.flag_bits & _ENCRYPTED_FLAGS:
            raise CardError("zip_encrypted")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CardError("path_link", path=path)
        if info.compress_type not in _METHODS:
            raise CardError("zip_method", path=path)
        if path in members:
            raise CardError("path_repeated", path=path)
        if not is_folder:
            members[path] = info
    members = _at_root(members)
    if sum(info.file_size for info in members.values()) > limits.inflated_bytes:
        raise CardError("inflated_too_large", limit_mib=limits.inflated_bytes >> 20)
    return members


def _at_root(members: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members without a folder around them all, and the card under its own name."""
    tops = {path.partition("/")[0] for path in members}
    if len(tops) == 1 and all("/" in path for path in members):
        members = {path.partition("/")[2]: info for path, info in members.items()}
    named = [path for path in members if path.lower() == CARD_PATH]
    if named and CARD_PATH not in members:
        members = {CARD_PATH: members[named[0]]} | {
            path: info for path, info in members.items() if path != named[0]
        }
    return members


def _inflate(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], limits: CardLimits
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for path, info in members.items():
        limit = limits.json_bytes if path == CARD_PATH else limits.inflated_bytes
        content = bytearray()
        with archive.open(info) as stream:
            while block := stream.read(_BLOCK_BYTES):
                content += block
                total += len(block)
                allowed = max(_RATIO_FREE_BYTES, limits.inflate_ratio * info.compress_size)
                if len(content) > min(limit, allowed) or total > limits.inflated_bytes:
                    raise CardError("inflated_too_large", limit_mib=limit >> 20)
        files[path] = bytes(content)
    return files


def _prefix(prefix: bytes, limits: CardLimits) -> tuple[bytes | None, list[CardWarning]]:
    if not prefix:
        return None, []
    if prefix.startswith(JPEG_MAGIC):
        inspect_picture(prefix, limits)
        return prefix, []
    return None, [CardWarning("bytes_dropped", {"bytes": len(prefix)})]
