"""Reading a card from whatever file it came in, and writing it as the file that is wanted."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from chatbot_ai.cards.assets import (
    Asset,
    check_assets,
    icon_picture,
    inner_path,
    link_assets,
    main_icon,
)
from chatbot_ai.cards.card import LOREBOOK_NAME, CharacterCard
from chatbot_ai.cards.charx import read_charx, write_charx
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.fields import Fields
from chatbot_ai.cards.jsoncard import decode_text
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.pictures import (
    JPEG_MAGIC,
    PNG_MAGIC,
    has_zip_tail,
    inspect_picture,
    is_picture,
    is_svg,
    split_exif,
)
from chatbot_ai.cards.png import draw_plain_png, read_png, write_png

CardFormat = Literal["png", "charx", "json"]

_EXTENSIONS: dict[str, CardFormat] = {
    "png": "png",
    "apng": "png",
    "charx": "charx",
    "zip": "charx",
    "json": "json",
}
_PROGRAM_MAGICS = (b"MZ", b"#!", b"\x7fELF")
_PICTURE_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}


@dataclass(frozen=True, slots=True)
class ReadCard:
    """What a file held.

    picture     the character's picture without the card in it; None: the file brings none
    media_type  of the picture
    assets      the files that travel with the card, the picture's own among them
    """

    card: CharacterCard
    format: CardFormat
    picture: bytes | None
    media_type: str | None
    assets: tuple[Asset, ...]
    warnings: tuple[CardWarning, ...]


def read_card(
    data: bytes, filename: str | None = None, limits: CardLimits = DEFAULT_LIMITS
) -> ReadCard:
    """Read a PNG, CHARX or JSON card, told apart by content; the file's name is only compared.

    Raises CardError and nothing else, whatever the bytes are.
    """
    if not data:
        raise CardError("file_empty")
    if len(data) > limits.file_bytes:
        raise CardError("file_too_large", limit_mib=limits.file_bytes >> 20)
    kind = _detect_format(data)
    if kind == "exif":
        return _read_exif(data, filename, limits)
    card, files, own_picture, warnings = _open(data, kind, limits)
    stem = (filename or "").rpartition("/")[2].partition(".")[0].strip()[:100]
    is_lorebook = any(notice.notice == "lorebook_alone" for notice in card.notices)
    if is_lorebook and card.name == LOREBOOK_NAME and stem.isprintable() and stem:
        card = replace(card.with_changes(name=stem), notices=card.notices)
    if not card.spoken_name:
        raise CardError("name_missing")
    assets, asset_warnings = check_assets(card, files, limits)
    own_picture = own_picture or None
    picture = own_picture if kind == "png" else icon_picture(card, assets) or own_picture
    media_type = inspect_picture(picture, limits).media_type if picture else None
    warnings += [*asset_warnings, *card.warnings()]
    extension = (filename or "").rpartition(".")[2].lower()
    if _EXTENSIONS.get(extension, kind) != kind:
        warnings.append(CardWarning("extension_differs", {"format": kind}))
    return ReadCard(card, kind, picture, media_type, assets, tuple(warnings))


def write_card(
    card: CharacterCard,
    picture: bytes | None,
    format: CardFormat,
    assets: Iterable[Asset] = (),
    limits: CardLimits = DEFAULT_LIMITS,
) -> bytes:
    """Write the card as a file of `format`.

    png    the picture must be a PNG (CardError "picture_not_png"); without one a plain one is made
    charx  a V3 file: an older card is upgraded; the picture becomes its main icon
    json   the bare card; assets go into data URLs, the picture only if it is a declared asset
    """
    carried = tuple(asset for asset in assets if asset.path)
    if picture is not None:
        inspect_picture(picture, limits)
    if format == "json":
        return link_assets(card, carried, "data_url").text.encode("utf-8")
    if format == "png":
        relinked = link_assets(card, carried, "asset_chunk")
        files = [(asset.path, asset.data) for asset in carried]
        icon = icon_picture(card, carried)
        own = icon if icon is not None and icon.startswith(PNG_MAGIC) else _draw_picture(card)
        return write_png(relinked, own if picture is None else picture, files, limits)
    relinked = link_assets(card.upgrade(), carried, "embeded")
    if picture is not None:
        relinked, carried = _with_icon(relinked, picture, carried, limits)
    return write_charx(relinked, [(asset.path, asset.data) for asset in carried])


def _read_exif(data: bytes, filename: str | None, limits: CardLimits) -> ReadCard:
    """A WebP or JPEG with the card in its EXIF data, as some galleries make them."""
    picture, texts = split_exif(data)
    for text in texts:
        with contextlib.suppress(CardError):
            found = read_card(text, filename, limits)
            try:
                media_type = inspect_picture(picture, limits).media_type
            except CardError:
                dropped = (*found.warnings, CardWarning("picture_dropped"))
                return replace(found, warnings=dropped)
            return replace(found, picture=picture, media_type=media_type)
    raise CardError("file_polyglot" if has_zip_tail(data) else "card_missing")


def _detect_format(data: bytes) -> CardFormat | Literal["exif"]:
    if data.startswith(PNG_MAGIC):
        return "png"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "charx"
    if data.startswith((JPEG_MAGIC, *_PROGRAM_MAGICS)) and has_zip_tail(data):
        return "charx"
    if data[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] in (b"{", b"["):
        return "json"
    if is_svg(data):
        raise CardError("picture_svg")
    if is_picture(data):
        return "exif"
    raise CardError("format_unknown")


def _open(
    data: bytes, kind: CardFormat, limits: CardLimits
) -> tuple[CharacterCard, dict[str, bytes], bytes | None, list[CardWarning]]:
    if kind == "png":
        png = read_png(data, limits)
        return png.card, png.assets, png.picture, list(png.warnings)
    if kind == "charx":
        charx = read_charx(data, limits)
        return charx.card, charx.files, charx.prefix, list(charx.warnings)
    return CharacterCard.from_text(decode_text(data), limits), {}, None, []


def _with_icon(
    card: CharacterCard, picture: bytes, carried: tuple[Asset, ...], limits: CardLimits
) -> tuple[CharacterCard, tuple[Asset, ...]]:
    """Make `picture` the main icon; what was it before goes, unless it is that picture."""
    icon = main_icon(card)
    if icon is not None and icon_picture(card, carried) == picture:
        return card, carried
    media_type = inspect_picture(picture, limits).media_type
    extension = _PICTURE_EXTENSIONS[media_type]
    objects = Fields(card.data).objects("assets")
    lines = [
        line
        for line, asset in zip(objects, card.assets, strict=False)
        if asset.type != "icon" or asset.name != "main"
    ]
    used = {inner_path(str(line.get("uri"))) for line in lines}
    replaced = inner_path(icon.uri) if icon is not None and icon.name == "main" else None
    kept = tuple(a for a in carried if a.path != replaced or a.path in used)
    taken = {asset.path for asset in kept}
    path = next(
        candidate
        for number in range(len(taken) + 1)
        if (candidate := f"assets/icon/images/main{number or ''}.{extension}") not in taken
    )
    line = {"type": "icon", "uri": f"embeded://{path}", "name": "main", "ext": extension}
    return card.with_changes(assets=[line, *lines]), (*kept, Asset(path, picture, media_type))


def _draw_picture(card: CharacterCard) -> bytes:
    """A quiet colour that the name chooses, in the size character galleries expect."""
    red, green, blue = hashlib.sha256(card.name.encode("utf-8")).digest()[:3]
    return draw_plain_png(400, 600, (96 + red // 4, 96 + green // 4, 96 + blue // 4))
