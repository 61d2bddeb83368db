"""THE composition root: the only place that joins settings, adapters, core and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI

from chatbot_ai.api.app import create_app
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.middleware import AnswerLog
from chatbot_ai.api.services import ApiOptions, Services
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.core.statistics import Statistics
from chatbot_ai.core.streams import ResumableStreams, StreamLimits
from chatbot_ai.domain.control_tokens import control_tokens
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel, Clock
from chatbot_ai.llm.backup import ModelWithBackup
from chatbot_ai.llm.openai import OpenAIModel
from chatbot_ai.llm.remote import RemoteModel
from chatbot_ai.models.gguf import read_control_tokens
from chatbot_ai.server.assistant_engine import Engine, follow, follow_backup, open_engine
from chatbot_ai.server.engines import choose_model, find_languages
from chatbot_ai.server.guard import build_access
from chatbot_ai.server.personas import LLAMA_FILE, OPENAI_FILE, read_personas
from chatbot_ai.server.stores import character_store, service_store
from chatbot_ai.server.web_search import build_references
from chatbot_ai.settings import AssistantSettings, Config, Settings
from chatbot_ai.settings.kinds import reveal

log = structlog.get_logger()

#: What /readyz says of OpenAI models that cannot be called; the log has the particulars.
OPENAI_OFF = (
    "off: what ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, SSL_CERT_FILE or OPENAI_BASE_URL says cannot be "
    "used; a SOCKS proxy needs `pip install socksio`"
)


def build_app(assistant: Assistant, config: Config) -> FastAPI:
    """The ASGI application of one assistant. Nothing is opened before it starts."""
    shared = config.shared
    settings = config.assistant(assistant)
    options = ApiOptions(
        assistant=assistant,
        language=shared.default_language,
        deadline_s=shared.request_deadline_s,
        max_body_bytes=shared.max_body_bytes,
        cors_origins=shared.allowed_origins,
        lists_sources=shared.search_list_sources,
        ai_notice=shared.ai_notice,
        user_characters_bytes=shared.user_characters_bytes,
        user_conversations_bytes=shared.user_conversations_bytes,
    )
    llama = read_personas(shared.prompt_dir / LLAMA_FILE)[assistant]
    openai = read_personas(shared.prompt_dir / OPENAI_FILE)[assistant]
    metrics = Metrics(assistant)

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        async with AsyncExitStack() as stack:
            clock = SystemClock()
            statistics = Statistics(clock, metrics.observe, AnswerLog(assistant).observe)
            store, outbox_turns = service_store(assistant, shared)
            await store.open()
            stack.push_async_callback(store.close)
            characters = character_store(shared) if assistant == "character" else None
            if characters is not None:
                await characters.open()
                stack.push_async_callback(characters.close)
            access = build_access(shared, clock)
            await access.open()
            stack.push_async_callback(access.close)
            engine = await stack.enter_async_context(open_engine(settings, config))
            await learn_control_tokens(settings, config)
            backup = build_backup_engine(shared, settings.context_tokens)
            languages = await asyncio.to_thread(find_languages, engine.model.name, settings, config)
            models = build_models(engine, backup, config, llama.choose_for(languages), openai)
            off = find_broken(models)
            gathered = build_references(assistant, shared)
            stack.push_async_callback(gathered.close)
            await gathered.start()
            queue, remote_queue = build_queues(settings, shared, engine.slots, clock)
            chat = Chat(
                assistant=assistant,
                models=models,
                store=store,
                queue=queue,
                remote_queue=remote_queue,
                clock=clock,
                references=gathered,
                statistics=statistics,
                access=access,
                history_turns=shared.history_turns,
                user_conversations_bytes=shared.user_conversations_bytes,
                answer_tokens=settings.answer_tokens,
            )
            for model, _ in models.values():
                stack.push_async_callback(model.close)
            stack.push_async_callback(chat.close)
            metrics.watch(
                queue,
                remote_queue,
                lambda: engine.counts().get("restarts"),
                outbox_turns,
                lambda: engine.counts().get("stalls"),
            )
            watching = [statistics.watch(lambda: (len(queue.running), len(queue.waiting)))]
            if isinstance(engine.model, RemoteModel):
                watching.append(follow(engine.model, settings, queue))
            if backup is not None:
                watching.append(follow_backup(backup))
            for task in [asyncio.create_task(watch) for watch in watching]:
                stack.callback(task.cancel)
            yield Services(
                chat=chat,
                statistics=statistics,
                engine=engine.state,
                access=access,
                characters=characters,
                outbox=outbox_turns,
                unconfigured=unconfigured(config) | off.keys(),
                openai_fault=OPENAI_OFF if off else None,
                languages=languages,
                streams=ResumableStreams(
                    StreamLimits(shared.stream_resume_s, shared.stream_resume_s)
                ),
            )

    return create_app(options, open_services, metrics)


async def learn_control_tokens(settings: AssistantSettings, config: Config) -> None:
    """Take the control tokens of the model's own file, where it is on this machine."""
    with contextlib.suppress(ConfigurationError):  # the engine says what is wrong with it
        path = choose_model(settings, config).path
        if await asyncio.to_thread(path.is_file):
            control_tokens.add(await asyncio.to_thread(read_control_tokens, path))


def build_queues(
    settings: AssistantSettings, shared: Settings, slots: int, clock: Clock
) -> tuple[RequestQueue, RequestQueue]:
    """The queues of the engine and of the remote models, with the same callers."""
    own = RequestQueue(
        slots=slots,
        max_waiting=settings.max_waiting,
        max_per_user=settings.max_waiting_per_user,
        clock=clock,
    )
    remote = RequestQueue(
        slots=shared.openai_max_concurrent,
        max_waiting=settings.max_waiting,
        max_per_user=settings.max_waiting_per_user,
        clock=clock,
        beside=own,
    )
    return own, remote


def unconfigured(config: Config) -> frozenset[str]:
    """Aliases of remote models that have neither a key nor a server of the team's own."""
    shared = config.shared
    has_access = shared.openai_api_key is not None or shared.openai_base_url is not None
    return frozenset() if has_access else frozenset(shared.openai_aliases)


def find_broken(models: Mapping[str, tuple[ChatModel, Persona]]) -> dict[str, Exception]:
    """OpenAI models that this machine's set-up keeps off, by alias; each reason is logged."""
    off = {
        alias: model.broken
        for alias, (model, _) in models.items()
        if isinstance(model, OpenAIModel) and model.broken is not None
    }
    for alias, error in off.items():
        log.error("openai.off", alias=alias, error=type(error).__name__, detail=str(error))
    return off


def build_models(
    engine: Engine, backup: ChatModel | None, config: Config, llama: Persona, openai: Persona
) -> dict[str, tuple[ChatModel, Persona]]:
    """Every model by its alias; `Llama`, the team's own, first."""
    shared = config.shared
    remote = {
        alias: OpenAIModel(
            model,
            api_key=reveal(shared.openai_api_key),
            base_url=shared.openai_base_url,
            context_tokens=shared.openai_context_tokens,
            thinks=None if shared.openai_base_url else False,
        )
        for alias, model in shared.openai_aliases.items()
    }
    others: list[ChatModel] = [] if backup is None else [backup]
    if shared.backup_model:
        others.append(remote[shared.backup_model])
    own = ModelWithBackup(engine.model, others)
    models: dict[str, tuple[ChatModel, Persona]] = {"Llama": (own, llama)}
    return models | {alias: (model, openai) for alias, model in remote.items()}


def build_backup_engine(shared: Settings, context_tokens: int) -> RemoteModel | None:
    """The second engine for backup answers, if the operator named one.

    context_tokens  of it, until it tells its own
    """
    if shared.backup_engine_url is None:
        return None
    return RemoteModel(
        shared.backup_engine_url,
        model=shared.backup_engine_model,
        context_tokens=context_tokens,
        api_key=reveal(shared.backup_engine_api_key),
        unnamed="backup-engine",
    )
