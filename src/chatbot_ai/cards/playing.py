"""A card's lorebook while its character is played: what always stands, and what a chat calls up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chatbot_ai.cards.activation import Activation, activate
from chatbot_ai.cards.card import CharacterCard
from chatbot_ai.cards.decorators import Decorators, split_decorators
from chatbot_ai.cards.lorebook import Lorebook, LoreEntry
from chatbot_ai.cards.macros import MacroScope
from chatbot_ai.cards.scan import LoreScene, LoreState
from chatbot_ai.domain import prompt_texts
from chatbot_ai.domain.conversation import Message


@dataclass(frozen=True, slots=True)
class PlayedLore:
    """One card's book in one conversation.

    standing  the texts of entries that are always there, for the system prompt: they never change
    """

    standing: str
    _book: Lorebook
    _budget: int
    _scene: LoreScene
    _count: Callable[[str], int]
    _heading: str

    def __call__(self, messages: Sequence[Message], shown: Sequence[str]) -> str:
        """The text that `messages` (oldest first) call up, to stand beside the newest.

        shown  what the prompt holds anyway: entries in it are not repeated
        """
        found = _activate(self._book, messages, self._budget, self._scene, self._count)
        texts = [entry.text for entry in found.entries]
        fresh = [text for text in texts if not any(text in known for known in shown)]
        return f"[{self._heading}]\n" + "\n\n".join(fresh) if fresh else ""


def build_lore(
    card: CharacterCard,
    scope: MacroScope,
    *,
    greeting_index: int,
    budget: int,
    count: Callable[[str], int],
) -> PlayedLore | None:
    """The card's book, None where it has none.

    budget  tokens, in units of `count`, for all its entries together, beside the book's own; what
            always stands is served first
    """
    book = card.character_book
    if book is None:
        return None
    if book.token_budget is not None:
        budget = max(0, min(budget, book.token_budget))
    scene = LoreScene(greeting_index=greeting_index, macros=scope)
    always = tuple(entry for entry in book.entries if _always_stands(entry))
    others = tuple(entry for entry in book.entries if not _always_stands(entry))
    stands = _activate(replace(book, entries=always), (), budget, scene, count)
    standing = "\n\n".join(entry.text for entry in stands.entries)
    return PlayedLore(
        standing=standing,
        _book=replace(book, entries=others, token_budget=None),
        _budget=max(0, budget - count(standing)),
        _scene=scene,
        _count=count,
        _heading=prompt_texts.CARD_HEADINGS[scope.language]["lore"],
    )


def _always_stands(entry: LoreEntry) -> bool:
    """Whether nothing in a chat can change that an entry is used."""
    is_certain = entry.constant and entry.probability >= 100
    return is_certain and split_decorators(entry.content)[0] == Decorators()


def _activate(
    book: Lorebook,
    messages: Sequence[Message],
    budget: int,
    scene: LoreScene,
    count: Callable[[str], int],
) -> Activation:
    state = LoreState()
    return activate(book, messages, state=state, count=count, budget=budget, scene=scene)
