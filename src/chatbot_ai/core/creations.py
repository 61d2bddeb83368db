"""Things that are made once for each idempotency key: characters and copies of conversations.

What is made takes its name from the key, so a repeated call finds it again, also after a restart.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chatbot_ai.core.once import MAX_ANSWERS, Claim
from chatbot_ai.domain.errors import IdempotencyKeyReused


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Creations:
    """Lets the calls of one key create one after the other, and refuses a key with another body
    for as long as the process remembers it."""

    def __init__(self, max_known: int = MAX_ANSWERS) -> None:
        self._max_known = max_known
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def one_at_a_time(self, claim: Claim | None) -> AsyncIterator[None]:
        """Hold the claim while its thing is looked for and made. A call that fails is forgotten.

        Raises IdempotencyKeyReused where the key belongs to another request.
        """
        if claim is None:
            yield
            return
        name = (claim.owner, claim.key)
        entry = self._entries.setdefault(name, _Entry(claim.fingerprint))
        if entry.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused
        entry.users += 1
        made = False
        try:
            async with entry.turn:
                yield
            made = True
        finally:
            entry.users -= 1
            if not made and entry.users == 0 and self._entries.get(name) is entry:
                del self._entries[name]
            self._forget()

    def _forget(self) -> None:
        for name in [n for n, e in self._entries.items() if not e.users]:
            if len(self._entries) <= self._max_known:
                break
            del self._entries[name]
