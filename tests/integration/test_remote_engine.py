"""Model servers that somebody else runs, on a real HTTP server that answers as theirs do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.errors import (
    BackendProtocolError,
    BackendUnavailable,
    ConfigurationError,
)
from chatbot_ai.domain.generation import Finished, GenerationRequest, Sampling
from chatbot_ai.llm.backup import ModelWithBackup
from chatbot_ai.llm.llama import LlamaModel
from chatbot_ai.llm.remote import RemoteModel, display_name
from chatbot_ai.server import assistant_engine
from chatbot_ai.server.assistant_engine import follow, open_engine, try_to_learn
from chatbot_ai.server.compose import build_backup_engine
from chatbot_ai.settings import CharacterSettings, load_config
from support.engines import RunningEngine
from support.faulty_server import (
    DONE,
    FaultyServer,
    Reply,
    delta,
    event,
    faulty_server,
    finish,
    hang_up,
    respond,
    sse,
    whole_answer,
)
from support.waiting import until

MESSAGES = (Message("system", "짧게."), Message("user", "안녕? 오늘은 무엇을 할까?"))
VLLM_ID = "Qwen/Qwen2.5-7B-Instruct"
LLAMA_ID = "/srv/models/Some-8B.Q4_K_M.gguf"


def request(**changes: object) -> GenerationRequest:
    sampling = Sampling(max_tokens=4, **changes)  # type: ignore[arg-type]
    return GenerationRequest(MESSAGES, sampling, deadline=time.monotonic() + 90)


def body(content: object) -> Reply:
    return respond(200, json.dumps(content).encode())


def vllm_models(*models: str, length: int = 16384) -> Reply:
    """vLLM's /v1/models: every card with the longest context it was started for."""
    cards = [{"id": one, "object": "model", "max_model_len": length} for one in models]
    return body({"object": "list", "data": cards})


def llama_server(model: str = LLAMA_ID, context: int = 4096, slots: int = 3) -> list[Reply]:
    """llama-server's /v1/models and /props."""
    props = {"default_generation_settings": {"n_ctx": context}, "total_slots": slots}
    return [body({"object": "list", "data": [{"id": model, "aliases": [model]}]}), body(props)]


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with faulty_server() as served:
        yield served


async def finished_of(model: RemoteModel, asked: GenerationRequest) -> Finished:
    async with aclosing(model.stream(asked)) as events:
        *_, last = [event async for event in events]
    assert isinstance(last, Finished)
    return last


def remote(server: FaultyServer, model: str | None = None, **changes: object) -> RemoteModel:
    values: dict[str, object] = {"context_tokens": 8191} | changes
    return RemoteModel(server.url, model=model, **values)  # type: ignore[arg-type]


async def test_what_vllm_serves_is_learnt(server: FaultyServer) -> None:
    """Without a configured name the first model is asked for by its own id, with its context."""
    model = remote(server)
    server.script = [vllm_models(VLLM_ID, "other"), respond(404)]
    served = await model.learn()
    assert (served.model, served.context_tokens, served.slots) == (VLLM_ID, 16384, None)
    assert (model.name, model.context_tokens) == (VLLM_ID, 16384)
    await finished_of(model, request())
    await model.close()
    assert [asked.path for asked in server.asked[:2]] == ["/v1/models", "/props"]
    assert server.asked[2].body["model"] == VLLM_ID


async def test_what_llama_server_serves_is_learnt(server: FaultyServer) -> None:
    """Context of a slot and number of slots come from /props; a path is shown as its file."""
    model = remote(server)
    server.script = llama_server()
    served = await model.learn()
    assert (served.context_tokens, served.slots) == (4096, 3)
    assert (model.name, model.context_tokens) == ("Some-8B.Q4_K_M", 4096)
    await model.close()


async def test_a_configured_name_is_asked_for(server: FaultyServer) -> None:
    """The name goes with every request, and its own card counts, not the first one's."""
    model = remote(server, "small")
    cards = [{"id": "large", "max_model_len": 9000}, {"id": "small", "max_model_len": 2000}]
    server.script = [body({"data": cards}), respond(404)]
    served = await model.learn()
    assert (served.listed, model.name, model.context_tokens) == (True, "small", 2000)
    await finished_of(model, request())
    server.script = [whole_answer("답")]
    await model.complete(request())
    await model.close()
    assert [asked.body["model"] for asked in server.asked[2:]] == ["small", "small"]


async def test_a_name_that_is_not_served_is_noticed(server: FaultyServer) -> None:
    """It is still asked for, as some servers load on request, but known to be missing."""
    model = remote(server, "absent")
    server.script = [vllm_models(VLLM_ID), respond(404)]
    served = await model.learn()
    assert (served.listed, served.model, served.context_tokens) == (False, "absent", None)
    await model.close()


@pytest.mark.parametrize(("limit", "at_most", "expected"), [
    (8191, False, 16384), (8191, True, 8191), (99999, True, 16384),
])  # fmt: skip
async def test_an_operators_context_is_an_upper_limit(
    server: FaultyServer, limit: int, at_most: bool, expected: int
) -> None:
    """A context that was set narrows the server's, a default does not, and neither widens it."""
    model = remote(server, context_tokens=limit, at_most=at_most)
    server.script = [vllm_models(VLLM_ID), respond(404)]
    await model.learn()
    assert model.context_tokens == expected
    await model.close()


async def test_the_answer_names_the_model_that_gave_it(server: FaultyServer) -> None:
    """A server that was started anew with another model is reported truly, streamed or whole."""
    model = remote(server)
    server.script = [vllm_models("before"), respond(404)]
    await model.learn()
    chunk = {"choices": [{"index": 0, "delta": {"content": "가"}}], "model": "after"}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "after"}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    server.script = [sse(event(chunk), event(end), event(usage), DONE), whole_answer("답")]
    assert (await finished_of(model, request())).model == "after"
    assert (await model.complete(request()))[1].model == "m"
    await model.close()


@pytest.mark.parametrize("nameless", ["", 7, None, "two\nlines", "x" * 500])
async def test_a_strange_name_is_not_passed_on(server: FaultyServer, nameless: object) -> None:
    """What cannot be a name in a header leaves the learnt one."""
    model = remote(server, "mine")
    end = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    server.script = [sse(event(end | {"model": nameless}), DONE)]
    assert (await finished_of(model, request())).model == "mine"
    await model.close()


@pytest.mark.parametrize("listing", [b"[]", b"7", b"{}", b'{"data": [{}]}', b"<html>", b"\xff"])
async def test_an_unreadable_list_is_a_backend_failure(
    server: FaultyServer, listing: bytes
) -> None:
    """Whatever /v1/models answers, nothing but BackendUnavailable comes of it."""
    model = remote(server)
    server.script = [respond(200, listing), respond(404)]
    with pytest.raises(BackendProtocolError):
        await model.learn()
    server.script = [hang_up()]
    with pytest.raises(BackendUnavailable):
        await model.learn()
    assert model.context_tokens == 8191
    await model.close()


def test_names_as_callers_see_them() -> None:
    """Paths lose their folders, a repository's name stays whole."""
    assert display_name("Qwen/Qwen2.5-7B") == "Qwen/Qwen2.5-7B"
    assert display_name("/models/Llama-3") == "Llama-3"
    assert display_name("./a/b.Q4_0.gguf") == "b.Q4_0"
    assert display_name("/") == "/"


async def test_vllm_counts_exactly(server: FaultyServer) -> None:
    """Its /tokenize takes messages and model; the other makes' calls are tried once only."""
    model = remote(server, VLLM_ID)
    counted = body({"count": 11, "max_model_len": 16384, "tokens": list(range(11))})
    server.script = [respond(404), respond(404), counted, counted]
    assert await model.count_tokens(MESSAGES) == 11
    assert await model.count_tokens(MESSAGES) == 11
    assert [asked.path for asked in server.asked] == [
        "/v1/chat/completions/input_tokens", "/apply-template", "/tokenize", "/tokenize",
    ]  # fmt: skip
    assert server.asked[-1].body == {
        "model": VLLM_ID,
        "messages": [{"role": m.role, "content": m.content} for m in MESSAGES],
    }
    # another make at the same address: all ways are tried anew
    server.script = [respond(404), body({"input_tokens": 9})]
    assert await model.count_tokens(MESSAGES) == 9
    assert server.asked[-1].path == "/v1/chat/completions/input_tokens"
    await model.close()


@pytest.mark.parametrize("last", [respond(404), body({"tokens": []})])
async def test_a_server_that_cannot_count_gets_a_bound(server: FaultyServer, last: Reply) -> None:
    """Where no way is left the count is at least the bytes of the text."""
    model = remote(server)
    server.script = [respond(404), respond(404), last]
    assert await model.count_tokens(MESSAGES) >= sum(len(m.content.encode()) for m in MESSAGES)
    assert server.script == []
    await model.close()


async def test_the_real_engine_tells_itself(engine: RunningEngine) -> None:
    """Against our own engine: its name, the context of a slot, its slots."""
    options = engine.options
    model = RemoteModel(engine.url, model=None, context_tokens=999, api_key=options.api_key)
    served = await model.learn()
    assert (served.context_tokens, served.slots) == (options.context_tokens, options.slots)
    assert model.name == "SmolLM2-135M-Instruct.Q4_1"
    assert (await finished_of(model, request())).model == model.name
    await model.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant_engine, "ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(assistant_engine, "REFRESH_S", 0.02)


async def test_a_server_away_at_the_start_is_learnt_later(
    server: FaultyServer, quick: None
) -> None:
    """Slots, name and context come when the server does, and change when it changes."""
    settings = CharacterSettings(engine_url=server.url)
    model = remote(server)
    server.script = [hang_up()]
    assert await try_to_learn(model) is None
    queue = RequestQueue(slots=4, max_waiting=1, clock=SystemClock())
    server.script = [hang_up(), respond(503), *llama_server(slots=7)]
    task = asyncio.create_task(follow(model, settings, queue))
    await until(lambda: queue.slots == 7)
    server.script = [hang_up(), *llama_server("b", context=2048, slots=2)]
    await until(lambda: queue.slots == 2)
    assert (model.name, model.context_tokens) == ("b", 2048)
    task.cancel()
    await model.close()


async def test_a_service_opens_its_engine_without_a_model_file(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENGINE_URL needs no GGUF here; a number of slots that was set stays, `auto` follows."""
    monkeypatch.setenv("MODEL_DIR", "/nowhere")
    monkeypatch.setenv("CHATBOT_ENGINE_URL", server.url)
    for setting, expected in (("", 3), ("auto", 3), ("1", 1)):
        monkeypatch.setenv("CHATBOT_MAX_CONCURRENT", setting)
        config = load_config(None)
        server.script = llama_server()
        async with open_engine(config.office, config) as opened:
            assert opened.slots == expected
            assert opened.model.context_tokens == 4096
            await opened.model.close()


async def test_the_chunks_of_a_plain_stream_still_read(server: FaultyServer) -> None:
    """A server that names no model in its chunks is reported as it was learnt."""
    model = remote(server, "mine")
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    server.script = [sse(event({"choices": [{"index": 0, "delta": {"content": "x"}}]}), event(end))]
    assert (await finished_of(model, request())).model == "mine"
    server.script = [sse(delta("x"), finish(), DONE)]
    assert (await finished_of(model, request())).model == "m"
    await model.close()


async def test_a_backup_engine_has_key_and_model(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own settings reach it, and its answer names what it really serves."""
    monkeypatch.setenv("BACKUP_ENGINE_URL", server.url)
    monkeypatch.setenv("BACKUP_ENGINE_MODEL", "second-best")
    monkeypatch.setenv("BACKUP_ENGINE_API_KEY", "backup-key")
    backup = build_backup_engine(load_config(None).shared, 8191)
    assert backup is not None
    engine = LlamaModel("http://127.0.0.1:9", name="engine", context_tokens=4096)
    guarded = ModelWithBackup(engine, [backup])
    async with aclosing(guarded.stream(request())) as events:
        *_, last = [event async for event in events]
    assert isinstance(last, Finished)
    assert (last.model, last.backup) == ("m", True)
    (asked,) = server.asked
    assert asked.body["model"] == "second-best"
    assert asked.headers["authorization"] == "Bearer backup-key"
    await guarded.close()


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://", "http://a b"])
@pytest.mark.parametrize("name", ["OFFICE_ENGINE_URL", "BACKUP_ENGINE_URL"])
def test_an_address_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    """The setting is named at the start, instead of a server that never answers."""
    monkeypatch.setenv(name, url)
    with pytest.raises(ConfigurationError, match=name):
        load_config(None)
