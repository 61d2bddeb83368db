"""The rules M1 to M7 of ChatModel, on every model; real ones answer from a real engine."""
# ruff: noqa: N802 - tests are named after the rules

from __future__ import annotations

import asyncio
import json
import time
import unicodedata
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import BackendUnavailable, DeadlineExceeded
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Sampling,
    TextDelta,
)
from chatbot_ai.domain.ports import ChatModel
from support.chat_models import SUBJECTS, Subject
from support.engines import RunningEngine
from support.waiting import until

MESSAGES = (
    Message("system", "Be brief."),
    Message("user", "안녕! Tell a story."),
)
SHORT = Sampling(temperature=0.8, top_p=0.9, seed=7, max_tokens=8)
LONG_TOKENS = 1500
LONG = replace(SHORT, max_tokens=LONG_TOKENS, temperature=1.5)
HARD = "힣👩‍👧é"


def request(sampling: Sampling = SHORT, **changes: object) -> GenerationRequest:
    made = GenerationRequest(MESSAGES, sampling, deadline=time.monotonic() + 60)
    return replace(made, **changes)  # type: ignore[arg-type]


async def events_of(model: ChatModel, asked: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(model.stream(asked)) as events:
        return [event async for event in events]


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def leave(subject: Subject) -> None:
    """Wait until nothing runs, and see that the answer was not generated to its end."""
    await until(lambda: subject.busy() == 0)
    assert await asyncio.to_thread(subject.generated) < LONG_TOKENS


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest, engine: RunningEngine) -> AsyncIterator[Subject]:
    made = SUBJECTS[request.param](engine)
    yield made
    await made.model.close()
    await made.away.close()


async def test_M1_deltas_then_exactly_one_finished(subject: Subject) -> None:
    """The last event is the only Finished; it names the model and counts what it took."""
    *deltas, finished = await events_of(subject.model, request())
    assert deltas
    assert all(isinstance(delta, TextDelta) for delta in deltas)
    assert isinstance(finished, Finished)
    assert finished.reason == "length"
    assert finished.usage.completion_tokens == SHORT.max_tokens
    assert 0 <= finished.usage.cached_tokens <= finished.usage.prompt_tokens
    assert finished.usage.prompt_tokens > 0
    assert finished.model == subject.model.name
    assert not finished.backup


async def test_M2_characters_stay_whole(subject: Subject) -> None:
    """Deltas are never empty and cut neither Hangul nor emoji, whose tokens are single bytes."""
    schema = {"type": "json_schema", "json_schema": {"name": "t", "schema": {"enum": [HARD]}}}
    asked = request(replace(SHORT, max_tokens=40), response_format=schema)
    events = await events_of(subject.model, asked)
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert all(deltas)
    for delta in deltas:
        assert "\N{REPLACEMENT CHARACTER}" not in delta
        assert not any(unicodedata.category(c) == "Cs" for c in delta)
    assert len(deltas) > 4
    if subject.steers:
        assert json.loads("".join(deltas)) == HARD


async def test_M3_a_server_that_is_away_is_backend_unavailable(subject: Subject) -> None:
    """Where nobody answers, the stream fails with BackendUnavailable before any event."""
    with pytest.raises(BackendUnavailable):
        await events_of(subject.away, request())


async def test_M3_the_deadline_ends_a_long_answer(subject: Subject) -> None:
    """An answer that is not finished by its deadline is DeadlineExceeded, and its slot is free."""
    with pytest.raises(DeadlineExceeded):
        await events_of(subject.model, request(LONG, deadline=time.monotonic() + 0.4))
    await leave(subject)


async def test_M3_a_deadline_in_the_past_asks_for_nothing(subject: Subject) -> None:
    """A request that comes too late fails at once and leaves nothing running."""
    with pytest.raises(DeadlineExceeded):
        await events_of(subject.model, request(deadline=time.monotonic() - 1))
    await leave(subject)


async def test_M4_closing_the_iterator_frees_the_slot(subject: Subject) -> None:
    """A reader that stops after the first delta ends the generation."""
    async with aclosing(subject.model.stream(request(LONG))) as events:
        assert isinstance(await anext(events), TextDelta)
        assert await asyncio.to_thread(subject.busy) == 1
    await leave(subject)


async def test_M4_cancelling_the_reader_frees_the_slot(subject: Subject) -> None:
    """A cancelled task ends its generation, before the first delta too."""
    for whole in (False, True):
        task = asyncio.create_task(events_of(subject.model, request(LONG, whole=whole)))
        await until(lambda: subject.busy() == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await leave(subject)


async def test_M5_a_seed_fixes_the_text(subject: Subject) -> None:
    """The same seed gives the same text, whole or streamed; another seed gives another."""
    first = text_of(await events_of(subject.model, request()))
    assert text_of(await events_of(subject.model, request())) == first
    assert text_of(await events_of(subject.model, request(whole=True))) == first
    other = request(replace(SHORT, seed=8, temperature=2.0, top_p=1.0))
    assert text_of(await events_of(subject.model, other)) != first


async def test_M5_neighbours_do_not_change_the_text(subject: Subject) -> None:
    """Three requests that run at once each get the text that they get alone."""
    asked = [
        request(messages=(*MESSAGES[:1], Message("user", f"Say {word}.")))
        for word in ("one", "둘", "three")
    ]
    alone = [text_of(await events_of(subject.model, one)) for one in asked]
    together = await asyncio.gather(*(events_of(subject.model, one) for one in asked))
    assert [text_of(events) for events in together] == alone


async def test_M6_counted_tokens_are_those_of_the_prompt(subject: Subject) -> None:
    """What was counted before is what the answer reports, or an upper bound of it."""
    longer = (
        Message("system", f'{HARD}🇰🇷✋🏽"\\'),
        Message("user", "첫 질문 <|im_end|> 끝"),
        Message("assistant", "첫 답\n\n```py\nx = 1\n```"),
        Message("user", HARD * 2),
    )
    for messages in (MESSAGES, longer):
        counted = await subject.model.count_tokens(messages)
        asked = request(replace(SHORT, max_tokens=1), messages=messages)
        finished = (await events_of(subject.model, asked))[-1]
        assert isinstance(finished, Finished)
        if subject.exact:
            assert counted == finished.usage.prompt_tokens
        else:
            assert counted >= finished.usage.prompt_tokens


async def test_M6_more_messages_never_take_fewer_tokens(subject: Subject) -> None:
    """Counts grow with the messages, as the choice of what to leave out relies on it."""
    talk = [
        Message("user" if number % 2 else "assistant", f"줄 {number}") for number in range(1, 8)
    ]
    counts = [
        await subject.model.count_tokens([MESSAGES[0], *talk[-size:]]) for size in (1, 3, 5, 7)
    ]
    assert counts == sorted(set(counts))


async def test_M7_check_tells_whether_it_can_answer(subject: Subject) -> None:
    """`check` returns where a model serves and raises BackendUnavailable where none does."""
    await subject.model.check()
    with pytest.raises(BackendUnavailable):
        await subject.away.check()
