"""What `chatbot-ai doctor` is to look at, from the settings."""

from __future__ import annotations

from chatbot_ai.doctor.plan import Plan
from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.process import nginx_binary
from chatbot_ai.llm.gguf import read_facts
from chatbot_ai.models.hub import Hub
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.server.engines import choose_model
from chatbot_ai.server.sizing import cache_per_slot, gpu_memory_bytes, slots_of
from chatbot_ai.server.stores import mongodb_address
from chatbot_ai.settings import ComposeSettings, Config
from chatbot_ai.settings.kinds import plain

#: The version that docker-compose.yml pins.
COMPOSE_MONGODB_VERSION = "7.0"


def hub_of(config: Config) -> Hub:
    """The model hub or mirror, with its token."""
    return Hub(config.shared.hf_endpoint, plain(config.shared.hf_token))


def plan_checks(config: Config, *, compose: bool = False) -> Plan:
    """Everything this configuration needs from the machine, as processes or as containers."""
    shared = config.shared
    models: dict[str, str] = {}
    gpus: dict[str, int] = {}
    caches: dict[str, int] = {}
    for name in ASSISTANTS:
        settings = config.assistant(name)
        if settings.engine_url:
            continue
        choice = choose_model(settings, config)
        models[name] = str(choice.path.relative_to(shared.model_dir))
        if choice.path.is_file():
            per_slot = cache_per_slot(settings, choice, read_facts(choice.path))
            caches[name] = per_slot * slots_of(settings, choice)
        if settings.layers_on_gpu != 0 and gpu_memory_bytes(settings.gpu_index) is not None:
            gpus[name] = settings.gpu_index
    return Plan(
        library=ModelLibrary(shared.model_dir, hub=hub_of(config)),
        data_dir=shared.data_dir,
        log_dir=shared.log_dir,
        ports={
            "gateway": shared.gateway_port,
            **({} if compose else {n: config.assistant(n).service_port for n in ASSISTANTS}),
        },
        compose=compose,
        host=shared.gateway_host,
        models=models,
        gpus=gpus,
        cache_bytes=caches,
        wants_mlock=config.office.mlock or config.character.mlock,
        nginx_binary=_nginx(shared.nginx_binary),
        mongodb_url=mongodb_address(shared),
        mongodb_version=_mongodb_version(config, compose),
        has_google_key=shared.google_api_key is not None,
        has_search_engine_id=shared.search_engine_id is not None,
        has_openai_key=shared.openai_api_key is not None,
    )


def _mongodb_version(config: Config, compose: bool) -> str | None:
    """Which MongoDB starts on this machine. Compose brings one unless it is told to bring none."""
    if compose:
        return COMPOSE_MONGODB_VERSION if ComposeSettings().mongo_containers else None
    return COMPOSE_MONGODB_VERSION if mongodb_address(config.shared) else None


def _nginx(configured: str | None) -> str | None:
    try:
        return str(nginx_binary(configured))
    except ConfigurationError:
        return configured
