"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as the operating system tells it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()
