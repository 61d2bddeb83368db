"""What an answer rests on and how it ended is stored with it, whatever way it came about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chatbot_ai.core.exchange import Done, Sources
from chatbot_ai.core.once import Claim, Once
from chatbot_ai.core.references import References
from support.chats import GatedStore, Lab, lab, request, shown
from support.grounders import FOUND, ScriptedGrounder
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
        zone=ZoneInfo("Asia/Seoul"), with_time=False, grounder=ScriptedGrounder()
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
    await made.say("", mode="proceed")
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
        [e async for e in Once(made.chat).answer("Llama", request("부산", search=True), claim)]
        for _ in range(2)
    ]
    assert len(made.model.requests) == 1
    first, again = (events[-1] for events in told)
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert (again.sources, again.finish_reason, again.replayed) == (PAGES, "length", True)
    assert shown(told[1]) == shown(told[0])
