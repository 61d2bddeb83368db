"""Character cards V1, V2 and V3: their files, macros and lorebooks. A pure library."""

from chatbot_ai.cards.activation import Activated, Activation, activate
from chatbot_ai.cards.assets import Asset
from chatbot_ai.cards.card import CardAsset, CharacterCard
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.formats import CardFormat, ReadCard, read_card, write_card
from chatbot_ai.cards.limits import CardLimits
from chatbot_ai.cards.lorebook import Lorebook, LoreEntry
from chatbot_ai.cards.macros import MacroScope, expand
from chatbot_ai.cards.pictures import Picture, inspect_picture
from chatbot_ai.cards.playing import PlayedLore, build_lore
from chatbot_ai.cards.prompt import RequestFields, build_scope, to_request_fields
from chatbot_ai.cards.scan import LoreScene, LoreState

__all__ = [
    "Activated",
    "Activation",
    "Asset",
    "CardAsset",
    "CardError",
    "CardFormat",
    "CardLimits",
    "CardWarning",
    "CharacterCard",
    "LoreEntry",
    "LoreScene",
    "LoreState",
    "Lorebook",
    "MacroScope",
    "Picture",
    "PlayedLore",
    "ReadCard",
    "RequestFields",
    "activate",
    "build_lore",
    "build_scope",
    "expand",
    "inspect_picture",
    "read_card",
    "to_request_fields",
    "write_card",
]
