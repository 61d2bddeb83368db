"""The state of a group's processes as a small file, which the gateway shows to operators."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from chatbot_ai.server.supervisor import Supervisor

#: In the run folder; nginx.conf serves it to operators.
PROCESSES_FILE = "processes.json"
#: Seconds between two looks at the processes.
LOOK_EVERY_S = 0.5


async def publish_states(supervisor: Supervisor, folder: Path) -> None:
    """Write `folder`/processes.json again whenever a state or a count of restarts changes.

    Runs until cancelled. The file holds names, states and restarts, nothing else.
    """
    told = ""
    while True:
        states = [
            {"name": name, "state": child.state, "restarts": child.restarts}
            for name, child in supervisor.children.items()
        ]
        text = json.dumps({"processes": states}) + "\n"
        if text != told:
            await asyncio.to_thread(_replace, folder / PROCESSES_FILE, text)
            told = text
        await asyncio.sleep(LOOK_EVERY_S)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
