"""A conversation as a file: JSON lines for programs, Markdown for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Literal

from chatbot_ai.api.conversation_schemas import StoredTurn
from chatbot_ai.core.conversation_library import ConversationLibrary
from chatbot_ai.domain.conversation import ConversationSummary, Turn

ExportFormat = Literal["jsonl", "markdown"]
#: Media type and file ending of each format.
MEDIA_TYPES: dict[ExportFormat, tuple[str, str]] = {
    "jsonl": ("application/jsonl", "jsonl"),
    "markdown": ("text/markdown", "md"),
}


async def exported(
    library: ConversationLibrary, summary: ConversationSummary, form: ExportFormat
) -> AsyncIterator[str]:
    """The file, a turn at a time. JSON lines hold what GET …/turns tells of each turn."""
    if form == "markdown":
        title = summary.title or summary.preview or summary.key.db_id
        yield f"# {' '.join(title.split())}\n"
    async for turn in library.turns(summary.key):
        if form == "jsonl":
            yield StoredTurn.of(turn).model_dump_json() + "\n"
        else:
            yield _section(turn)


def _section(turn: Turn) -> str:
    when = dt.datetime.fromtimestamp(turn.created_at, dt.UTC)
    marks = [f"{when:%Y-%m-%d %H:%M} UTC", turn.answer.model]
    if turn.answer.status == "interrupted":
        marks.append("interrupted")
    if len(turn.answers) > 1:
        marks.append(f"answer {turn.selected + 1} of {len(turn.answers)}")
    quoted = "\n".join(f"> {line}".rstrip() for line in turn.input.split("\n"))
    return f"\n## {turn.index + 1}\n\n_{' · '.join(marks)}_\n\n{quoted}\n\n{turn.output}\n"
