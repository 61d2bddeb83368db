"""The models that the contract is tested on, each with its way of looking into the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.llm.backup import ModelWithBackup
from chatbot_ai.llm.llama import LlamaModel
from chatbot_ai.llm.openai import OpenAIModel
from support.engines import RunningEngine, free_port
from support.scripted_model import ScriptedModel


@dataclass(frozen=True, slots=True)
class Subject:
    """One adapter under test.

    away   the same adapter where nobody answers
    busy   how many generations run at its server now
    exact  whether `count_tokens` is exact, not an upper bound
    steers whether the server obeys `response_format`
    """

    model: ChatModel
    away: ChatModel
    busy: Callable[[], int]
    exact: bool = True
    steers: bool = True


def llama(engine: RunningEngine) -> Subject:
    return Subject(engine.model(), _nobody(), engine.busy_slots)


def backup(engine: RunningEngine) -> Subject:
    return Subject(
        ModelWithBackup(engine.model()), ModelWithBackup(_nobody(), [_nobody()]), engine.busy_slots
    )


def openai(engine: RunningEngine) -> Subject:
    """The official SDK against the engine's own OpenAI endpoint."""
    model = OpenAIModel(
        "demo",
        api_key=engine.options.api_key,
        base_url=f"{engine.url}/v1",
        context_tokens=engine.options.context_tokens,
    )
    away = OpenAIModel("demo", api_key=None, base_url=None, context_tokens=2048)
    return Subject(model, away, engine.busy_slots, exact=False)


def scripted(_engine: RunningEngine) -> Subject:
    model = ScriptedModel(pause_s=0.005)
    return Subject(model, ScriptedModel(away=True), lambda: model.running, steers=False)


SUBJECTS = {"llama": llama, "backup": backup, "openai": openai, "scripted": scripted}


def _nobody() -> LlamaModel:
    return LlamaModel(f"http://127.0.0.1:{free_port()}", name="away", context_tokens=2048)
