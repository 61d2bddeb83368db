"""Which entries of a lorebook a chat has called up, and where their texts belong (V3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chatbot_ai.cards.decorators import LoreRole, Place, UiPrompt
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.lorebook import Lorebook, LoreEntry
from chatbot_ai.cards.scan import Candidate, LoreScan, LoreScene, LoreState
from chatbot_ai.domain.conversation import Message

Position = Place | Literal["before_char", "after_char", "in_chat"]


@dataclass(frozen=True, slots=True)
class Activated:
    """One entry's text and its place.

    text   without decorators, macros resolved
    depth  messages from the newest, 0 is behind it; None unless `position` is "in_chat"
    role   of the inserted text
    """

    entry: LoreEntry
    text: str
    position: Position
    depth: int | None
    role: LoreRole


@dataclass(frozen=True, slots=True)
class Activation:
    """The result for one prompt.

    entries         what goes into the prompt, in its order (lower insertion_order first)
    dropped         entries that matched but did not fit the budget
    state           to be handed in with the next prompt of the same chat
    disabled        prompts of the user that the card asks to leave out
    is_incomplete   keys were left unsearched, because all together they cost too much
    """

    entries: tuple[Activated, ...]
    dropped: tuple[LoreEntry, ...]
    state: LoreState
    disabled: frozenset[UiPrompt]
    is_incomplete: bool


def activate(
    book: Lorebook,
    messages: Sequence[Message],
    *,
    state: LoreState,
    count: Callable[[str], int],
    budget: int | None,
    scene: LoreScene | None = None,
    limits: CardLimits = DEFAULT_LIMITS,
) -> Activation:
    """Match `messages` (oldest first) against the book. Pure: the same input, the same result.

    count   tokens of a text; budget: tokens for all entries, beside the book's own (the smaller
            counts); None: no limit of the caller's

    `constant` wins over `use_regex` where V3 says both. Recursive scanning reads the contents of
    matched entries whether or not they fit the budget. Scanned text is cut to the newest
    `limits.scanned_chars`.
    """
    scan = LoreScan(book, messages, state, scene or LoreScene(), limits)
    matched = scan.find_matches()
    entries = [_place(candidate, scan, len(messages)) for candidate in matched]
    sizes = {item.entry.key: count(item.text) for item in entries}
    kept = _within(matched, sizes, _budget(book.token_budget, budget))
    order = sorted(range(len(matched)), key=lambda i: _insertion(matched[i]))
    chosen = [index for index in order if matched[index].entry.key in kept]
    return Activation(
        entries=tuple(entries[index] for index in chosen),
        dropped=tuple(matched[i].entry for i in order if matched[i].entry.key not in kept),
        state=LoreState(state.matched | {candidate.entry.key for candidate in matched}),
        disabled=frozenset(
            prompt for index in chosen for prompt in matched[index].decorators.disable_ui_prompt
        ),
        is_incomplete=scan.is_incomplete,
    )


def _budget(of_book: int | None, of_caller: int | None) -> int | None:
    given = [value for value in (of_book, of_caller) if value is not None]
    return max(0, min(given)) if given else None


def _insertion(candidate: Candidate) -> tuple[float, int]:
    return candidate.entry.insertion_order, candidate.index


def _within(
    matched: Sequence[Candidate], sizes: dict[str, int], budget: int | None
) -> frozenset[str]:
    """The keys of the entries that stay: the least important leave until the rest fits."""

    def importance(candidate: Candidate) -> tuple[bool, float, float, int]:
        entry = candidate.entry
        is_firm = not candidate.decorators.ignore_on_max_context
        return is_firm, entry.priority or 0.0, entry.insertion_order, candidate.index

    total = sum(sizes.values())
    kept = {candidate.entry.key for candidate in matched}
    for candidate in sorted(matched, key=importance):
        if budget is None or total <= budget:
            break
        kept.discard(candidate.entry.key)
        total -= sizes[candidate.entry.key]
    return frozenset(kept)


def _place(candidate: Candidate, scan: LoreScan, total: int) -> Activated:
    asked = candidate.decorators
    text = scan.expand(candidate.text)
    depth = asked.depth
    if depth is None and asked.reverse_depth is not None:
        depth = total - asked.reverse_depth
    position: Position
    if asked.position is not None:
        position, depth = asked.position, None
    elif depth is not None:
        position, depth = "in_chat", max(0, min(depth, total))
    else:
        position = "after_char" if candidate.entry.position == "after_char" else "before_char"
    return Activated(candidate.entry, text, position, depth, asked.role or "system")
