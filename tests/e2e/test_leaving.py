"""A caller that leaves, JSON or stream, through nginx, whenever it does: its slot is free again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from bench.leaving import Kind, Leaver, Stage

from support.engines import RunningEngine, options_for, quick_model, running_engine
from support.process_group import started


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RunningEngine]]:
    """The whole stack before one slot of an engine that the test can look into."""
    folder = tmp_path_factory.mktemp("leaving")
    options = options_for(quick_model(), slots=1, context_tokens=4096)
    with (
        running_engine(options, folder / "engine.log") as engine,
        started(
            folder,
            CHATBOT_ENGINE_URL=engine.url,
            CHATBOT_ENGINE_API_KEY=options.api_key,
            CHATBOT_MAX_CONCURRENT="1",
            CHATBOT_CONTEXT_TOKENS="4096",
            CHATBOT_ANSWER_TOKENS="1000",
        ) as group,
    ):
        yield group.url, engine


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("stage", get_args(Stage))
async def test_a_caller_that_leaves_frees_its_slot(
    place: tuple[str, RunningEngine], stage: Stage, kind: Kind
) -> None:
    """Waiting, in prefill or generating: the place is given back long before the answer would have
    ended, and the engine generates nothing for somebody who is gone."""
    url, engine = place
    async with Leaver(url, engine.options) as leaver:
        await leaver.leave(kind, stage)
    assert engine.busy_slots() == 0
