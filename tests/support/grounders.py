"""A Grounder without a web."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from chatbot_ai.core.references import WebSearch
from chatbot_ai.domain.grounding import CountText, Grounder, GroundingResult, Source

PASSAGES = """[1] 하나 (a.example)
<자료>
서울의 인구는 930만 명이다.
</자료>
[2] 둘 (b.example)
<자료>
집값이 높다.
</자료>"""
FOUND = GroundingResult(
    "ok",
    "scripted",
    (Source(1, "하나", "https://a.example/"), Source(2, "둘", "https://b.example/")),
    PASSAGES,
)


@dataclass
class ScriptedGrounder:
    """Gives `result` to every question, or raises it; `gate` makes it wait."""

    result: GroundingResult | BaseException = FOUND
    gate: asyncio.Event | None = None
    queries: list[str] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)

    async def ground(
        self, question: str, *, query: str, deadline_s: float, max_tokens: int, count: CountText
    ) -> GroundingResult:
        self.queries.append(query)
        self.rooms.append(max_tokens)
        self.deadlines_s.append(deadline_s)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None


def web_search(grounder: Grounder, budget_s: float = 3.0) -> WebSearch:
    """How a test searches the web."""
    return WebSearch(grounder, budget_s=budget_s, rewrite=True, tokens=1500)
