"""Where a card's assets are: inside the file, inside a data URL, elsewhere, or nowhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from chatbot_ai.cards.card import CardAsset, CharacterCard
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.jsoncard import decode_base64
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.pictures import inspect_picture, is_picture, is_svg

UriForm = Literal["embeded", "asset_chunk", "data_url"]

#: V3 spells it with one d; many tools with two.
_INNER_SCHEMES = ("embeded://", "embedded://", "__asset:")
_DATA_URL = re.compile(r"data:([\w.+-]{1,64}/[\w.+-]{1,64})?(?:;[\w=.+-]{1,64})*?;base64,", re.I)
_PICTURE_TYPES = frozenset({"icon", "background", "user_icon", "emotion"})
_PICTURE_EXTS = frozenset({"png", "apng", "jpg", "jpeg", "webp", "gif", "svg"})


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that travels with a card.

    path        as the file's archive or chunk names it; empty for a data URL
    media_type  of a picture that may be shown; None: kept for export, never shown
    """

    path: str
    data: bytes
    media_type: str | None


def inner_path(uri: str) -> str | None:
    """The path of a URI that points into the card's own file, else None."""
    for scheme in _INNER_SCHEMES:
        if uri.lower().startswith(scheme):
            return uri[len(scheme) :]
    return None


def data_url(uri: str) -> bytes | None:
    """The content of a base64 data URL, else None. CardError if its base64 is wrong."""
    match = _DATA_URL.match(uri)
    if match is None:
        return None
    if not uri.isascii():
        raise CardError("base64_invalid")
    return decode_base64(uri[match.end() :].encode("ascii"))


def check_assets(
    card: CharacterCard, files: dict[str, bytes], limits: CardLimits = DEFAULT_LIMITS
) -> tuple[tuple[Asset, ...], tuple[CardWarning, ...]]:
    """The card's files, each looked at. Pictures must be pictures; what is not one is kept only
    where the card does not call it one."""
    warnings: list[CardWarning] = []
    pictures: set[str] = set()
    for declared in card.assets:
        is_shown = declared.type in _PICTURE_TYPES
        path = inner_path(declared.uri)
        content = data_url(declared.uri)
        if path is not None and path not in files:
            warnings.append(CardWarning("asset_missing", {"path": path[:200]}))
        elif path is not None and is_shown:
            pictures.add(path)
        elif declared.uri.lower().startswith("data:image/svg"):
            raise CardError("picture_svg")
        elif content is not None and is_shown:
            inspect_picture(content, limits)
        elif content is not None and is_svg(content):
            raise CardError("picture_svg")
        elif declared.uri.lower().startswith(("http:", "https:")):
            warnings.append(CardWarning("asset_remote", {"name": declared.name[:100]}))
        elif path is None and content is None and declared.uri != "ccdefault:":
            warnings.append(CardWarning("asset_uri", {"name": declared.name[:100]}))
    assets = []
    for path, content in files.items():
        extension = path.rpartition(".")[2].lower()
        if path in pictures or extension in _PICTURE_EXTS or is_picture(content) or is_svg(content):
            assets.append(Asset(path, content, inspect_picture(content, limits).media_type))
        else:
            assets.append(Asset(path, content, None))
            warnings.append(CardWarning("asset_not_shown", {"path": path[:200]}))
    return tuple(assets), tuple(warnings)


def main_icon(card: CharacterCard) -> CardAsset | None:
    """The declared icon that stands for the character: the one named main, else the first."""
    icons = [asset for asset in card.assets if asset.type == "icon"]
    return next((icon for icon in icons if icon.name == "main"), icons[0] if icons else None)


def icon_picture(card: CharacterCard, assets: Iterable[Asset]) -> bytes | None:
    """The bytes of the main icon, if the card brings them."""
    icon = main_icon(card)
    if icon is None:
        return None
    path = inner_path(icon.uri)
    if path is not None:
        return next((asset.data for asset in assets if asset.path == path), None)
    return data_url(icon.uri)


def link_assets(card: CharacterCard, assets: Iterable[Asset], form: UriForm) -> CharacterCard:
    """The card with the URIs of `assets` in the form that the file to be written needs.

    Untouched, byte for byte, where they have it already.
    """
    known = {asset.path: asset for asset in assets}
    declared = card.data.get("assets")
    if card.version == 1 or not isinstance(declared, list):
        return card
    lines = []
    objects = [line for line in declared if isinstance(line, dict)]
    for line, asset in zip(objects, card.assets, strict=True):
        path = inner_path(asset.uri)
        if path is None or path not in known or _has_form(asset.uri, form):
            lines.append(line)
        else:
            lines.append(line | {"uri": _uri(known[path], form)})
    return card if lines == objects else card.with_changes(assets=lines)


def _has_form(uri: str, form: UriForm) -> bool:
    lowered = uri.lower()
    if form == "asset_chunk":
        return lowered.startswith("__asset:")
    return form == "embeded" and lowered.startswith(("embeded://", "embedded://"))


def _uri(asset: Asset, form: UriForm) -> str:
    if form == "embeded":
        return f"embeded://{asset.path}"
    if form == "asset_chunk":
        return f"__asset:{asset.path}"
    media_type = asset.media_type or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(asset.data).decode('ascii')}"
