"""Copying histories: from any source of turns to any store, restartable and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from chatbot_ai.domain.conversation import Assistant, ConversationKey, Turn
from chatbot_ai.domain.errors import NotFound
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.records import normalize_turn

#: Turns that are written at once; each is confirmed before the next batch begins.
_BATCH = 32


Placed = tuple[ConversationKey, Turn]


@dataclass(frozen=True, slots=True)
class Record:
    """One turn of a history, or (with `turn` None) the title of a conversation, after its turns."""

    key: ConversationKey
    turn: Turn | None
    title: str | None = None


@dataclass(slots=True)
class Tally:
    """What became of the turns of a copy.

    read        turns that the source had
    written     turns that the target had not (in a dry run: that would be written)
    present     turns that the target had already, with the same contents
    different   turns that the target has with other contents; it keeps its own
    conflicts   turns whose index is taken by another turn, or which are elsewhere in the target
    incomplete  conversations of which the target holds fewer turns than the source
    skipped     entries of the source that are no turn
    named       what is different, in conflict, incomplete or skipped, each with its place
    """

    read: int = 0
    written: int = 0
    present: int = 0
    different: int = 0
    conflicts: int = 0
    conversations: int = 0
    incomplete: int = 0
    skipped: int = 0
    named: list[tuple[str, str]] = field(default_factory=list)

    def note(self, kind: str, place: str, count: int = 1) -> None:
        """Count what is not as it should be, and keep its name."""
        setattr(self, kind, getattr(self, kind) + count)
        self.named.append((kind, place if count == 1 else f"{place} ({count})"))

    @property
    def agrees(self) -> bool:
        """Whether every turn of the source is in the target, in its place."""
        lost = self.different + self.conflicts + self.incomplete + self.skipped
        return self.read == self.written + self.present and lost == 0


async def read_history(
    store: ConversationStore, assistant: Assistant | None = None, user_id: str | None = None
) -> AsyncIterator[Record]:
    """Yield a store's turns, conversation by conversation, each followed by its title if any."""
    current: ConversationKey | None = None
    async for key, turn in store.scan(assistant, user_id):
        if current is not None and key != current:
            async for title in _read_title(store, current):
                yield title
        current = key
        yield Record(key, turn)
    if current is not None:
        async for title in _read_title(store, current):
            yield title


async def _read_title(store: ConversationStore, key: ConversationKey) -> AsyncIterator[Record]:
    summary = await store.summary(key)
    if summary is not None and summary.title is not None:
        yield Record(key, None, summary.title)


async def copy_history(
    records: AsyncIterator[Record],
    target: ConversationStore,
    *,
    apply: bool = True,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    tally: Tally | None = None,
) -> Tally:
    """Write `records` to `target` and return what became of them.

    Without `apply` nothing is written. What was written by an earlier, interrupted copy counts as
    present, so that a copy is restarted by running it again. A title that the target has already
    is replaced. Raises StoreUnavailable.
    """
    tally = tally or Tally()
    batch: list[Placed] = []
    current: ConversationKey | None = None
    in_conversation = 0
    async for record in records:
        if record.turn is None:
            await _write(batch, target, tally, apply=apply)
            if apply:
                await _set_title(target, record, tally)
            continue
        if record.key != current:
            await _finish(current, in_conversation, batch, target, tally, apply=apply)
            current, in_conversation = record.key, 0
            tally.conversations += 1
        in_conversation += 1
        tally.read += 1
        batch.append((record.key, record.turn))
        if len(batch) == _BATCH:
            await _write(batch, target, tally, apply=apply)
            on_progress(tally)
    await _finish(current, in_conversation, batch, target, tally, apply=apply)
    on_progress(tally)
    return tally


async def _finish(
    key: ConversationKey | None,
    expected: int,
    batch: list[Placed],
    target: ConversationStore,
    tally: Tally,
    *,
    apply: bool,
) -> None:
    """Write the rest of a conversation and ask the target how many turns it has now."""
    await _write(batch, target, tally, apply=apply)
    if key is not None and apply:
        summary = await target.summary(key)
        if summary is None or summary.turns < expected:
            tally.note("incomplete", describe_place(key))


async def _write(
    batch: list[Placed], target: ConversationStore, tally: Tally, *, apply: bool
) -> None:
    outcomes = await asyncio.gather(
        *(_restore(key, turn, target, apply=apply) for key, turn in batch)
    )
    tally.written += outcomes.count("written")
    tally.present += outcomes.count("present")
    for (key, turn), outcome in zip(batch, outcomes, strict=True):
        if outcome in ("conflicts", "different"):
            tally.note(outcome, describe_place(key, turn.index))
    batch.clear()


async def _restore(
    key: ConversationKey, turn: Turn, target: ConversationStore, *, apply: bool
) -> str:
    if apply and await target.restore(key, turn):
        return "written"
    known = await target.find_turn(key, turn.turn_id)
    if known is not None:
        if known.index != turn.index:
            return "conflicts"
        return "present" if known == normalize_turn(turn) else "different"
    there = await target.turns(key, first=turn.index, limit=1)
    is_taken = any(other.index == turn.index for other in there)
    return "conflicts" if apply or is_taken else "written"


async def _set_title(target: ConversationStore, record: Record, tally: Tally) -> None:
    try:
        await target.set_title(record.key, record.title)
    except NotFound:
        tally.note("incomplete", describe_place(record.key))


def describe_place(key: ConversationKey, index: int | None = None) -> str:
    """Name a conversation, or a turn in it, in a report."""
    place = f"{key.assistant}/{key.user_id}/{key.db_id}"
    return place if index is None else f"{place}#{index}"
