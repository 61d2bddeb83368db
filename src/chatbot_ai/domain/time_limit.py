"""How long a store may try, as far as the one who asks it knows."""

from __future__ import annotations

from contextvars import ContextVar

#: Seconds for what is written now, where a caller waits for it; None leaves it to the store's own
#: limit, which it never exceeds. Tasks take it on from where they are made.
WRITE_LIMIT_S: ContextVar[float | None] = ContextVar("WRITE_LIMIT_S", default=None)
