"""What `chatbot-ai doctor` is to look at, from the settings."""

from __future__ import annotations

import shutil

from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.nginx import find_nginx
from chatbot_ai.models.hub import Hub
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.server.engine_plan import plan_engines
from chatbot_ai.server.stores import mongodb_address
from chatbot_ai.settings import ComposeSettings, Config
from chatbot_ai.settings.kinds import plain
from chatbot_ai.tools.doctor.plan import Plan

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
    sharers: set[str] = set()
    spread: set[str] = set()
    for engine in plan_engines(config, say=False):
        for name in engine.assistants:
            models[name] = str(engine.model.path.relative_to(shared.model_dir))
            caches[name] = engine.need.slot_bytes * engine.slots[name]
            if engine.gpu is not None:
                gpus[name] = engine.gpu
                if engine.options.split_mode != "none":
                    spread.add(name)
        if not compose:
            # containers have an engine each
            sharers.update(engine.assistants[1:])
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
        wanted_gpus=_wanted_gpus(config),
        sharers=frozenset(sharers),
        spread=frozenset(spread),
        cache_bytes=caches,
        wants_mlock=config.office.mlock or config.character.mlock,
        nginx_binary=_find_nginx(shared.nginx_binary),
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


def _wanted_gpus(config: Config) -> frozenset[int]:
    """The GPUs that the settings name, there or not; none on a machine that has no NVIDIA one."""
    if shutil.which("nvidia-smi") is None:
        return frozenset()
    own = [config.assistant(name) for name in ASSISTANTS if not config.assistant(name).engine_url]
    return frozenset(settings.gpu_index for settings in own if settings.layers_on_gpu != 0)


def _find_nginx(configured: str | None) -> str | None:
    try:
        return str(find_nginx(configured))
    except ConfigurationError:
        return configured
