"""How many generators pass a token on, from the engine's bytes to the caller's event."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from types import FrameType

import httpx2
import pytest

from chatbot_ai.core.answer import Delta
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.idempotency import Claim, IdempotentAnswers
from chatbot_ai.core.streams import Numbered, ResumableStreams, StreamLimits
from chatbot_ai.llm.backup import ModelWithBackup
from chatbot_ai.llm.llama import LlamaModel
from support.chats import GatedStore, lab, request

MOST = 5
TOKENS = 8
TOKEN = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'

Way = Callable[[Chat], AsyncGenerator[object, None]]


class SlowBody(httpx2.AsyncByteStream):
    """Some tokens, each in a read of its own."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(TOKENS):
            await asyncio.sleep(0)
            yield TOKEN
        yield b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
async def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    """A chat in front of the engine's real client, with a backup around it."""
    store = GatedStore(tmp_path / "chat.sqlite3")
    await store.open()
    engine = LlamaModel("http://127.0.0.1:1", name="m", context_tokens=2048)

    async def send(*_: object) -> httpx2.Response:
        return httpx2.Response(200, stream=SlowBody())

    monkeypatch.setattr(engine._answers, "send", send)
    made = lab(store, ModelWithBackup(engine))  # type: ignore[arg-type]
    yield made.chat
    await made.chat.close()
    await store.close()
    await engine.close()


def plain(chat: Chat) -> AsyncGenerator[object, None]:
    return chat.answer("Llama", request("안녕", stream=True))


def idempotent(chat: Chat) -> AsyncGenerator[object, None]:
    asked = request("안녕", stream=True)
    return IdempotentAnswers(chat).answer("Llama", asked, Claim("kim", "k", "f"))


def resumable(chat: Chat) -> AsyncGenerator[object, None]:
    streams: ResumableStreams[object] = ResumableStreams(StreamLimits(grace_s=300, keep_s=300))
    return streams.start(idempotent(chat), "kim").follow()


@pytest.mark.parametrize(("way", "layers"), [(plain, 3), (idempotent, 4), (resumable, 5)])
async def test_a_token_passes_few_generators(chat: Chat, way: Way, layers: int) -> None:
    """Each that is resumed for every token counts: the model's, the backup's, the pipeline's, and
    where they are asked for the idempotent one and the resumable stream's."""
    resumed: list[str] = []

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        is_ours = f"{Path('/chatbot_ai/')}" in code.co_filename
        if event == "call" and is_ours and code.co_flags & inspect.CO_ASYNC_GENERATOR:
            resumed.append(code.co_qualname)

    texts = []
    sys.setprofile(watch)
    try:
        async for event in way(chat):
            shown = event.event if isinstance(event, Numbered) else event
            texts += [shown.text] if isinstance(shown, Delta) else []
    finally:
        sys.setprofile(None)
    assert len(texts) == TOKENS
    names = {name for name in resumed if resumed.count(name) >= TOKENS}
    assert len(names) == layers <= MOST, names
