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
    generated  how many tokens its server has generated since the test began
    exact  whether `count_tokens` is exact, not an upper bound
    steers whether the server obeys `response_format`
    """

    model: ChatModel
    away: ChatModel
    busy: Callable[[], int]
    generated: Callable[[], int]
    exact: bool = True
    steers: bool = True


def llama(engine: RunningEngine) -> Subject:
    return Subject(engine.model(), _nobody(), engine.busy_slots, _counter(engine))


def backup(engine: RunningEngine) -> Subject:
    return Subject(
        ModelWithBackup(engine.model()),
        ModelWithBackup(_nobody(), [_nobody()]),
        engine.busy_slots,
        _counter(engine),
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
    return Subject(model, away, engine.busy_slots, _counter(engine), exact=False)


def scripted(_engine: RunningEngine) -> Subject:
    model = ScriptedModel(pause_s=0.005)
    away = ScriptedModel(away=True)
    return Subject(model, away, lambda: model.running, lambda: model.said, steers=False)


SUBJECTS = {"llama": llama, "backup": backup, "openai": openai, "scripted": scripted}


def _counter(engine: RunningEngine) -> Callable[[], int]:
    before = engine.metric("tokens_predicted_total")
    return lambda: engine.metric("tokens_predicted_total") - before


def _nobody() -> LlamaModel:
    return LlamaModel(f"http://127.0.0.1:{free_port()}", name="away", context_tokens=2048)
