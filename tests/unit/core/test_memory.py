"""What an answer rests on and how it ended is stored with it, whatever way it came about."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chatbot_ai.core.answer import Delta, Done, Sources
from chatbot_ai.core.idempotency import Claim, IdempotentAnswers
from chatbot_ai.core.memory import WRITE_FLOOR_S
from chatbot_ai.core.references import References
from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn
from chatbot_ai.domain.deadline import WRITE_LIMIT_S
from support.chats import GatedStore, Lab, lab, request, shown
from support.grounders import FOUND, ScriptedGrounder, web_search
from support.scripted_model import ScriptedModel

PAGES = FOUND.sources


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[GatedStore]:
    opened = GatedStore(tmp_path / "chat.sqlite3")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def made(store: GatedStore) -> Lab:
    references = References(
        zone=ZoneInfo("Asia/Seoul"), with_time=False, web=web_search(ScriptedGrounder())
    )
    return lab(store, ScriptedModel(), references=references)


async def test_a_grounded_answer_keeps_its_sources_and_its_end(made: Lab) -> None:
    """What `done` told is what the turn says later."""
    done = await made.say("부산 날씨", search=True)
    (turn,) = await made.turns()
    assert (turn.answer.sources, turn.answer.finish_reason) == (PAGES, "length")
    assert done.sources == PAGES
    await made.say("고마워요")
    assert (await made.turns())[1].answer.sources == ()


async def test_a_regenerated_answer_has_the_sources_of_its_prompt(made: Lab) -> None:
    """The same prompt, pages included, is answered again: the sources are told and stored too,
    also when the answer that is selected is one without."""
    await made.say("부산 날씨", search=True)
    for count in (2, 3):
        events = await made.events("", mode="regenerate", stream=True)
        assert [e for e in events if isinstance(e, Sources)] == [Sources(PAGES, ())]
        assert isinstance(events[-1], Done)
        assert events[-1].sources == PAGES
        (turn,) = await made.turns()
        assert [answer.sources for answer in turn.answers] == [PAGES] * count
    assert made.prompt(-1) == made.prompt(0)


async def test_a_continued_answer_keeps_its_sources(made: Lab) -> None:
    """Going on with a grounded answer changes its text and its end, not what it rests on."""
    await made.say("부산 날씨", search=True)
    (before,) = await made.turns()
    await made.say("", mode="continue")
    (after,) = await made.turns()
    assert after.output.startswith(before.output)
    assert len(after.answers) == 1
    assert (after.answer.sources, after.answer.model) == (PAGES, before.answer.model)


async def test_a_stopped_answer_keeps_its_sources(made: Lab) -> None:
    """A reader that leaves half-way leaves an interrupted answer with its sources and no end."""
    answering = made.answer("부산 날씨", search=True, stream=True)
    seen = []
    async for event in answering:
        seen.append(event)
        if len(shown(seen)) > 3:
            break
    await answering.aclose()
    await made.chat.close()
    (turn,) = await made.turns()
    found = turn.answer
    assert (found.status, found.finish_reason, found.sources) == ("interrupted", None, PAGES)


async def test_an_answer_that_is_told_again_has_its_sources(made: Lab) -> None:
    """A repeated call with the same key, after a restart, tells the end and the sources."""
    claim = Claim("a", "k", "f")
    told = [
        [
            e
            async for e in IdempotentAnswers(made.chat).answer(
                "Llama", request("부산", search=True), claim
            )
        ]
        for _ in range(2)
    ]
    assert len(made.model.requests) == 1
    first, again = (events[-1] for events in told)
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert (again.sources, again.finish_reason, again.replayed) == (PAGES, "length", True)
    assert shown(told[1]) == shown(told[0])


async def test_an_edit_that_breaks_off_changes_nothing(made: Lab) -> None:
    """A reader that leaves an edit half-way finds the turn and all after it as they were."""
    for number in range(3):
        await made.say(f"{number}번")
    before = await made.turns()
    answering = made.answer("고침", mode="edit", index=1, stream=True)
    async for event in answering:
        if isinstance(event, Delta):
            break
    await answering.aclose()
    await made.chat.close()
    assert await made.turns() == before


async def test_an_answered_edit_gives_its_turn_and_the_rest_a_successor(made: Lab) -> None:
    """The new turn stands in the edited one's place, and is the last."""
    for number in range(3):
        await made.say(f"{number}번")
    before = await made.turns()
    done = await made.say("고침", mode="edit", index=1, search=True)
    after = await made.turns()
    assert after[:1] == before[:1]
    assert [turn.input for turn in after] == ["0번", "고침"]
    assert (done.turn, after[1].answer.sources) == (1, PAGES)


@pytest.mark.parametrize(("left_s", "limit_s"), [(30.0, 30.0), (0.5, WRITE_FLOOR_S)])
async def test_a_write_gets_what_is_left_of_the_request(
    made: Lab, monkeypatch: pytest.MonkeyPatch, left_s: float, limit_s: float
) -> None:
    """The store is told how long it may take: the rest of the deadline, a few seconds at least."""
    told: list[float | None] = []
    write = made.store.append

    async def append(key: ConversationKey, turn: NewTurn) -> Turn:
        told.append(WRITE_LIMIT_S.get())
        return await write(key, turn)

    monkeypatch.setattr(made.store, "append", append)
    await made.say("안녕", deadline=time.monotonic() + left_s)
    assert told[0] is not None
    assert WRITE_FLOOR_S <= told[0] <= limit_s
    assert WRITE_LIMIT_S.get() is None
