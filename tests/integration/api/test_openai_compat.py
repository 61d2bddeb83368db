"""/v1 with the official client: completions, streams, parameters, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from chatbot_ai.api.openai_errors import to_openai
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import BackendUnavailable
from support.api_lab import Lab, SpokenModel, TableAccess, running_lab, until

HELLO: Any = [{"role": "user", "content": "안녕하세요!"}]


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, object] = {"type": "object", "properties": properties}
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[AsyncOpenAI]:
    """The official client, pointed at the service."""
    async with AsyncOpenAI(base_url=f"{lab.url}/v1", api_key="none", max_retries=0) as made:
        yield made


async def test_models_are_listed_by_alias(lab: Lab, client: AsyncOpenAI) -> None:
    """Every alias is listed and can be read by alias or by real name."""
    listed = [model.id async for model in client.models.list()]
    assert listed == ["Llama", "gpt4.1"]
    assert (await client.models.retrieve("spoken-1")).id == "Llama"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


async def test_completion_whole(lab: Lab, client: AsyncOpenAI) -> None:
    """A completion has text, reason, usage and the model's real name."""
    made = await client.chat.completions.create(model="llama", messages=HELLO)
    assert made.object == "chat.completion"
    assert "안녕하세요!" in (made.choices[0].message.content or "")
    assert made.choices[0].finish_reason == "stop"
    assert made.model == "spoken-1"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


async def test_stream_equals_whole(lab: Lab, client: AsyncOpenAI) -> None:
    """Role first, deltas that join to the whole answer, reason, usage, the end mark."""
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="spoken-1",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        )
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    text = "".join(c.choices[0].delta.content or "" for c in chunks[:-1])
    whole = await client.chat.completions.create(model="Llama", messages=HELLO)
    assert text.split(" ")[1:] == (whole.choices[0].message.content or "").split(" ")[1:]
    raw = await lab.http.post(
        "/v1/chat/completions", json={"model": "Llama", "messages": HELLO, "stream": True}
    )
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in raw.text


async def test_persona_is_the_assistants_unless_given(lab: Lab, client: AsyncOpenAI) -> None:
    """Without a system message the persona speaks; with one it is replaced, control marks
    of the chat template taken apart."""
    await client.chat.completions.create(model="Llama", messages=HELLO)
    own = lab.model.requests[-1].messages
    assert own[0].role == "system"
    assert own[0].content
    given: Any = [
        {"role": "system", "content": "너는 해적이다. <|im_end|>"},
        {"role": "developer", "content": "짧게."},
        *HELLO,
    ]
    await client.chat.completions.create(model="Llama", messages=given)
    pirate = lab.model.requests[-1].messages
    assert pirate[0].content == "너는 해적이다. < |im_end|>\n\n짧게."
    assert [m.role for m in pirate] == ["system", "user"]


async def test_user_and_assistant_take_turns(lab: Lab, client: AsyncOpenAI) -> None:
    """Neighbours of one role are joined, and later system text stands in the next user message."""
    given = [
        ("system", "S1"), ("developer", "S2"), ("user", "a"), ("user", "b"), ("assistant", "c"),
        ("assistant", "d"), ("system", "e"), ("user", "f"), ("system", "g"),
    ]  # fmt: skip
    messages: Any = [{"role": role, "content": text} for role, text in given]
    await client.chat.completions.create(model="Llama", messages=messages, max_tokens=2)
    sent = [(message.role, message.content) for message in lab.model.requests[-1].messages]
    assert sent == [
        ("system", "S1\n\nS2"), ("user", "a\n\nb"), ("assistant", "c\n\nd"),
        ("user", "e\n\nf\n\ng"),
    ]  # fmt: skip


async def test_content_may_be_text_parts(lab: Lab, client: AsyncOpenAI) -> None:
    """Text parts are joined; a picture is refused by name."""
    parts: Any = [{"type": "text", "text": "하나"}, {"type": "text", "text": "둘"}]
    await client.chat.completions.create(
        model="Llama", messages=[{"role": "user", "content": parts}]
    )
    assert lab.model.requests[-1].messages[-1].content == "하나\n둘"
    picture: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="Llama", messages=[{"role": "user", "content": picture}]
        )
    assert caught.value.param == "messages[0].content"


async def test_sampling_reaches_the_model(lab: Lab, client: AsyncOpenAI) -> None:
    """Every parameter that the engine knows is passed on; max_completion_tokens wins."""
    made = await client.chat.completions.create(
        model="Llama",
        messages=HELLO,
        temperature=0.3,
        top_p=0.5,
        seed=-7,
        stop="끝",
        max_tokens=9,
        max_completion_tokens=2,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        n=1,
        response_format={"type": "json_object"},
    )
    assert made.choices[0].finish_reason == "stop"
    sampling = lab.model.requests[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.3, 0.5, 2)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.5)
    assert sampling.stop == ("끝",)
    assert sampling.seed == 2**32 - 8
    assert lab.model.requests[-1].response_format == {"type": "json_object"}
    cut = await client.chat.completions.create(model="Llama", messages=HELLO, max_tokens=1)
    assert cut.choices[0].finish_reason == "length"


async def test_parsed_answers(lab: Lab, client: AsyncOpenAI) -> None:
    """A JSON schema goes to the engine and the client's own reading of the answer works."""
    schema: dict[str, object] = {"type": "object", "properties": {"답": {"type": "integer"}}}
    made = await client.chat.completions.create(
        model="Llama",
        messages=HELLO,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": schema, "strict": True},
        },
    )
    assert json.loads(made.choices[0].message.content or "") == {"답": 42}
    sent = lab.model.requests[-1].response_format
    assert sent is not None
    assert sent["json_schema"] == {"name": "a", "schema": schema, "strict": True}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": [1]}, "stop"),
        ({"stop": [str(n) for n in range(65)]}, "stop"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (_schema({f"p{n}": {} for n in range(129)}), "response_format"),
        (_schema({"a": {"enum": list(range(1001))}}), "response_format"),
        (_schema({"a": {"anyOf": [{}] * 129}}), "response_format"),
        (_schema({"a": {"const": "가" * 32_768}}), "response_format"),
        (_schema({"a": {"default": float("nan")}}), "response_format"),
        (_schema({"a": {"const": "\ud800"}}), "response_format"),
        (
            _schema({"a": {"pattern": "^(((a{0,1000}){0,1000}){0,1000}){0,1000}$"}}),
            "response_format",
        ),
        ({"stream": "yes"}, "stream"),
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": None}, "model"),
    ],
)
async def test_bad_parameters_are_named(office: Lab, change: dict[str, Any], param: str) -> None:
    """400 in OpenAI's shape, with the parameter's name."""
    body = {"model": "Llama", "messages": HELLO} | change
    answer = await office.http.post(
        "/v1/chat/completions",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


async def test_other_errors_have_the_same_shape(office: Lab) -> None:
    """Unknown paths and models, wrong methods, no JSON, missing keys of a remote model."""
    http = office.http
    answers = [
        (await http.get("/v1/nothing"), 404, "not_found"),
        (await http.get("/v1/chat/completions"), 405, "method_not_allowed"),
        (await http.post("/v1/chat/completions", content=b"{"), 400, "malformed_json"),
        (
            await http.post("/v1/chat/completions", json={"model": "x", "messages": HELLO}),
            404,
            "model_not_found",
        ),
        (
            await http.post("/v1/chat/completions", json={"model": "gpt4.1", "messages": HELLO}),
            503,
            "model_not_configured",
        ),
        (
            await http.post(
                "/v1/chat/completions",
                json={"model": "Llama", "messages": [{"role": "user", "content": "가" * 9000}]},
            ),
            400,
            "context_length_exceeded",
        ),
        (await http.post("/v1/chat/completions", content=b" " * 1_100_000), 413, None),
    ]
    for answer, status, code in answers:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code or "payload_too_large")
        assert set(error) == {"message", "type", "param", "code"}
        if status == 503:
            assert int(answer.headers["Retry-After"]) >= 1


async def test_failure_in_a_stream_is_an_error_event(lab: Lab, client: AsyncOpenAI) -> None:
    """What fails after the headers reaches the client as an error, not as an end."""
    lab.model.breaks.append(BackendUnavailable("scripted"))
    stream = await client.chat.completions.create(model="Llama", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError) as broken:
        _ = [chunk async for chunk in stream]
    assert broken.value.code == "model_unavailable"
    lab.model.faults.append(BackendUnavailable("scripted"))
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model="Llama", messages=HELLO)
    assert refused.value.status_code == 503


async def test_leaving_ends_the_generation(lab: Lab, client: AsyncOpenAI) -> None:
    """A closed stream frees the model."""
    lab.model.gate = asyncio.Event()
    stream = await client.chat.completions.create(model="Llama", messages=HELLO, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await until(lambda: lab.model.running == 0)


async def test_calls_are_stateless(lab: Lab, client: AsyncOpenAI) -> None:
    """Nothing is stored, whoever `user` is."""
    await client.chat.completions.create(model="Llama", messages=HELLO, user="a")
    listed = (await lab.http.get("/conversations", params={"user_id": "a"})).json()
    assert listed["conversations"] == []


async def test_search_is_an_option(office: Lab) -> None:
    """`web_search` asks for one; where none is configured the answer says so."""
    body = {"model": "Llama", "messages": HELLO, "web_search": True}
    answer = await office.http.post("/v1/chat/completions", json=body)
    assert answer.json()["warnings"] == ["search_disabled"]
    assert answer.json()["sources"] == []


async def test_missing_key_is_401(tmp_path: Path) -> None:
    """Without a valid key OpenAI's clients see an authentication error; with one, limits and
    counted tokens."""
    access = TableAccess({"key-a": Principal("user", "ka", "a")})
    async with running_lab(tmp_path, "office", access=access, model=SpokenModel()) as lab:
        async with AsyncOpenAI(base_url=f"{lab.url}/v1", api_key="no", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.models.list()
            assert caught.value.code == "invalid_api_key"
        async with AsyncOpenAI(base_url=f"{lab.url}/v1", api_key="key-a") as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="Llama", messages=HELLO, user="somebody-else"
            )
            assert raw.headers["X-RateLimit-Remaining-Requests"] == "7"
            usage = raw.parse().usage
            assert usage is not None
            assert access.tokens == {"ka": usage.total_tokens}


async def test_models_without_their_key_are_not_offered(tmp_path: Path) -> None:
    """What would be 503 is neither listed nor found; the alias itself still says why."""

    def keyless(arguments: dict[str, Any]) -> None:
        arguments["unconfigured"] = frozenset({"gpt4.1"})

    async with running_lab(tmp_path, "office", prepare=keyless) as lab:
        listed = (await lab.http.get("/v1/models")).json()["data"]
        assert [one["id"] for one in listed] == ["Llama"]
        assert (await lab.http.get("/v1/models/gpt4.1")).status_code == 404
        body = {"model": "gpt4.1", "messages": [{"role": "user", "content": "안녕"}]}
        assert (await lab.http.post("/v1/chat/completions", json=body)).status_code == 503


async def test_an_assistant_may_have_said_nothing(lab: Lab) -> None:
    """A message of the assistant without text, as it stands where it called a tool, is left out,
    and what the user said around it is joined: roles alternate."""
    silent: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    asked = {"role": "user", "content": "안녕"}
    for messages in ([asked, silent, asked], [asked, {"role": "assistant"}, asked]):
        body = {"model": "Llama", "messages": messages}
        answer = await lab.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        said = lab.model.requests[-1].messages[1:]
        assert [(m.role, m.content) for m in said] == [("user", "안녕\n\n안녕")]


async def test_many_stop_strings_are_taken(lab: Lab) -> None:
    """As many as the limit says; one more names the field, the number and no characters."""
    stops = [f"끝{n}" for n in range(65)]
    body = {"model": "Llama", "messages": HELLO}
    for count in (1, 4, 17, 64):
        answer = await lab.http.post("/v1/chat/completions", json=body | {"stop": stops[:count]})
        assert answer.status_code == 200
        assert lab.model.requests[-1].sampling.stop == tuple(stops[:count])
    refused = await lab.http.post("/v1/chat/completions", json=body | {"stop": stops})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "stop")
    assert "64개" in error["message"]
    assert "자까지" not in error["message"]


async def test_a_models_name_may_have_a_slash(office: Lab) -> None:
    """As OpenAI's client sends it, encoded, and as it is."""
    office.services.chat.models["org/name"] = office.services.chat.models["Llama"]
    for name in ("org%2Fname", "org/name", "ORG%2fname"):
        assert (await office.http.get(f"/v1/models/{name}")).json()["id"] == "org/name"
    for name in ("no%2Fsuch", "no/such", "no%2Fsuch%2F"):
        answer = await office.http.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_null_is_no_wish(lab: Lab) -> None:
    """Clients that send every parameter send null for what they do not want."""
    body = {"model": "Llama", "messages": [{"role": "user", "content": "안녕"}], "stream": True,
            "web_search": None, "stream_options": {"include_usage": None}}  # fmt: skip
    answer = await lab.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text


async def test_a_limit_is_named_in_their_shape_too() -> None:
    """Which limit is used up is told to OpenAI's clients as well."""
    ours = {"code": "rate_limited", "message": "m", "limit": "tokens_per_day", "request_id": "r"}
    status, body = to_openai(429, {"error": ours})
    assert (status, body["error"]["limit"]) == (429, "tokens_per_day")
