"""What a web search gives an answer to rest on. Pure values and the contract."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

GroundingStatus = Literal["ok", "empty", "no_room", "unavailable", "disabled"]
#: Message keys: the search did not answer; it found nothing; what it found does not fit the
#: prompt; no page could be read in time, so that only the search's own excerpts are used; there is
#: no search.
GroundingWarning = Literal[
    "search_unavailable",
    "search_empty",
    "search_left_out",
    "search_snippets_only",
    "search_disabled",
]
#: Tokens of a text by the model's own tokenizer; may ask the engine.
CountText = Callable[[str], int | Awaitable[int]]

_NUMBER = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True)
class Source:
    """A page that an answer may rest on; `n` is its number in the text, from 1 and further on where
    earlier answers of the conversation have sources."""

    n: int
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class GroundingResult:
    """What an answer can rest on.

    status    ok: `text` and `sources` are there; empty: nothing was found; no_room: something was,
              but no passage of it fits; unavailable: the search failed; disabled: no provider is
              configured
    provider  the provider that answered, "" where none did
    text      stands beside the user's newest input, in Korean; "" unless ok
    """

    status: GroundingStatus
    provider: str = ""
    sources: tuple[Source, ...] = ()
    text: str = ""
    warnings: tuple[GroundingWarning, ...] = ()

    def with_numbers_from(self, first: int) -> GroundingResult:
        """The same with its sources counted from `first`. Rule G5 makes every number in brackets
        one of ours."""
        shift = first - 1
        if not shift:
            return self
        text = _NUMBER.sub(lambda match: f"[{int(match[1]) + shift}]", self.text)
        sources = tuple(replace(source, n=source.n + shift) for source in self.sources)
        return replace(self, text=text, sources=sources)


class Grounder(Protocol):
    """Finds what an answer can rest on.

    G1  `ground` returns within `deadline_s`, whatever the providers and pages do.
    G2  It raises nothing for a failed search: the status and the warnings say it.
    G3  Sources are numbered from 1, and only those whose text is in `text`.
    G4  `text` takes at most `max_tokens` by `count`, or about so many where it does not answer.
    G5  No number in brackets stands in `text` but those of its sources.
    """

    async def ground(
        self, question: str, *, query: str, deadline_s: float, max_tokens: int, count: CountText
    ) -> GroundingResult: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...
