"""Source numbers checked while an answer streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

from chatbot_ai.domain.citations import CitationFilter
from chatbot_ai.domain.generation import GenerationEvent, Restarted, TextDelta


async def checked(
    events: AsyncGenerator[GenerationEvent, None], known: Collection[int]
) -> AsyncGenerator[GenerationEvent, None]:
    """Pass events on, without those source numbers in their text that are not `known`. What was
    held back comes before Finished; closing this closes `events`."""
    numbers = CitationFilter(known)
    async with aclosing(events):
        async for event in events:
            match event:
                case TextDelta():
                    if text := numbers.feed(event.text):
                        yield TextDelta(text)
                case Restarted():
                    numbers = CitationFilter(known)
                    yield event
                case _:
                    if rest := numbers.finish():
                        yield TextDelta(rest)
                    yield event
