"""Models whose servers stall, break off, refuse and talk nonsense, on a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import (
    BackendNotConfigured,
    BackendProtocolError,
    BackendRateLimited,
    BackendUnavailable,
    ContextTooLong,
    DeadlineExceeded,
    EmptyAnswer,
    InvalidRequest,
)
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Restarted,
    Sampling,
    TextDelta,
)
from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.domain.thoughts import ThoughtFilter, opens_thoughts, without_thoughts
from chatbot_ai.llm import llama as llama_module
from chatbot_ai.llm.backup import ModelWithBackup
from chatbot_ai.llm.llama import LlamaModel
from chatbot_ai.llm.openai import OpenAIModel
from chatbot_ai.llm.sse import MAX_EVENT_BYTES
from support.faulty_server import (
    ANSWER,
    DONE,
    Asked,
    FaultyServer,
    Reply,
    answer,
    delta,
    event,
    faulty_server,
    finish,
    hang_up,
    respond,
    sse,
    stall,
    whole_answer,
)
from support.waiting import until

MESSAGES = (Message("system", "짧게."), Message("user", "안녕?"))
SAMPLING = Sampling(
    temperature=0.3,
    top_p=0.8,
    top_k=5,
    min_p=0.1,
    repeat_penalty=1.3,
    max_tokens=64,
    seed=11,
    stop=("끝",),
)
HALF = delta("안녕")[:-12]
BAD_CHUNKS: dict[str, bytes] = {
    "not json": event("{nonsense"),
    "not an object": event("[1, 2]"),
    "a number": event("7"),
    "an error event": event({"error": {"message": "boom", "code": 500}}),
    "content is a number": event({"choices": [{"index": 0, "delta": {"content": 5}}]}),
    "half a surrogate": event(r'{"choices": [{"index": 0, "delta": {"content": "\ud83d"}}]}'),
    "not utf-8": b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
    "huge event": b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n\n",
    "endless event": (b"data: " + b"x" * 65536 + b"\n") * (MAX_EVENT_BYTES // 65536 + 1),
    "deep": event("[" * 50_000),
    "bad usage": event({"choices": [], "usage": {"prompt_tokens": "x"}}),
}

HUGE_TIMING = '{"choices": [], "timings": {"prompt_ms": 1' + "0" * 400 + "}}"


def request(**changes: object) -> GenerationRequest:
    made = GenerationRequest(MESSAGES, SAMPLING, deadline=time.monotonic() + 30)
    return replace(made, **changes)  # type: ignore[arg-type]


def llama(server: FaultyServer, name: str = "engine") -> LlamaModel:
    return LlamaModel(server.url, name=name, context_tokens=4096, api_key="key")


def openai(server: FaultyServer, name: str = "remote") -> OpenAIModel:
    return OpenAIModel(name, api_key="key", base_url=f"{server.url}/v1", context_tokens=4096)


KINDS: dict[str, Callable[[FaultyServer], ChatModel]] = {"llama": llama, "openai": openai}


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with faulty_server() as served:
        yield served


@pytest.fixture(params=KINDS)
async def model(request: pytest.FixtureRequest, server: FaultyServer) -> AsyncIterator[ChatModel]:
    made = KINDS[request.param](server)
    yield made
    await made.close()


async def listen(
    model: ChatModel, asked: GenerationRequest, heard: list[GenerationEvent]
) -> list[GenerationEvent]:
    async with aclosing(model.stream(asked)) as events:
        async for one in events:
            heard.append(one)
    return heard


async def failure(model: ChatModel, **changes: object) -> tuple[list[str], BaseException]:
    """The texts that were shown, and the error that ended it."""
    heard: list[GenerationEvent] = []
    with pytest.raises((BackendUnavailable, DeadlineExceeded)) as caught:
        await listen(model, request(**changes), heard)
    return [one.text for one in heard if isinstance(one, TextDelta)], caught.value


async def test_a_good_answer(model: ChatModel, server: FaultyServer) -> None:
    """The scripted server's proper stream reads as it was written; the key goes with it."""
    heard = await listen(model, request(), [])
    assert [one.text for one in heard[:-1] if isinstance(one, TextDelta)] == list(ANSWER)
    assert isinstance(heard[-1], Finished)
    assert (heard[-1].usage.prompt_tokens, heard[-1].usage.completion_tokens) == (9, 3)
    asked = server.asked[0]
    assert asked.headers["authorization"] == "Bearer key"
    assert asked.body["messages"] == [{"role": m.role, "content": m.content} for m in MESSAGES]
    assert asked.body["stream"] is True
    assert (asked.body["seed"], asked.body["stop"]) == (11, ["끝"])


async def test_a_begun_answer_is_asked_to_go_on(server: FaultyServer) -> None:
    """llama.cpp continues a last message of the assistant's own; OpenAI's models are told to."""
    begun = (*MESSAGES, Message("assistant", "안녕하"))
    for make in KINDS.values():
        made = make(server)
        await listen(made, request(messages=begun), [])
        await made.close()
    llama_sent, openai_sent = (asked.body["messages"] for asked in server.asked)
    assert llama_sent[-1] == {"role": "assistant", "content": "안녕하"}
    assert openai_sent[:-1] == llama_sent
    assert openai_sent[-1]["role"] == "user"


async def test_a_password_in_the_address_is_sent(server: FaultyServer) -> None:
    """An engine behind a proxy that asks for a name and a password gets them with every call, as
    its address says them, percent-encoding undone."""
    address = server.url.replace("://", "://team:p%40ss@")
    model = LlamaModel(address, name="engine", context_tokens=4096)
    await listen(model, request(), [])
    await model.close()
    (asked,) = server.asked
    assert asked.headers["authorization"] == "Basic dGVhbTpwQHNz"
    assert "team" not in asked.headers["host"]


async def test_only_llama_is_sent_llama_fields(server: FaultyServer) -> None:
    """Fields that OpenAI refuses go to llama.cpp only."""
    own = {"top_k": 5, "min_p": 0.1, "repeat_penalty": 1.3, "cache_prompt": True}
    for kind, expected in (("llama", own), ("openai", {})):
        made = KINDS[kind](server)
        await listen(made, request(), [])
        await made.close()
        assert {n: server.asked[-1].body[n] for n in own if n in server.asked[-1].body} == expected


async def test_a_stall_before_the_answer_meets_the_deadline(
    model: ChatModel, server: FaultyServer
) -> None:
    """A server that never answers costs no more than the deadline; its connection is closed."""
    server.script = [stall()]
    assert isinstance((await failure(model, deadline=time.monotonic() + 0.3))[1], DeadlineExceeded)
    await until(lambda: server.open_connections == 0)


async def test_a_stall_in_the_middle_meets_the_deadline(
    model: ChatModel, server: FaultyServer
) -> None:
    """What came before the stall was shown; then the deadline ends it."""
    server.script = [sse(delta("가"), HALF, then="stall")]
    shown, error = await failure(model, deadline=time.monotonic() + 0.5)
    assert shown == ["가"]
    assert isinstance(error, DeadlineExceeded)
    await until(lambda: server.open_connections == 0)


async def test_a_silent_engine_is_given_up_before_the_deadline(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream without a byte for the stall time counts as broken."""
    monkeypatch.setattr(llama_module, "STALL_TIMEOUT_S", 0.2)
    server.script = [sse(delta("가"), then="stall"), stall()]
    model = llama(server)
    assert (await failure(model))[0] == ["가"]
    assert not isinstance((await failure(model))[1], DeadlineExceeded)
    await model.close()


@pytest.mark.parametrize("pieces", [(delta("가"), HALF), (delta("가"), delta("나")), ()])
async def test_a_stream_that_is_cut(
    model: ChatModel, server: FaultyServer, pieces: tuple[bytes, ...]
) -> None:
    """A connection that breaks, inside an event or between two, is BackendUnavailable."""
    server.script = [sse(*pieces, then="cut")]
    shown, error = await failure(model)
    assert shown == ["가", "나"][: len(pieces) - (HALF in pieces)]
    assert type(error) is BackendUnavailable


async def test_a_connection_that_is_dropped(model: ChatModel, server: FaultyServer) -> None:
    """A server that hangs up on every attempt is BackendUnavailable."""
    server.script = [hang_up(), hang_up()]
    assert type((await failure(model))[1]) is BackendUnavailable


@pytest.mark.parametrize("pieces", [(finish(None), DONE), (finish(None),), ()])
async def test_no_finish_reason(
    model: ChatModel, server: FaultyServer, pieces: tuple[bytes, ...]
) -> None:
    """A stream that ends without text and without saying why breaks the protocol."""
    server.script = [sse(*pieces)]
    assert isinstance((await failure(model))[1], BackendProtocolError)


def chunk(reason: str | None = None, **fields: object) -> bytes:
    """A chunk whose delta has `fields`, as servers vary it."""
    choice = {"index": 0, "delta": fields, "finish_reason": reason}
    return event({"id": "x", "object": "chat.completion.chunk", "choices": [choice]})


USAGE = {"prompt_tokens": 5, "completion_tokens": None, "total_tokens": 5}
#: Streams that differ from the protocol without harm, and the text that is their answer.
ODD_STREAMS: dict[str, tuple[bytes, ...]] = {
    "no reason": (delta("가나"), DONE),
    "unknown reason": (delta("가나"), chunk("abort"), DONE),
    "upper case": (delta("가나"), chunk("STOP"), DONE),
    "null chunk": (event("null"), delta("가나"), finish(), DONE),
    "null error": (event({"choices": [], "error": None}), delta("가나"), finish(), DONE),
    "null usage": (delta("가나"), finish(), event({"choices": [], "usage": None}), DONE),
    "null count": (delta("가나"), finish(), event({"choices": [], "usage": USAGE}), DONE),
    "null content": (chunk(content=None, role="assistant"), delta("가나"), finish(), DONE),
    "thoughts": (
        delta("<think>"),
        delta("음 </th"),
        delta("ink>"),
        delta("\n\n가나"),
        finish(),
        DONE,
    ),
    "thoughts at once": (delta("<think>\n음\n</think>\n가나"), finish(), DONE),
    "thoughts apart": (chunk(reasoning_content="음"), delta("가나"), finish(), DONE),
    "empty thoughts": (delta("<think>\n\n</think>\n\n"), delta("가나"), finish(), DONE),
}


@pytest.mark.parametrize("name", ODD_STREAMS)
async def test_text_that_came_is_an_answer(
    model: ChatModel, server: FaultyServer, name: str
) -> None:
    """Harmless oddities cost nothing; what a model thinks aloud is no part of its answer."""
    server.script = [sse(*ODD_STREAMS[name])]
    heard = await listen(model, request(), [])
    assert "".join(part.text for part in heard if isinstance(part, TextDelta)) == "가나"
    assert isinstance(heard[-1], Finished)
    assert heard[-1].reason == "stop"


@pytest.mark.parametrize(
    "pieces",
    [
        (finish(), DONE),
        (chunk(reasoning_content="음"), finish("length"), DONE),
        (delta("<think>음"), finish("length"), DONE),
        (delta("<think>음</think>\n"), finish(), DONE),
    ],
)
async def test_an_answer_without_text_is_an_error_that_says_so(
    model: ChatModel, server: FaultyServer, pieces: tuple[bytes, ...]
) -> None:
    """Nothing at all, or thoughts alone."""
    server.script = [sse(*pieces)]
    assert isinstance((await failure(model))[1], EmptyAnswer)


LONE = (delta("음, 인사다."), delta("\n</thi"), delta("nk>"), delta("\n\n가나"), finish(), DONE)


def thinking(kind: str, server: FaultyServer, thinks: bool | None) -> LlamaModel | OpenAIModel:
    if kind == "llama":
        return LlamaModel(server.url, name="demo", context_tokens=4096, thinks=thinks)
    url = f"{server.url}/v1"
    return OpenAIModel("m", api_key="k", base_url=url, context_tokens=4096, thinks=thinks)


def shown(heard: list[GenerationEvent]) -> list[str]:
    """The texts that a caller has in the end."""
    texts: list[str] = []
    for one in heard:
        if isinstance(one, Restarted):
            texts.clear()
        if isinstance(one, TextDelta):
            texts.append(one.text)
    return texts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thinks", [True, None, False])
async def test_thoughts_that_began_in_the_prompt(
    server: FaultyServer, kind: str, thinks: bool | None
) -> None:
    """Only their end is marked. A stream is held back where the template opens them or nobody
    knows; a whole answer begins again where it was believed to be one."""
    model = thinking(kind, server, thinks)
    server.script = [sse(*LONE), sse(*LONE)]
    asked = request(whole=thinks is False)
    assert "".join(shown(await listen(model, asked, []))) == "가나"
    assert shown(await listen(model, asked, [])) == ["가나"]
    await model.close()


#: What a user can ask any model to say.
SAID = (delta("hi\n"), delta("</think>\n"), delta("ok"), finish(), DONE)
PLAIN = (delta("가"), delta("나"), finish(), DONE)
CUT = (delta("가"), delta("나"), finish("length"), DONE)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_one_is_answered_changes_nothing_for_others(
    server: FaultyServer, kind: str
) -> None:
    """A template's word is final. Where there is none, one answer that looks like thoughts is not
    believed, a second in a row is, and one without a closing mark takes it back."""
    for thinks, before, last, expected in (
        (False, (SAID, SAID, SAID), CUT, ["가", "나"]),
        (True, (PLAIN, PLAIN), LONE, ["가나"]),
        (None, (SAID,), CUT, ["가나"]),
        (None, (PLAIN, SAID), CUT, ["가", "나"]),
        (None, (SAID, PLAIN, SAID), CUT, ["가", "나"]),
        (None, (PLAIN, LONE, LONE), LONE, ["가나"]),
        (None, (LONE, LONE, CUT), LONE, ["가나"]),
        (None, (LONE, LONE, PLAIN), PLAIN, ["가", "나"]),
    ):
        model = thinking(kind, server, thinks)
        for script in before:
            server.script = [sse(*script)]
            try:
                await listen(model, request(), [])
            except EmptyAnswer:
                assert script is CUT
        server.script = [sse(*last)]
        assert shown(await listen(model, request(), [])) == expected, (thinks, before, last)
        await model.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_shaped_answer_teaches_nothing(server: FaultyServer, kind: str) -> None:
    """One that was cut off, that had to be JSON or that went on with a begun one says nothing of
    how others begin."""
    begun = (*MESSAGES, Message("assistant", "안녕하"))
    schema = {"type": "json_object"}
    for script, changes in (
        (CUT, dict[str, object]()),
        (PLAIN, {"response_format": schema}),
        (PLAIN, {"messages": begun}),
    ):
        model = thinking(kind, server, None)
        server.script = [sse(*script), sse(*LONE)]
        await listen(model, request(**changes), [])
        assert shown(await listen(model, request(), [])) == ["가나"], changes
        await model.close()


#: Answers about the marks themselves, which are no thoughts.
ABOUT_MARKS = (
    "```\n<think>\n생각\n</think>\n```\n이렇게 씁니다.",
    "형식:\n```\n</think>\n```\n끝 표시입니다.",
    "~~~\n</thought>\n~~~\n끝",
    "여는 표시 <think> 다음에\n</think>\n로 닫습니다.",
    "<think> 태그는 추론 모델이 생각을 쓰는 곳입니다.",
    "<thought>부터 닫는 표시까지가 생각입니다.",
    "[THINK] 라고 씁니다.",
    "◁think▷",
    " <|channel|>analysis<|message|>가 앞에 옵니다.\n",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thinks", [None, False])
async def test_an_answer_about_marks_stays_whole(
    server: FaultyServer, kind: str, thinks: bool | None
) -> None:
    """Streamed or whole; it does not begin again and is stored as it is."""
    for text in ABOUT_MARKS:
        model = thinking(kind, server, thinks)
        for whole in (False, True):
            server.script = [sse(delta(text[:4]), delta(text[4:]), finish(), DONE)]
            heard = await listen(model, request(whole=whole), [])
            assert "".join(shown(heard)) == text
            assert Restarted() not in heard
            assert isinstance(heard[-1], Finished)
            assert not heard[-1].shows_thoughts
        await model.close()


@pytest.mark.parametrize("text", ABOUT_MARKS)
def test_an_answer_about_marks_in_pieces(text: str) -> None:
    """However it is cut, it comes whole and is no sign of thoughts."""
    for inside in (None, False):
        for size in range(1, len(text) + 1):
            thoughts = ThoughtFilter(inside)
            pieces = [text[at : at + size] for at in range(0, len(text), size)]
            assert "".join(map(thoughts.feed, pieces)) + thoughts.finish() == text
            assert thoughts.clean() == text
            assert not thoughts.began_inside
    assert without_thoughts(text) == text


@pytest.mark.parametrize("kind", KINDS)
async def test_only_what_an_answer_begins_with_is_taken_out(
    server: FaultyServer, kind: str
) -> None:
    """What looks like thoughts behind the thoughts is text, and stored so."""
    text = "hi\n</think>\nok"
    for thinks, begin in (
        (False, (delta("<think>\n음\n</think>\n"),)),
        (True, (delta("음\n</think>\n"),)),
        (False, (chunk(reasoning_content="음"),)),
    ):
        model = thinking(kind, server, thinks)
        for whole in (False, True):
            server.script = [sse(*begin, delta(text), finish(), DONE)]
            heard = await listen(model, request(whole=whole), [])
            assert "".join(shown(heard)) == text
            assert isinstance(heard[-1], Finished)
            assert not heard[-1].shows_thoughts
        await model.close()


def test_an_answer_full_of_marks_is_read_once() -> None:
    """Each line is looked at once, so that a long one costs the others nothing."""
    thoughts = ThoughtFilter(None)
    thoughts.feed("```\n")
    began = time.process_time()
    for _ in range(4000):
        thoughts.feed("</think>")
        thoughts.feed("\n")
    thoughts.finish()
    assert thoughts.passed == "```\n" + "</think>\n" * 4000
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_did_not_think_after_all(server: FaultyServer, kind: str) -> None:
    """Text that came is an answer; where the server tells thoughts apart it comes at once, and
    after a first answer without thoughts too. An unfinished thought is none."""
    for script, thinks, expected in (
        ((delta("가"), delta("나"), finish(), DONE), True, ["가나"]),
        ((chunk(reasoning_content="음"), *map(delta, "가나"), finish(), DONE), True, ["가", "나"]),
        ((delta("가"), delta("나"), finish(), DONE), None, ["가나"]),
    ):
        model = thinking(kind, server, thinks)
        server.script = [sse(*script), sse(*script)]
        assert shown(await listen(model, request(), [])) == expected
        if thinks is None:
            assert shown(await listen(model, request(), [])) == ["가", "나"]
        await model.close()
    model = thinking(kind, server, True)
    server.script = [sse(delta("음"), finish("length"), DONE)]
    assert isinstance((await failure(model))[1], EmptyAnswer)
    await model.close()


def test_templates_that_open_thoughts() -> None:
    """DeepSeek R1's and QwQ's generation prompts do; Qwen 3's closes them where it opens them."""
    assert opens_thoughts("{% if add_generation_prompt %}{{'<|Assistant|><think>\\n'}}{% endif %}")
    closed = (
        "{% if add_generation_prompt %}{% if not x %}<think>\n\n</think>\n{% endif %}{% endif %}"
    )
    assert not opens_thoughts(closed)
    assert not opens_thoughts("{% if '<think>' in m %}{% endif %}{% if add_generation_prompt %}a")
    assert not opens_thoughts("")


@pytest.mark.parametrize(
    "text",
    [
        "<thought>\n음\n</thought>\n가나",
        "[THINK]음[/THINK]가나",
        "◁think▷음◁/think▷가나",
        "<|channel|>analysis<|message|>음<|end|><|start|>assistant<|channel|>final<|message|>가나",
        "음\n</thought>\n가나",
    ],
)
def test_marks_of_other_families(text: str) -> None:
    """EXAONE Deep, Magistral, Kimi and gpt-oss have their own."""
    assert without_thoughts(text) == "가나"


def test_tags_in_the_middle_of_an_answer_are_text() -> None:
    """Only what an answer begins with is a thought."""
    for text in ("태그는 <think>…</think> 입니다", "a < b", "<thinking>", " <thi"):
        assert without_thoughts(text) == text
    assert without_thoughts("음, 인사다.\n</think>\n\n안녕") == "안녕"


@pytest.mark.parametrize("name", BAD_CHUNKS)
async def test_nonsense_in_the_stream(model: ChatModel, server: FaultyServer, name: str) -> None:
    """Whatever a chunk holds, the failure is one of ours, after what was shown before."""
    server.script = [sse(delta("가"), BAD_CHUNKS[name], finish(), DONE)]
    shown, error = await failure(model)
    assert shown == ["가"]
    assert isinstance(error, BackendProtocolError)


async def test_a_timing_beyond_all_numbers(server: FaultyServer) -> None:
    """llama.cpp's own fields are read with the same care."""
    server.script = [sse(event(HUGE_TIMING), finish(), DONE)]
    model = llama(server)
    assert isinstance((await failure(model))[1], BackendProtocolError)
    await model.close()


async def test_a_page_instead_of_a_stream(model: ChatModel, server: FaultyServer) -> None:
    """An HTML page with status 200, as a captive proxy sends it, breaks the protocol."""
    server.script = [respond(200, b"<html>hello</html>", "text/html")]
    assert isinstance((await failure(model))[1], BackendProtocolError)


async def test_a_compressed_stream(model: ChatModel, server: FaultyServer) -> None:
    """A server that compresses for those who accept it is understood."""
    server.script = [sse(*(delta(word) for word in ANSWER), finish(), DONE, compress=True)]
    heard = await listen(model, request(), [])
    assert [one.text for one in heard if isinstance(one, TextDelta)] == list(ANSWER)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, BackendRateLimited),
        (503, BackendUnavailable),
    ],
)
async def test_a_refusal_tells_when_to_come_back(
    model: ChatModel, server: FaultyServer, status: int, expected: type[BackendUnavailable]
) -> None:
    """The server's Retry-After becomes the error's."""
    server.script = [respond(status, Retry_After="1")] * 2
    error = (await failure(model))[1]
    assert type(error) is expected
    assert error.retry_after_s == 1


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400, "\xb2", "-3", "x"])
async def test_a_strange_retry_after_is_a_sane_wait(server: FaultyServer, value: str) -> None:
    """A Retry-After that is a date, too large or nonsense still gives a wait that can be told."""
    for kind in KINDS.values():
        model = kind(server)
        server.script = [respond(429, Retry_After=value)] * 2
        error = (await failure(model))[1]
        await model.close()
        assert isinstance(error, BackendRateLimited)
        assert math.isfinite(error.retry_after_s)
        assert 1 <= error.retry_after_s <= 3600


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refused_request_breaks_the_protocol(server: FaultyServer, status: int) -> None:
    """An engine that calls our own well-formed request wrong does not speak our protocol."""
    model = llama(server)
    server.script = [respond(status, b'{"error": {"message": "no"}}')] * 2
    assert type((await failure(model))[1]) is BackendProtocolError
    await model.close()


@pytest.mark.parametrize(
    "told",
    [
        {"type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096, "code": 400},
        {"code": "context_length_exceeded", "type": "invalid_request_error", "param": "messages"},
    ],
    ids=["llama.cpp", "openai"],
)
async def test_a_prompt_that_is_too_long_is_no_outage(
    model: ChatModel, server: FaultyServer, told: dict[str, object]
) -> None:
    """Whichever server says so, and in whichever way; no backup is tried."""
    refusal = respond(400, json.dumps({"error": {"message": "no"} | told}).encode())
    server.script = [refusal] * 3
    with pytest.raises(ContextTooLong) as caught:
        await listen(model, request(), [])
    assert caught.value.limit == 4096
    assert caught.value.tokens == told.get("n_prompt_tokens", 4097)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, BackendNotConfigured),
        (403, BackendNotConfigured),
        (404, BackendProtocolError),
        (409, BackendUnavailable),
        (429, BackendRateLimited),
        (500, BackendUnavailable),
        (503, BackendUnavailable),
    ],
)
async def test_whose_fault_a_refusal_is(
    model: ChatModel, server: FaultyServer, status: int, expected: type[BackendUnavailable]
) -> None:
    """One table for the engine and for OpenAI: none of these is the caller's."""
    server.script = [respond(status, b'{"error": {"message": "no"}}')] * 2
    assert isinstance((await failure(model))[1], expected)


async def test_a_template_that_refuses_says_why(server: FaultyServer) -> None:
    """The engine takes a plain conversation and not this one: the reason is its template's."""
    model = llama(server)
    said = "While executing at line 3\n   ^\nError: Jinja Exception: Roles must alternate"
    refusal = respond(400, json.dumps({"error": {"code": 400, "message": said}}).encode())
    server.script = [refusal, respond(200, b'{"prompt": "?"}'), refusal]
    with pytest.raises(InvalidRequest) as caught:
        await listen(model, request(), [])
    await model.close()
    assert (caught.value.field, caught.value.reason) == ("messages", "template_refused")
    assert caught.value.params == {"said": "Roles must alternate"}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("param", "field"),
    [
        ("temperature", "temperature"),
        ("messages[0].content", "messages[0].content"),
        (None, "model"),
        (7, "model"),
        ("<b>x</b>", "model"),
        ("x" * 65, "model"),
    ],
)
async def test_a_request_that_openai_refuses_is_no_outage(
    server: FaultyServer, status: int, param: object, field: str
) -> None:
    """400 and 422 name the parameter that the server names, and are asked once."""
    model = openai(server)
    wrong = {"error": {"message": "no", "type": "invalid_request_error", "param": param}}
    server.script = [respond(status, json.dumps(wrong).encode())]
    with pytest.raises(InvalidRequest) as caught:
        await listen(model, request(), [])
    await model.close()
    assert (caught.value.field, caught.value.reason) == (field, "model_refused_request")
    assert len(server.asked) == 1


def unsupported(param: str) -> Reply:
    """What OpenAI's newer models answer to a parameter of the older ones."""
    error = {"message": "no", "param": param, "code": "unsupported_parameter"}
    return respond(400, json.dumps({"error": error}).encode())


async def test_newer_models_get_their_name_of_the_limit(server: FaultyServer) -> None:
    """max_tokens refused as unsupported: the same as max_completion_tokens, from then on."""
    model = openai(server)
    server.script = [unsupported("max_tokens")]
    for _ in range(2):
        assert isinstance((await listen(model, request(), []))[-1], Finished)
    limits = [
        {name: asked.body[name] for name in asked.body if name.startswith("max_")}
        for asked in server.asked
    ]
    new = {"max_completion_tokens": 64}
    assert limits == [{"max_tokens": 64}, new, new]
    server.script = [unsupported("max_completion_tokens")]
    with pytest.raises(InvalidRequest):
        await listen(model, request(), [])
    assert len(server.asked) == 4
    await model.close()


async def test_openai_is_not_waited_for(server: FaultyServer) -> None:
    """A limited rate, or a server that says when to come back, is refused at once, unrepeated."""
    model = openai(server)
    for status, expected in ((429, BackendRateLimited), (503, BackendUnavailable)):
        server.script = [respond(status, Retry_After="30"), answer()]
        error = (await failure(model))[1]
        assert type(error) is expected
        assert error.retry_after_s == 30
    assert len(server.asked) == 2
    await model.close()


@pytest.mark.parametrize("stumble", [hang_up(), respond(500), respond(502)])
async def test_openai_is_asked_again_at_once(server: FaultyServer, stumble: Reply) -> None:
    """A broken connection and a stumbling server get one more try, without a pause."""
    model = openai(server)
    server.script = [stumble]
    assert isinstance((await listen(model, request(), []))[-1], Finished)
    server.script = [stumble] * 3
    await failure(model)
    assert len(server.asked) == 4
    await model.close()


async def test_a_refusing_backup_is_no_mistake_of_the_caller(
    server: FaultyServer, other: FaultyServer
) -> None:
    """What a further backup does not take ends in the engine's own failure."""
    model = ModelWithBackup(llama(server), [openai(other)])
    server.script, other.script = [respond(503)] * 2, [respond(400)]
    assert isinstance((await failure(model))[1], BackendUnavailable)
    await model.close()


async def test_a_refused_key_is_a_matter_of_configuration(server: FaultyServer) -> None:
    """OpenAI's 401 and 403 tell the operator to mend the key."""
    model = openai(server)
    for status in (401, 403):
        server.script = [respond(status, b'{"error": {"message": "no"}}')]
        assert isinstance((await failure(model))[1], BackendNotConfigured)
    await model.close()


async def test_openai_is_asked_twice_at_most(server: FaultyServer) -> None:
    """One retry before the first delta, none after it."""
    model = openai(server)
    server.script = [respond(500), answer()]
    assert isinstance((await listen(model, request(), []))[-1], Finished)
    server.script = [sse(delta("가"), then="cut"), answer()]
    await failure(model)
    await model.close()
    assert len(server.asked) == 3


async def test_counting_fails_as_a_backend(server: FaultyServer) -> None:
    """Whatever the counting endpoints answer, the failure is BackendUnavailable."""
    model = llama(server)
    prompt = respond(200, b'{"prompt": "x"}')
    bad_counts: list[list[Reply]] = [
        [respond(200, body)] for body in (b"[]", b"{}", b'{"input_tokens": "x"}', b"<", b"\xff")
    ]
    bad_counts += [[respond(404), respond(200, body)] for body in (b"[]", b"{}", b"<")]
    bad_counts += [[respond(404), prompt, respond(200, body)] for body in (b"[]", b"{}", b"<")]
    bad_counts += [[respond(500)], [respond(503)], [respond(404), respond(500)], [hang_up()]]
    for script in bad_counts:
        server.script = list(script)
        with pytest.raises(BackendUnavailable):
            await model.count_tokens(MESSAGES)
        assert server.script == []
    await model.close()


async def test_counting_without_the_endpoint(server: FaultyServer) -> None:
    """An older llama.cpp counts by template; a server without either gets an upper bound."""
    model = llama(server)
    server.script = [
        respond(404),
        respond(200, b'{"prompt": "xyz"}'),
        respond(200, b'{"tokens": [1, 2, 3]}'),
    ]
    assert await model.count_tokens(MESSAGES) == 3
    assert [asked.path for asked in server.asked] == [
        "/v1/chat/completions/input_tokens",
        "/apply-template",
        "/tokenize",
    ]
    server.script = [respond(404), respond(404), respond(404)]
    assert await model.count_tokens(MESSAGES) >= sum(len(m.content.encode()) for m in MESSAGES)
    await model.close()


async def test_check_sees_a_loading_engine(server: FaultyServer) -> None:
    """503 on /health, while the model loads, is BackendUnavailable; /v1/models serves as well."""
    model = llama(server)
    server.script = [respond(503), respond(200), respond(404), respond(200)]
    with pytest.raises(BackendUnavailable):
        await model.check()
    await model.check()
    await model.check()
    assert [a.path for a in server.asked] == ["/health", "/health", "/health", "/v1/models"]
    await model.close()


@pytest.fixture
async def other() -> AsyncIterator[FaultyServer]:
    async with faulty_server() as served:
        yield served


@pytest.fixture
async def guarded(server: FaultyServer, other: FaultyServer) -> AsyncIterator[ModelWithBackup]:
    made = ModelWithBackup(llama(server), [llama(other, "second"), openai(other, "third")])
    yield made
    await made.close()


NO_START = {
    "refused": respond(503),
    "nonsense": sse(event("{")),
    "hung up": hang_up(),
    "cut": sse(then="cut"),
    "no reason": sse(DONE),
}


@pytest.mark.parametrize("name", NO_START)
async def test_backup_of_the_same_engine(
    guarded: ModelWithBackup, server: FaultyServer, name: str
) -> None:
    """A stream that fails before its first delta is answered whole, with the backup's sampling;
    the request's own limit, seed and stop strings still count."""
    server.script = [NO_START[name], whole_answer("백업 답")]
    heard = await listen(guarded, request(), [])
    assert heard[0] == TextDelta("백업 답")
    assert isinstance(heard[1], Finished)
    assert (heard[1].backup, heard[1].model, len(heard)) == (True, "engine", 2)
    body = dict(server.asked[1].body)
    assert body.pop("messages") == [{"role": m.role, "content": m.content} for m in MESSAGES]
    assert "stream" not in body
    assert body == {
        "max_tokens": 64,
        "temperature": 0.7,
        "top_p": 0.9,
        "repeat_penalty": 1.08,
        "stop": ["<|eot_id|>", "끝"],
        "seed": 11,
        "cache_prompt": True,
    }


@pytest.mark.parametrize(("own", "context", "expected"), [
    (None, 4096, 1024), (2000, 4096, 1024), (100, 4096, 100), (1024, 900, 860), (None, 41, 1),
])  # fmt: skip
async def test_a_backup_is_as_long_as_it_may_be(
    server: FaultyServer, own: int | None, context: int, expected: int
) -> None:
    """1024 tokens, less where the request or what the prompt leaves of the context is less."""
    model = LlamaModel(server.url, name="engine", context_tokens=context)
    counting = [respond(200, b'{"input_tokens": 40}')] if context < 1024 + 60 else []
    server.script = [*counting, whole_answer("백업 답")]
    await model.complete(request(sampling=replace(SAMPLING, max_tokens=own)))
    assert server.asked[-1].body["max_tokens"] == expected
    assert len(server.asked) == len(counting) + 1
    await model.close()


async def test_a_whole_backup_may_take_until_the_deadline(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole answer is silent until it is there: longer than a stall, not beyond the deadline."""
    monkeypatch.setattr(llama_module, "STALL_TIMEOUT_S", 0.1)
    model = llama(server)

    async def late(writer: asyncio.StreamWriter, asked: Asked) -> None:
        await asyncio.sleep(0.4)
        await whole_answer("늦은 답")(writer, asked)

    server.script = [late]
    assert (await model.complete(request()))[0] == "늦은 답"
    server.script = [stall()]
    with pytest.raises(DeadlineExceeded):
        await model.complete(request(deadline=time.monotonic() + 0.3))
    await model.close()


async def test_a_smaller_backup_gets_what_fits(server: FaultyServer, other: FaultyServer) -> None:
    """Another engine's smaller context shortens the answer; one that cannot hold the prompt is
    passed over."""
    small = LlamaModel(other.url, name="small", context_tokens=90)
    model = ModelWithBackup(llama(server), [small])
    server.script = [respond(503), respond(503)]
    other.script = [respond(200, b'{"input_tokens": 70}'), answer("답")]
    heard = await listen(model, request(), [])
    assert isinstance(heard[-1], Finished)
    assert heard[-1].model == "small"
    assert other.asked[-1].body["max_tokens"] == 20
    server.script = [respond(503), respond(503)]
    other.script = [respond(200, b'{"input_tokens": 90}')]
    assert isinstance((await failure(model))[1], BackendUnavailable)
    assert other.asked[-1].path == "/v1/chat/completions/input_tokens"
    await model.close()


async def test_no_backup_after_a_shown_delta(
    guarded: ModelWithBackup, server: FaultyServer, other: FaultyServer
) -> None:
    """A caller that has seen text gets the failure, not another answer."""
    server.script = [sse(delta("가"), then="cut")]
    shown, error = await failure(guarded)
    assert shown == ["가"]
    assert type(error) is BackendUnavailable
    assert (len(server.asked), len(other.asked)) == (1, 0)


async def test_a_whole_answer_is_restarted(guarded: ModelWithBackup, server: FaultyServer) -> None:
    """Where nobody has seen the deltas, Restarted voids them and the backup begins anew."""
    server.script = [sse(delta("가"), then="cut"), whole_answer("새 답")]
    heard = await listen(guarded, request(whole=True), [])
    assert heard[:3] == [TextDelta("가"), Restarted(), TextDelta("새 답")]
    assert isinstance(heard[3], Finished)


async def test_further_backups_in_their_order(
    guarded: ModelWithBackup, server: FaultyServer, other: FaultyServer
) -> None:
    """When the engine fails twice the next model streams, and Finished names it."""
    server.script = [respond(503), respond(503)]
    heard = await listen(guarded, request(), [])
    assert isinstance(heard[-1], Finished)
    assert (heard[-1].model, heard[-1].backup) == ("second", True)
    assert [one.text for one in heard[:-1] if isinstance(one, TextDelta)] == list(ANSWER)

    server.script, other.script = [respond(503)] * 2, [respond(400), answer("셋")]
    heard = await listen(guarded, request(), [])
    assert isinstance(heard[-1], Finished)
    assert (heard[-1].model, heard[-1].backup) == ("third", True)


async def test_a_further_backup_that_breaks_off(
    guarded: ModelWithBackup, server: FaultyServer, other: FaultyServer
) -> None:
    """A backup's shown delta binds as well; for a whole answer the next one begins anew."""
    broken = sse(delta("둘"), then="cut")
    server.script, other.script = [respond(503)] * 2, [broken]
    assert (await failure(guarded))[0] == ["둘"]
    server.script, other.script = [respond(503)] * 2, [broken, answer("셋")]
    heard = await listen(guarded, request(whole=True), [])
    assert heard[:3] == [TextDelta("둘"), Restarted(), TextDelta("셋")]


async def test_when_every_backup_fails(
    guarded: ModelWithBackup, server: FaultyServer, other: FaultyServer
) -> None:
    """The last failure is the caller's."""
    server.script, other.script = [respond(503)] * 2, [respond(500), respond(429), respond(429)]
    shown, error = await failure(guarded)
    assert shown == []
    assert isinstance(error, BackendRateLimited)


async def test_no_backup_beyond_the_deadline(
    guarded: ModelWithBackup, server: FaultyServer, other: FaultyServer
) -> None:
    """A passed deadline is not a failed model: nobody else is asked."""
    server.script = [stall()]
    error = (await failure(guarded, deadline=time.monotonic() + 0.3))[1]
    assert isinstance(error, DeadlineExceeded)
    assert (len(server.asked), len(other.asked)) == (1, 0)


async def test_bad_whole_answers(guarded: ModelWithBackup, server: FaultyServer) -> None:
    """A backup answer that makes no sense goes on to the next model."""
    bodies = (b"<", b"[]", b"{}", json.dumps({"choices": [{"message": {"content": ""}}]}).encode())
    for body in bodies:
        server.script = [respond(503), respond(200, body)]
        heard = await listen(guarded, request(), [])
        assert isinstance(heard[-1], Finished)
        assert heard[-1].model == "second"
