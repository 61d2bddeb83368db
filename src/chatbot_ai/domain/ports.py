"""What the core needs from the outside. Each contract is a list of numbered rules; the tests in
tests/contract/ are named after the numbers and run against every adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatbot_ai.domain.conversation import (
    Assistant,
    ConversationKey,
    ConversationSummary,
    Message,
    NewTurn,
    Turn,
    TurnAnswer,
)
from chatbot_ai.domain.generation import GenerationEvent, GenerationRequest


class ChatModel(Protocol):
    """A model that continues a chat.

    M1  `stream` yields zero or more TextDelta, then exactly one Finished, then ends. For a `whole`
        request, Restarted may stand between: the deltas before it are void.
    M2  No delta is empty; a character is never split between two deltas.
    M3  Every failure is a BackendUnavailable (or a subclass) or DeadlineExceeded; nothing else. A
        request that the server calls wrong, such as a `response_format` that it cannot follow, may
        be InvalidRequest.
    M4  Closing the iterator early ends the generation at the server within a second.
    M5  The same messages, sampling and seed give the same joined text, while nothing else runs:
        a server that computes several answers in one batch may round otherwise than alone.
    M6  `count_tokens` is what `Usage.prompt_tokens` will be for the same messages, or an upper
        bound of it where the server cannot count.
    M7  `check` returns if the model can answer now, else raises BackendUnavailable.
    """

    @property
    def name(self) -> str:
        """The model's name as answers report it."""

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer of one conversation may take together."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]: ...

    async def count_tokens(self, messages: Sequence[Message]) -> int: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class ConversationStore(Protocol):
    """Turns of conversations, durable.

    S1  `append` returns only when the turn would survive kill -9 of every process and a restart.
    S2  Indices count from 0 in a conversation, without gaps, in the order of `append`, also when
        many callers and processes append at once.
    S3  `append` with a `turn_id` that this conversation has already returns the stored turn and
        changes nothing.
    S4  `recent_turns` returns the newest `limit` turns, oldest first; its cost does not depend on
        how many turns the conversation or the store holds.
    S5  Conversations differ by assistant, user_id and db_id; none sees another's turns.
    S6  Text comes back as it went in: any Unicode but lone surrogates.
    S7  Every failure of the database is StoreUnavailable; nothing else is raised for it.
    S8  `check` writes and reads something small, or raises StoreUnavailable.
    S9  `add_answer` adds an answer to a turn and selects it, `replace_answer` puts one in the
        place of another and selects it, `select_output` chooses another. Each answer keeps its
        model, status, end, sources and time. All raise NotFound where the turn is not there (for
        the first two: that very turn, by its id), and InvalidRequest for a bad choice. An answer
        that the turn has already is selected and not added again.
    S10 `truncate` removes the turns from `first` on, and returns how many.
    S11 `list_conversations` is newest first, `limit` at most, those updated before `before`.
    S12 `delete_conversation` and `delete_user` remove turns and titles, and return how many turns.
    S13 `scan` yields every turn, by conversation, in order, without holding all in memory.
    S14 `find_turn` returns the turn of that `turn_id`, or None.
    S15 `restore` writes a turn with its own index; where that turn is there already it changes
        nothing and returns False.
    S16 `replace_from` puts a turn in the place of turn `first` and all behind it, as one step:
        after a crash the old turns are there, or the new one. Where the conversation is shorter
        the turn goes to its end. A turn_id that it has already is as in S3, except at `first`
        with another answer.
    S17 `count_bytes` tells what a user's turns take as stored, all answers and both assistants
        together, after every write, removal and crash; its cost does not depend on how many turns
        there are (after a removal or a crash it may, once).
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> None: ...

    async def append(self, key: ConversationKey, turn: NewTurn) -> Turn: ...

    async def replace_from(self, key: ConversationKey, first: int, turn: NewTurn) -> Turn: ...

    async def recent_turns(self, key: ConversationKey, limit: int) -> list[Turn]: ...

    async def turns(self, key: ConversationKey, *, first: int = 0, limit: int = 50) -> list[Turn]:
        """Turns from index `first` on, oldest first."""

    async def find_turn(self, key: ConversationKey, turn_id: str) -> Turn | None: ...

    async def add_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn: ...

    async def replace_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        """Replace the answer that is selected in `turn` (a continued one)."""

    async def select_output(self, key: ConversationKey, index: int, selected: int) -> Turn: ...

    async def truncate(self, key: ConversationKey, first: int) -> int: ...

    async def set_title(self, key: ConversationKey, title: str | None) -> None:
        """Name a conversation. NotFound if it has no turns."""

    async def summary(self, key: ConversationKey) -> ConversationSummary | None: ...

    async def list_conversations(
        self, assistant: Assistant, user_id: str, *, limit: int = 50, before: float | None = None
    ) -> list[ConversationSummary]: ...

    async def delete_conversation(self, key: ConversationKey) -> int: ...

    async def delete_user(self, user_id: str, assistant: Assistant | None = None) -> int: ...

    def scan(
        self, assistant: Assistant | None = None, user_id: str | None = None
    ) -> AsyncIterator[tuple[ConversationKey, Turn]]: ...

    async def restore(self, key: ConversationKey, turn: Turn) -> bool: ...

    async def count_bytes(self, user_id: str) -> int: ...


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One hit of a web search."""

    title: str
    url: str
    snippet: str


class WebSearch(Protocol):
    """One search provider.

    W1  `search` returns up to `limit` results, best first, each with an http(s) URL, or [].
    W2  Every failure (network, quota, nonsense) is SearchUnavailable; nothing else is raised.
    W3  It ends within `timeout_s`.
    """

    @property
    def name(self) -> str: ...

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]: ...

    async def close(self) -> None: ...


class Clock(Protocol):
    """Time, so that tests own it."""

    def monotonic(self) -> float:
        """Seconds that only move forward; deadlines are on this clock."""

    def now(self) -> float:
        """Unix seconds."""
