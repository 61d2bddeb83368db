"""A search beside an answer: what reaches the model, and that it never costs the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from chatbot_ai.core.answer import Done, Sources
from chatbot_ai.core.references import References
from chatbot_ai.domain.conversation import FinishReason, Message
from chatbot_ai.domain.errors import BackendUnavailable, ConfigurationError, SearchUnavailable
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
)
from chatbot_ai.domain.grounding import GroundingResult
from chatbot_ai.server.web_search import RETRY_S, BackgroundGrounder
from support.chats import GatedStore, Lab, lab, shown
from support.clocks import FakeClock
from support.grounders import FOUND, PASSAGES, ScriptedGrounder, web_search
from support.scripted_model import ScriptedModel
from support.waiting import until

WHOLE_QUESTION = "2026년 서울특별시의 인구는 몇 명이야?"
LEANING_QUESTION = "그건 언제 나왔어?"


class TalkingModel(ScriptedModel):
    """Answers with `says`, a piece a delta; `queries` are what it says to a rewriting task."""

    says: tuple[str, ...] = ("인구는 930만 명", "[1", "]이다", " [2][7].")
    query: tuple[str, ...] = ("아이폰 17", " 출시일")
    query_reason: FinishReason = "stop"

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        is_task = request.messages[-1].content.endswith("검색어:")
        async for event in super().stream(request):
            if isinstance(event, Finished):
                for piece in self.query if is_task else self.says:
                    yield TextDelta(piece)
                yield replace(event, reason=self.query_reason if is_task else "stop")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[GatedStore]:
    opened = GatedStore(tmp_path / "chat.sqlite3")
    await opened.open()
    yield opened
    await opened.close()


Make = Callable[..., Lab]


@pytest.fixture
def grounder() -> ScriptedGrounder:
    return ScriptedGrounder()


@pytest.fixture
def make(store: GatedStore, grounder: ScriptedGrounder) -> Make:
    def made(model: ScriptedModel | None = None, search_s: float = 3.0, **more: Any) -> Lab:
        references = References(
            zone=ZoneInfo("Asia/Seoul"), with_time=True, web=web_search(grounder, search_s)
        )
        told = model or TalkingModel(context_tokens=8192)
        return lab(store, told, references=references, **more)

    return made


async def test_passages_stand_beside_the_input(make: Make, grounder: ScriptedGrounder) -> None:
    """The newest message carries time and passages; numbers without a source are taken out."""
    made = make()
    events = await made.events(WHOLE_QUESTION, search=True)
    assert events[0] == Sources(FOUND.sources, ())
    newest = made.prompt()[-1][1]
    assert newest.startswith(WHOLE_QUESTION)
    assert "현재 시각: " in newest
    assert PASSAGES in newest
    assert shown(events) == "인구는 930만 명[1]이다 [2]."
    assert isinstance(events[-1], Done)
    assert events[-1].sources == FOUND.sources
    assert grounder.queries == ["2026년 서울특별시의 인구는 몇 명이야"]


@pytest.mark.parametrize(
    "failure",
    [
        SearchUnavailable("gone"),
        ZeroDivisionError(),
        ImportError("bm25s"),
        GroundingResult("empty", warnings=("search_empty",)),
        GroundingResult("disabled"),
    ],
    ids=lambda failure: getattr(failure, "status", type(failure).__name__),
)
async def test_a_failed_search_never_fails_the_answer(
    make: Make, grounder: ScriptedGrounder, failure: GroundingResult | BaseException
) -> None:
    """Whatever the search does, the answer comes, warns, invents no source, and the model is told
    that nothing was searched."""
    grounder.result = failure
    made = make()
    with capture_logs() as logs:
        events = await made.events(WHOLE_QUESTION, search=True)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.sources == ()
    assert len(done.warnings) == 1
    assert events[0] == Sources((), done.warnings)
    assert "[1]" not in shown(events)
    assert "[웹 검색]" in made.prompt()[-1][1]
    if isinstance(failure, ZeroDivisionError | ImportError):
        crashes = [log for log in logs if log["event"] == "search.crashed"]
        assert [log["warning"] for log in crashes] == ["search_unavailable"]
        assert "grounders.py:" in crashes[0]["at"]


async def test_a_search_that_hangs_ends_in_its_time(make: Make, grounder: ScriptedGrounder) -> None:
    """A search that breaks its own promise is cut off after `search_s`, to the tenth."""
    grounder.gate = asyncio.Event()
    done = await make(search_s=0.3).say(WHOLE_QUESTION, search=True)
    assert done.warnings == ("search_unavailable",)
    # nothing but the limit ends it
    assert done.timings.search_s >= 0.25
    assert grounder.deadlines_s[0] <= 0.3


async def test_passages_never_cost_the_answer(make: Make, grounder: ScriptedGrounder) -> None:
    """Passages that do not fit after all are left out, and the answer says so."""
    grounder.result = replace(FOUND, text=PASSAGES + "가" * 9000)
    made = make()
    events = await made.events(WHOLE_QUESTION, search=True)
    assert events[0] == Sources((), ("search_left_out",))
    assert PASSAGES not in made.prompt()[-1][1]
    assert "[1]" not in shown(events)
    messages = (Message("user", WHOLE_QUESTION),)
    events = await made.events("", search=True, messages=messages)
    assert events[0] == Sources((), ("search_left_out",))


async def test_the_room_is_a_share_of_the_context(make: Make, grounder: ScriptedGrounder) -> None:
    """A small context leaves few tokens for passages, a tiny one none; a large one the setting."""
    for context_tokens, most in ((8192, 1500), (2048, 661)):
        await make(TalkingModel(context_tokens=context_tokens)).say(WHOLE_QUESTION, search=True)
        assert grounder.rooms.pop() == most
    done = await make(TalkingModel(context_tokens=512)).say("다른 질문", search=True, db_id="r2")
    assert done.warnings == ("search_left_out",)
    assert grounder.rooms == []


async def test_json_passes_as_it_is(make: Make) -> None:
    """With a response format a bracketed number is data, not a citation."""
    model = TalkingModel(context_tokens=8192)
    model.says = ('{"a": [1,2], "b": ', "[7]}")
    events = await make(model).events(
        WHOLE_QUESTION, search=True, response_format={"type": "json_object"}
    )
    assert shown(events) == '{"a": [1,2], "b": [7]}'


async def test_a_leaning_question_is_resolved_by_the_conversation(
    make: Make, grounder: ScriptedGrounder
) -> None:
    """The rewriting goes on from the conversation's own prompt, so that the prefix is shared with
    the prompt that follows."""
    made = make()
    await made.say("아이폰 17 어때?")
    await made.say(LEANING_QUESTION, search=True)
    assert grounder.queries == ["아이폰 17 출시일"]
    task, answer = made.prompt(1), made.prompt(2)
    assert task[:-1] == answer[:-1]
    assert len(answer) == 4
    assert not made.model.requests[1].backups


async def test_a_callers_own_messages_resolve_it_too(
    make: Make, grounder: ScriptedGrounder
) -> None:
    """Without memory here the given messages are what the question leans on."""
    made = make()
    earlier = (Message("user", "아이폰 17 어때?"), Message("assistant", "좋습니다."))
    messages = (*earlier, Message("user", LEANING_QUESTION))
    await made.events("", search=True, messages=messages)
    assert grounder.queries == ["아이폰 17 출시일"]
    assert made.model.requests[0].messages[:2] == earlier
    assert "현재 시각: " in made.prompt()[-1][1]
    await made.events("", messages=messages)
    assert made.prompt()[-1][1] == LEANING_QUESTION


async def test_a_whole_question_asks_the_model_once(make: Make, grounder: ScriptedGrounder) -> None:
    """A question that names its subject is searched as it is; so is a first one."""
    made = make()
    await made.say(LEANING_QUESTION, search=True)
    await made.say(WHOLE_QUESTION, search=True)
    assert len(made.model.requests) == 2
    assert grounder.queries[0] == "그건 언제 나왔어"


@pytest.mark.parametrize("fault", ["length", "error", "prose"])
async def test_a_bad_rewriting_gives_way(
    make: Make, grounder: ScriptedGrounder, fault: str
) -> None:
    """A query that was cut off, failed or is no query: the sentence serves."""
    model = TalkingModel(context_tokens=8192)
    made = make(model)
    await made.say("아이폰 17 어때?")
    if fault == "length":
        model.query_reason = "length"
    elif fault == "prose":
        model.query = ("그것은 작년에 나왔습니다.",)
    else:
        model.script = [(0, BackendUnavailable("gone"))]
    done = await made.say(LEANING_QUESTION, search=True)
    assert grounder.queries == ["그건 언제 나왔어"]
    assert done.sources == FOUND.sources


async def test_a_search_runs_while_the_message_waits(
    make: Make, grounder: ScriptedGrounder
) -> None:
    """A search that needs no earlier turn begins in the queue, and ends with its caller."""
    model = TalkingModel(context_tokens=8192)
    model.gate = asyncio.Event()
    made = make(model, slots=1)
    first = asyncio.create_task(made.say("x", db_id="other", caller="other"))
    await until(lambda: model.running == 1)
    second = asyncio.create_task(made.say(WHOLE_QUESTION, search=True))
    await until(lambda: len(grounder.queries) == 1)
    assert len(made.chat.queue.waiting) == 1
    grounder.gate = asyncio.Event()
    leaving = asyncio.create_task(made.say(f"{WHOLE_QUESTION} 또", search=True, db_id="r3"))
    await until(lambda: len(made.chat.queue.waiting) == 2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    model.gate.set()
    await first
    assert (await second).sources == FOUND.sources


async def test_what_a_search_took_is_no_slots_work(make: Make, grounder: ScriptedGrounder) -> None:
    """The expected wait of the queue is not lengthened by searches."""
    grounder.gate = asyncio.Event()
    made = make(search_s=0.5)
    done = await made.say(WHOLE_QUESTION, search=True)
    assert done.timings.search_s >= 0.45
    expected_s = made.chat.queue.estimate.whole_s(0.0)
    assert expected_s < done.timings.total_s - 0.4


async def test_a_grounder_that_cannot_be_made_is_tried_again() -> None:
    """A library that does not load costs sources, not answers; after a pause it is tried again."""
    clock = FakeClock()
    faults: list[Exception] = [ImportError("no numpy"), ConfigurationError("wrong")]
    inner = ScriptedGrounder()

    def build() -> ScriptedGrounder:
        if faults:
            raise faults.pop(0)
        return inner

    grounder = BackgroundGrounder(build, clock.monotonic)

    async def status() -> str:
        found = await grounder.ground("x", query="x", deadline_s=5, max_tokens=100, count=len)
        return found.status

    with capture_logs() as logs:
        assert [await status(), await status()] == ["unavailable"] * 2
        assert len(faults) == 1
        clock.advance(RETRY_S)
        assert await status() == "unavailable"
        clock.advance(RETRY_S)
        assert await status() == "ok"
    assert [log["event"] for log in logs] == ["search.not_started", "search.misconfigured"]
    await grounder.close()


async def test_numbers_go_on_from_earlier_turns(make: Make) -> None:
    """Two grounded turns of a conversation share no number, in the prompt, the events and the
    store; an earlier number in the new answer is none of its sources and goes."""
    made = make()
    await made.say(WHOLE_QUESTION, search=True)
    model = made.model
    assert isinstance(model, TalkingModel)
    model.says = ("새로 [3], 옛것 [1], 없는 것 [5]",)
    events = await made.events(f"{WHOLE_QUESTION} 또", search=True)
    assert isinstance(events[0], Sources)
    assert [source.n for source in events[0].sources] == [3, 4]
    newest = made.prompt()[-1][1]
    assert "[3] 하나" in newest
    assert "[1]" not in newest
    assert shown(events) == "새로 [3], 옛것, 없는 것"
    assert [[s.n for s in turn.sources] for turn in await made.turns()] == [[1, 2], [3, 4]]


async def test_a_follow_up_cites_nothing(make: Make) -> None:
    """An answer without a search of its own, in a conversation that has passages, has no number;
    without any passages a bracket is the model's own."""
    made = make()
    assert shown(await made.events("안녕")).endswith("[2][7].")
    await made.events(WHOLE_QUESTION, search=True)
    assert shown(await made.events("고마워")) == "인구는 930만 명이다."


async def test_a_grounded_turn_answered_again_keeps_its_numbers(
    make: Make, grounder: ScriptedGrounder
) -> None:
    """Another answer to a grounded turn is checked against that turn's own sources."""
    made = make()
    await made.say(WHOLE_QUESTION, search=True)
    events = await made.events("", mode="regenerate")
    assert events[0] == Sources(FOUND.sources, ())
    assert shown(events) == "인구는 930만 명[1]이다 [2]."
    assert len(grounder.queries) == 1
