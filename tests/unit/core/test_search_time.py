"""What a search may cost, to the millisecond, on a clock that no other program slows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from zoneinfo import ZoneInfo

import pytest

from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.core.prompt import PromptLengths
from chatbot_ai.core.references import Gathered, References
from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    Usage,
)
from chatbot_ai.domain.grounding import CountText, GroundingResult
from chatbot_ai.domain.persona import Persona
from support.grounders import FOUND, ScriptedGrounder, web_search
from support.scripted_model import ScriptedModel
from support.virtual_time import LoopClock, run_in_virtual_time

SEARCH_S = 3.0
EARLIER = (Message("user", "아이폰 17 어때?"), Message("assistant", "좋습니다."))


class SlowModel(ScriptedModel):
    """Says one query after `after_s` seconds."""

    after_s = 0.0

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self.requests.append(request)
        await asyncio.sleep(self.after_s)
        yield TextDelta("아이폰 17 출시일")
        yield Finished("stop", Usage(), self.name)


class SlowGrounder(ScriptedGrounder):
    """Takes `after_s` seconds, whatever it was given."""

    after_s = 0.0

    async def ground(
        self, question: str, *, query: str, deadline_s: float, max_tokens: int, count: CountText
    ) -> GroundingResult:
        found = await super().ground(
            question, query=query, deadline_s=deadline_s, max_tokens=max_tokens, count=count
        )
        await asyncio.sleep(self.after_s)
        return found


@pytest.mark.parametrize(
    ("model_s", "search_s", "took_s", "query", "status"),
    [
        (0.0, 0.5, 0.5, "아이폰 17 출시일", "ok"),
        (1.0, 1.9, 2.9, "아이폰 17 출시일", "ok"),
        (30.0, 0.5, 2.0, "그건 언제 나왔어", "ok"),
        (30.0, 1.6, 3.0, "그건 언제 나왔어", "unavailable"),
        (1.4, 30.0, 3.0, "아이폰 17 출시일", "unavailable"),
        (30.0, 3600.0, 3.0, "그건 언제 나왔어", "unavailable"),
    ],
)
def test_query_and_search_share_one_time(
    model_s: float, search_s: float, took_s: float, query: str, status: str
) -> None:
    """A slow model costs half of the time at most, a slow search what is left; never more than the
    whole, and the answer then comes without."""
    model, grounder = SlowModel(), SlowGrounder()
    model.after_s, grounder.after_s = model_s, search_s

    async def gathered() -> tuple[Gathered, float]:
        clock = LoopClock()
        references = References(
            zone=ZoneInfo("Asia/Seoul"), with_time=True, web=web_search(grounder, SEARCH_S)
        )
        began = clock.monotonic()
        request = ChatRequest(
            text="",
            caller="kim",
            deadline=began + 120,
            search=True,
            messages=(*EARLIER, Message("user", "그건 언제 나왔어?")),
        )
        exchange = Exchange(
            request=request,
            model=model,
            persona=Persona("office", "A", "B"),
            lengths=PromptLengths(model),
            answer_tokens=64,
            limit_tokens=2000,
            started=began,
        )
        gathering = references.begin(exchange, clock)
        result = await gathering.result(())
        return result, clock.monotonic() - began

    result, elapsed_s = run_in_virtual_time(gathered())
    assert result.found is not None
    assert (grounder.queries, result.found.status) == ([query], status)
    assert result.sources.sources == (FOUND.sources if status == "ok" else ())
    assert elapsed_s == pytest.approx(took_s, abs=1e-6)
    assert elapsed_s <= SEARCH_S + 1e-6
