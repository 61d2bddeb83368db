"""The engine behind one assistant: a server that somebody else runs, or a child of this service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.domain.errors import BackendUnavailable
from chatbot_ai.llm.llama import LlamaModel
from chatbot_ai.llm.remote import RemoteModel, ServedModel
from chatbot_ai.server.engine_plan import plan_engines
from chatbot_ai.server.engines import engine_spec
from chatbot_ai.server.group import read_state
from chatbot_ai.server.listeners import socket_folder
from chatbot_ai.server.logs import DailyFile
from chatbot_ai.server.supervisor import Supervisor
from chatbot_ai.settings import AssistantSettings, Config, process_environment
from chatbot_ai.settings.kinds import reveal

#: Seconds until a server that was down is asked again, and one that answered.
ASK_AGAIN_S, REFRESH_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A model's client and what is known of the process behind it.

    counts tells `restarts` and `stalls` as last seen, nothing of an engine that somebody else looks
    after.
    """

    model: LlamaModel
    state: Callable[[], Awaitable[dict[str, Any]]]
    counts: Callable[[], Mapping[str, Any]]
    slots: int


@asynccontextmanager
async def open_engine(settings: AssistantSettings, config: Config) -> AsyncIterator[Engine]:
    """The engine at ENGINE_URL, or one of our own that lives as long as the service."""
    opening = _open_remote if settings.engine_url else _start_engine
    async with opening(settings, config) as engine:
        yield engine


@asynccontextmanager
async def _open_remote(settings: AssistantSettings, config: Config) -> AsyncIterator[Engine]:
    model = RemoteModel(
        settings.engine_url or "",
        model=settings.engine_model,
        context_tokens=settings.context_tokens,
        at_most="context_tokens" in settings.model_fields_set,
        api_key=reveal(settings.engine_api_key),
        unnamed=settings.name,
    )
    # one that is down, or still loads, is asked again by `follow`: no reason not to start
    served = await try_to_learn(model)

    # the socket file of an engine that `up` has started is named after its process
    url = settings.engine_url or ""
    process = PurePath(url).stem if url.startswith("unix:") else ""
    known: dict[str, Any] = {}

    async def state() -> dict[str, Any]:
        found = await read_state(config.shared.run_dir, process) if process else None
        known.update(found or {})
        return {"managed": found is not None, **(found or {})}

    await state()
    yield Engine(model, state, lambda: known, slots_at(settings, served))


@asynccontextmanager
async def _start_engine(settings: AssistantSettings, config: Config) -> AsyncIterator[Engine]:
    (plan,) = await asyncio.to_thread(plan_engines, config, [settings.name])
    log_file = DailyFile(
        config.shared.log_dir,
        plan.name,
        keep_days=config.shared.log_retention_days,
        zone=config.shared.zone,
    )
    with socket_folder(config.shared.run_dir) as folder:
        options = replace(plan.options, socket=str(folder / f"{plan.name}.sock"))
        spec = engine_spec(plan.name, options, settings, plan.gpu, log_file.write)
        supervisor = Supervisor([spec], process_environment())
        supervisor.start()
        child = supervisor.children[spec.name]
        model = LlamaModel(
            options.url,
            name=plan.model.name,
            context_tokens=options.context_tokens,
            api_key=options.api_key,
        )

        async def state() -> dict[str, Any]:
            return {"managed": True, **child.to_dict()}

        try:
            yield Engine(model, state, child.to_dict, options.slots)
        finally:
            await supervisor.stop()
            log_file.close()


def slots_at(settings: AssistantSettings, served: ServedModel | None) -> int:
    """As set; else as many as that server has, where it tells."""
    if isinstance(settings.max_concurrent, int):
        return settings.max_concurrent
    return (served.slots if served else None) or settings.default_slots


async def try_to_learn(model: RemoteModel) -> ServedModel | None:
    """What a server serves; None where it does not answer now."""
    try:
        return await model.learn()
    except BackendUnavailable:
        return None


async def follow(model: RemoteModel, settings: AssistantSettings, queue: RequestQueue) -> None:
    """Keep up with a server that starts late, comes back or changes; runs until cancelled."""
    while True:
        served = await try_to_learn(model)
        if served is not None:
            queue.resize(slots_at(settings, served))
        await asyncio.sleep(ASK_AGAIN_S if served is None else REFRESH_S)


async def follow_backup(model: RemoteModel) -> None:
    """The same for a further engine, whose slots are not ours to hand out."""
    while True:
        served = await try_to_learn(model)
        await asyncio.sleep(ASK_AGAIN_S if served is None else REFRESH_S)
