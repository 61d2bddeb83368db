"""Which entries of a lorebook match a chat: the scan behind an activation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from chatbot_ai.cards.decorators import Decorators, split_decorators
from chatbot_ai.cards.keys import Haystack, Needle, contains
from chatbot_ai.cards.limits import CardLimits
from chatbot_ai.cards.lorebook import Lorebook, LoreEntry
from chatbot_ai.cards.macros import MacroScope, expand
from chatbot_ai.cards.patterns import PatternScan
from chatbot_ai.domain.conversation import Message

#: Messages that are scanned where neither book nor entry says how many: two turns.
DEFAULT_SCAN_DEPTH = 4
#: What a look for a key costs besides the text, in characters looked through.
_LEAST_STEPS = 2_000
#: What making a window ready costs for each of its characters.
_WINDOW_STEPS = 100


@dataclass(frozen=True, slots=True)
class LoreState:
    """What one chat remembers between its prompts: the keys of the entries that have matched."""

    matched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LoreScene:
    """What entries may ask about besides the messages.

    greeting_index   0 for first_mes; None: unknown, then no `@@is_greeting` entry is used
    is_context_full  leaves out entries with `@@ignore_on_max_context`
    macros           resolves macros in keys, messages and contents; None leaves them
    """

    greeting_index: int | None = 0
    user_icon: str | None = None
    is_context_full: bool = False
    macros: MacroScope | None = None
    space_insensitive: bool = True
    default_scan_depth: int = DEFAULT_SCAN_DEPTH


@dataclass(frozen=True, slots=True)
class Candidate:
    entry: LoreEntry
    index: int
    decorators: Decorators
    text: str


class LoreScan:
    """One scan of one chat. Its cost is bounded by `limits` and the same on every machine."""

    def __init__(
        self,
        book: Lorebook,
        messages: Sequence[Message],
        state: LoreState,
        scene: LoreScene,
        limits: CardLimits,
    ) -> None:
        self._patterns = PatternScan(limits)
        self._steps_left = limits.scan_steps
        self._book, self._messages, self._state, self._scene = book, messages, state, scene
        self._limits = limits
        self._answers = sum(message.role == "assistant" for message in messages)
        self._last_window: tuple[int, Haystack] | None = None
        self._needles: dict[tuple[str, bool], Needle] = {}

    @property
    def is_incomplete(self) -> bool:
        """Whether the limits ended the search for keys or patterns before its end."""
        return self._patterns.exhausted or self._steps_left < 0

    def find_matches(self) -> list[Candidate]:
        """Entries that match the messages, then those that match what these have brought."""
        waiting = [c for c in self._candidates() if self._may_match(c.entry, c.decorators)]
        found: list[Candidate] = []
        room = self._limits.scanned_chars
        # by depth, so that only one window is held at a time
        by_depth = sorted(waiting, key=self._depth)
        called = {c.index for c in by_depth if self._matches(c, self._window(self._depth(c)))}
        round_of = [c for c in waiting if c.index in called]
        for _ in range(self._limits.scan_rounds):
            found += round_of
            keys = {candidate.entry.key for candidate in round_of}
            waiting = [c for c in waiting if c.entry.key not in keys]
            if not (self._book.recursive_scanning and room > 0 and waiting and round_of):
                break
            brought = "\n".join(self.expand(c.text, for_match=True) for c in round_of)[:room]
            room -= max(1, len(brought))
            haystack = Haystack(brought)
            round_of = [c for c in waiting if self._matches(c, haystack)]
        return found

    def expand(self, text: str, *, for_match: bool = False) -> str:
        macros = self._scene.macros
        return expand(text, macros, "match" if for_match else "prompt") if macros else text

    def _candidates(self) -> Iterable[Candidate]:
        for index, entry in enumerate(self._book.entries):
            decorators, text = split_decorators(entry.content)
            if entry.enabled and text.strip():
                yield Candidate(entry, index, decorators, text)

    def _may_match(self, entry: LoreEntry, asked: Decorators) -> bool:
        """Everything that does not depend on a text."""
        scene, has_matched = self._scene, entry.key in self._state.matched
        if asked.activate:
            return True
        hindrances = (
            asked.dont_activate,
            asked.dont_activate_after_match and has_matched,
            asked.ignore_on_max_context and scene.is_context_full,
            asked.is_greeting is not None and asked.is_greeting != scene.greeting_index,
            asked.is_user_icon is not None and asked.is_user_icon != scene.user_icon,
            asked.activate_only_after is not None and self._answers < asked.activate_only_after,
            asked.activate_only_every is not None and self._answers % asked.activate_only_every,
        )
        return not any(hindrances)

    def _matches(self, candidate: Candidate, text: Haystack) -> bool:
        entry, asked = candidate.entry, candidate.decorators
        is_kept = asked.keep_activate_after_match and entry.key in self._state.matched
        if asked.activate or is_kept:
            return True
        if self._has_any(entry, asked.exclude_keys, text):
            return False
        if not all(self._has_any(entry, keys, text) for keys in asked.additional_keys):
            return False
        is_found = entry.constant or self._has_keys(entry, text)
        return is_found and self._is_drawn(entry, text)

    def _has_keys(self, entry: LoreEntry, text: Haystack) -> bool:
        if not any(self._has_key(entry, key, text) for key in entry.keys):
            return False
        if entry.use_regex or not (entry.selective and entry.secondary_keys):
            return True
        found = (self._has_key(entry, key, text) for key in entry.secondary_keys)
        match entry.logic:
            case "any":
                return any(found)
            case "not_any":
                return not any(found)
            case "all":
                return all(found)
            case "not_all":
                return not all(found)

    def _has_key(self, entry: LoreEntry, key: str, text: Haystack) -> bool:
        if not entry.is_pattern(key):
            return self._has(entry, key, text)
        return self._patterns.matches(key, text.exact, case_sensitive=entry.case_sensitive)

    def _is_drawn(self, entry: LoreEntry, text: Haystack) -> bool:
        """Whether chance lets a matching entry in: the same for the same text, however often."""
        if entry.probability >= 100:
            return True
        seed = f"{entry.key}\0{text.text}".encode("utf-8", "replace")
        drawn = int.from_bytes(blake2b(seed, digest_size=4).digest(), "big") / 2**32
        return drawn * 100 < entry.probability

    def _has_any(self, entry: LoreEntry, keys: Iterable[str], text: Haystack) -> bool:
        return any(self._has(entry, key, text) for key in keys)

    def _has(self, entry: LoreEntry, key: str, text: Haystack) -> bool:
        self._steps_left -= _LEAST_STEPS + len(text.text)
        if self._steps_left < 0:
            return False
        is_exact = bool(entry.case_sensitive)
        needle = self._needles.get((key, is_exact))
        if needle is None:
            needle = Needle.of(
                self.expand(key),
                case_sensitive=is_exact,
                space_insensitive=self._scene.space_insensitive,
            )
            self._needles[key, is_exact] = needle
        return contains(text, needle, whole_words=entry.whole_words is not False)

    def _depth(self, candidate: Candidate) -> int:
        """How many of the newest messages are searched for an entry's keys."""
        asked = (
            candidate.decorators.scan_depth,
            candidate.entry.scan_depth,
            self._book.scan_depth,
            self._scene.default_scan_depth,
        )
        depth = next(value for value in asked if value is not None)
        return max(0, min(depth, len(self._messages)))

    def _window(self, depth: int) -> Haystack:
        if self._last_window is None or self._last_window[0] != depth:
            recent = self._messages[len(self._messages) - depth :]
            joined = "\n".join(message.content for message in recent)
            text = self.expand(joined[-self._limits.scanned_chars :], for_match=True)
            self._steps_left -= _WINDOW_STEPS * len(text)
            self._last_window = depth, Haystack(text if self._steps_left > 0 else "")
        return self._last_window[1]
