"""Answers that rest on a web search, at the gateway: never in the way, and cheap to go on from.

The search is a SearXNG that lies on demand; the engine is the real one with a single slot and no
cache outside of it, so that whatever takes the slot for something else shows at once.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from support.engines import RunningEngine, options_for, quick_model, running_engine
from support.http_calls import Event, body, stream, text_of
from support.process_group import brief, started
from support.scripted_web import Answer, Handler, Request, answer_json
from support.search_server import SearchServer, found, search_server
from support.waiting import HANG_S

#: Tokens that a prompt may be computed beyond its new part: the template's, and the last words of
#: the answer before, which are written in other tokens than they were said in.
SEAM_TOKENS = 64
QUESTION = "How many people live in the city of Busan in South Korea?"


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take the question and close the connection."""
    writer.transport.abort()


LIES: dict[str, Handler] = {
    "dead": hang_up,
    "slow": Answer(b"", delay_s=3600),
    "wrong types": answer_json({"results": [{"url": 7, "title": [], "content": {}}]}),
    "not a list": answer_json({"results": "yes"}),
    "5 MB": Answer(b'{"results": [' + b" " * 5_000_000, content_type="application/json"),
    "500": Answer(b"oops", 500),
}


@dataclass
class Scene:
    """A deployment, its engine and its search."""

    client: httpx2.Client
    engine: RunningEngine
    search: SearchServer
    lies: int = 0

    def say(self, text: str, **more: Any) -> list[Event]:
        return stream(self.client, "office", input_data=text, **more)

    def lie(self, handler: Handler) -> None:
        """Let the search answer that. After three failures in a row a provider rests, so that it
        would not be asked: an honest answer stands between every two."""
        if self.lies == 2:
            self.recover()
        self.lies += 1
        self.search.answers(handler)

    def recover(self) -> None:
        """A search that works."""
        self.lies = 0
        self.search.answers(found("city Busan"))
        said = self.say(f"What does the city have? {uuid.uuid4().hex}", google_access=True)
        assert done_of(said)["sources"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("grounding")
    options = options_for(quick_model(), slots=1, host_cache_mib=0, context_tokens=4096, threads=1)
    with search_server() as search, running_engine(options, folder / "engine.log") as engine:
        changes = {
            "SEARCH_PROVIDERS": "searxng",
            "SEARXNG_URL": search.url,
            "CHATBOT_CONTEXT_TOKENS": "4096",
            "SEARCH_TOKENS": "1000",
            **brief(folder),
        }
        for name in ("OFFICE", "CHARACTER"):
            changes[f"{name}_ENGINE_URL"] = engine.url
            changes[f"{name}_ENGINE_API_KEY"] = options.api_key
        with (
            started(folder, **changes) as group,
            httpx2.Client(base_url=group.url, timeout=HANG_S) as client,
        ):
            made = Scene(client, engine, search)
            made.recover()
            yield made


def done_of(events: list[Event]) -> dict[str, Any]:
    assert events[-1].name == "done", events
    return events[-1].data


def sources_of(events: list[Event]) -> dict[str, Any]:
    return next(event.data for event in events if event.name == "sources")


def cites(text: str) -> bool:
    return re.search(r"\[\d{1,3}\]", text) is not None


@pytest.mark.parametrize("lie", LIES)
def test_a_bad_search_never_fails_the_answer(scene: Scene, lie: str) -> None:
    """With the search dead, silent or lying the answer comes, says so, and invents no source. That
    it comes three seconds later at most: tests/unit/core/test_search_time.py, on a clock that no
    other program slows."""
    scene.lie(LIES[lie])
    asked = scene.search.asked
    said = scene.say(f"{QUESTION} {lie}", google_access=True)
    assert scene.search.asked > asked
    assert text_of(said)
    assert not cites(text_of(said))
    unavailable = {"sources": [], "warnings": ["search_unavailable"]}
    assert sources_of(said) == unavailable
    assert {name: done_of(said)[name] for name in unavailable} == unavailable


def test_a_bad_search_shows_in_a_json_answer(scene: Scene) -> None:
    """The JSON answer stays a plain string; a header says what went wrong."""
    scene.lie(LIES["500"])
    asked = body("office", input_data=f"{QUESTION} as JSON", google_access=True)
    answer = scene.client.post("/office/Llama", json=asked, headers={"X-Include-Sources": "true"})
    assert answer.status_code == 200
    assert answer.headers["X-Warnings"] == "search_unavailable"
    assert isinstance(answer.json(), str)
    assert answer.json()
    assert not cites(answer.json())


@pytest.mark.parametrize(
    "question", [QUESTION, "And how many people live there?"], ids=["whole", "leaning"]
)
def test_a_grounded_turn_keeps_the_conversations_prefix(scene: Scene, question: str) -> None:
    """A turn with passages computes them once; the turn after it finds nine tenths in the cache,
    also where the model was asked for the query."""
    scene.search.answers(found("city Busan people"))
    talk = {"user_id": "kim", "db_id": uuid.uuid4().hex}
    before = scene.engine.metric("prompt_tokens_total")
    first = done_of(scene.say("Busan is a city by the sea. Tell me more.", **talk))["usage"]
    grounded = scene.say(question, google_access=True, **talk)
    assert len(done_of(grounded)["sources"]) >= 2
    second = done_of(grounded)["usage"]
    third = done_of(scene.say("Thank you, that is all.", **talk))["usage"]
    after = scene.engine.metric("prompt_tokens_total")

    known = first["prompt_tokens"] + first["completion_tokens"]
    new = second["prompt_tokens"] - known
    assert new > 300
    computed = [turn["prompt_tokens"] - turn["cached_tokens"] for turn in (first, second, third)]
    assert computed[1] <= new + SEAM_TOKENS
    assert third["cached_tokens"] / third["prompt_tokens"] >= 0.9
    spent = after - before - sum(computed)
    if question == QUESTION:
        assert spent == 0
    else:
        # the query's own task, on top of the prefix that it shares with the prompt
        assert 0 < spent < new
