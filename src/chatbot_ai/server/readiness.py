"""What services say of themselves once they run: whether model and store are there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatbot_ai.server.probe import fetch_body

#: Seconds between two questions; each costs the service a small write.
ASK_EVERY_S = 0.2
#: Seconds after which a model that still does not answer is no longer waited for.
MODEL_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """A local service's socket file; `has_engine` where its model belongs to the same group."""

    file: Path
    has_engine: bool


async def is_store_away(places: Sequence[Place]) -> bool:
    """Wait until every service's model answers, where it is the group's own, and return whether
    a store is down. A store is not waited for: the services recover by themselves."""
    states = await asyncio.gather(*(_settled(place) for place in places))
    return any(state.get("store", "ok") != "ok" for state in states)


async def _settled(place: Place) -> dict[str, Any]:
    state: dict[str, Any] = {}
    try:
        async with asyncio.timeout(MODEL_WAIT_S):
            while True:
                state = await _state(place.file) or state
                if state and (state.get("model") == "ok" or not place.has_engine):
                    return state
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        return state


async def _state(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(await fetch_body(file, "/readyz"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
