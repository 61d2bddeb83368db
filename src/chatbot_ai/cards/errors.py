"""Why a card is refused, and what about an accepted one deserves a word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from chatbot_ai.domain.errors import InvalidRequest

Reason = Literal[
    "base64_invalid",
    "card_missing",
    "characters_too_many",
    "field_type",
    "file_empty",
    "file_polyglot",
    "file_too_large",
    "format_unknown",
    "greeting_missing",
    "json_invalid",
    "json_too_complex",
    "lorebook_too_large",
    "name_missing",
    "not_a_card_but_a_chat",
    "not_a_character",
    "picture_damaged",
    "picture_not_png",
    "picture_size",
    "picture_svg",
    "picture_type",
    "png_damaged",
    "text_encoding",
    "text_too_long",
    "zip_damaged",
    "path_repeated",
    "zip_encrypted",
    "path_link",
    "zip_method",
    "path_unsafe",
    "inflated_too_large",
    "files_too_many",
]

Notice = Literal[
    "asset_missing",
    "asset_not_shown",
    "asset_remote",
    "asset_uri",
    "bytes_dropped",
    "card_damaged_copy",
    "card_repeated",
    "cards_left_out",
    "checksum_wrong",
    "extension_differs",
    "fields_odd",
    "json_repaired",
    "lore_left_out",
    "lorebook_alone",
    "pattern_unsupported",
    "picture_dropped",
    "spec_newer",
    "spec_unclear",
]


class CardError(InvalidRequest):
    """A card, or a file that should hold one, is refused for `reason`.

    `params` fill the text `error.<reason>` of messages/cards.toml.
    """

    code = "invalid_card"

    def __init__(self, reason: Reason, **params: object) -> None:
        super().__init__("card", reason, **params)
        self.card_reason: Reason = reason


@dataclass(frozen=True, slots=True)
class CardWarning:
    """The card was accepted; `warning.<notice>` of messages/cards.toml says what was noticed."""

    notice: Notice
    params: dict[str, Any] = field(default_factory=dict)
