"""A chat template that insists on user, assistant, user, …, in a real engine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.errors import ContextTooLong, InvalidRequest
from chatbot_ai.domain.generation import Finished, GenerationRequest, Sampling
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.llm.llama import LlamaModel
from support.engines import SOURCE, free_port, options_for
from support.process_group import eventually
from support.waiting import HANG_S

TEMPLATE = """
{%- for m in messages -%}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('Conversation roles must alternate user/assistant') }}
{%- endif -%}
{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
PROGRAM = """
import signal, sys
import xllamacpp as llama
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.llm.engine_process import parameters
params = parameters(EngineOptions.from_json(sys.stdin.readline()))
params.chat_template, params.use_jinja = sys.argv[1], True
server = llama.Server(params)
signal.pause()
"""


@pytest.fixture(scope="module")
def strict(model_file: Path) -> Iterator[EngineOptions]:
    """An engine with that template."""
    options = options_for(model_file, port=free_port(), context_tokens=256)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, TEMPLATE],
        stdin=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
    )
    try:
        assert process.stdin is not None
        process.stdin.write(options.standard_input())
        process.stdin.close()
        eventually(lambda: _serves(options.url), HANG_S, "it serves")
        yield options
    finally:
        process.kill()
        process.wait()


def _serves(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.fixture
def model(strict: EngineOptions) -> LlamaModel:
    return LlamaModel(
        strict.url,
        name="strict",
        context_tokens=strict.context_tokens,
        api_key=strict.api_key,
    )


def asking(*roles: str, text: str = "hi") -> GenerationRequest:
    messages = tuple(Message(role, text) for role in roles)  # type: ignore[arg-type]
    deadline = asyncio.get_running_loop().time() + HANG_S
    return GenerationRequest(messages, Sampling(max_tokens=2), deadline)


async def test_a_refusal_is_the_templates_own_reason(model: LlamaModel) -> None:
    """Not an outage, and no backup is asked; counting says the same."""
    assert [e async for e in model.stream(asking("user")) if isinstance(e, Finished)]
    for refused in (asking("assistant", "user"), asking("user", "user")):
        with pytest.raises(InvalidRequest) as caught:
            _ = [event async for event in model.stream(refused)]
        assert caught.value.reason == "template_refused"
        assert caught.value.params["said"] == "Conversation roles must alternate user/assistant"
        with pytest.raises(InvalidRequest):
            await model.count_tokens(refused.messages)
    await model.close()


async def test_a_prompt_beyond_the_context_is_too_long(model: LlamaModel) -> None:
    """With the engine's own count, though it counts only what is sent to it."""
    with pytest.raises(ContextTooLong) as caught:
        _ = [event async for event in model.stream(asking("user", text="word " * 400))]
    assert caught.value.tokens > caught.value.limit == 256
    await model.close()
