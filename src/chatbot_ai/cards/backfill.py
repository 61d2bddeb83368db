"""A V3 card as V2, for applications that know no newer one."""

from __future__ import annotations

from typing import Any

from chatbot_ai.cards.card import CharacterCard
from chatbot_ai.cards.decorators import split_decorators
from chatbot_ai.cards.jsoncard import dump_object

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
