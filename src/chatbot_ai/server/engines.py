"""From settings to an engine: which model file, how many slots, which process."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.models.gguf import read_languages
from chatbot_ai.models.manifest import KNOWN
from chatbot_ai.server.probe import Address, answers, fetch_body
from chatbot_ai.server.supervisor import ProcessSpec
from chatbot_ai.settings import AssistantSettings, Config

DEMO_MODEL = "demo/SmolLM2-135M-Instruct.Q4_1.gguf"
#: Context of the demo model: half of what it was trained for, which a small machine's RAM holds.
DEMO_CONTEXT_TOKENS = 4096
#: What llama.cpp's process gets beside the machine's environment. Its threads (libgomp's) wait for
#: each other hundreds of times a token. Sleeping at once halves the speed of an idle machine,
#: spinning for libgomp's default time halves that of a busy one; a short spin costs neither
#: (measured: bench/threads.py).
ENGINE_ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}
#: What llama.cpp's /metrics tell of its work.
PROGRESS_FIGURES = ("requests_processing", "requests_deferred", "n_decode_total")
#: Linear stretch for the reference model. Source: the specification, section 4.
REFERENCE_ROPE_SCALE = 2.0


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model of one assistant; `demo` says that it is the small one of a first run."""

    path: Path
    demo: bool

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".gguf")


def choose_model(settings: AssistantSettings, config: Config) -> ModelChoice:
    """The configured file; else the assistant's own, the other assistant's, the demo model.

    Raises ConfigurationError if a file that was configured is not there.
    """
    folder = config.shared.model_dir
    own = folder / settings.model_path
    if settings.model_file:
        if not own.is_file():
            raise ConfigurationError(
                f"{settings.name.upper()}_MODEL_FILE: {own} is missing; copy it there or run "
                f"`chatbot-ai models pull {settings.model_file}`"
            )
        return ModelChoice(own, demo=settings.model_file == DEMO_MODEL)
    others = [config.office, config.character]
    for candidate in (own, *(folder / other.model_path for other in others)):
        if candidate.is_file():
            return ModelChoice(candidate, demo=candidate == folder / DEMO_MODEL)
    return ModelChoice(folder / DEMO_MODEL, demo=True)


def read_model_languages(path: Path) -> tuple[str, ...]:
    """The languages of a model's file (ISO 639-1): by the catalogue, else by its header; empty
    where neither says."""
    for known in KNOWN:
        if known.name == path.name and known.languages:
            return known.languages
    try:
        return read_languages(path)
    except ConfigurationError:
        return ()  # the engine says what is wrong with the file


def find_languages(name: str, settings: AssistantSettings, config: Config) -> tuple[str, ...]:
    """The same of the model that an engine serves by this name: known for the catalogue's models
    and for a file on this machine."""
    path = Path(f"{name}.gguf")
    with contextlib.suppress(ConfigurationError):
        local = choose_model(settings, config)
        path = local.path if local.name == name else path
    return read_model_languages(path)


def context_tokens(settings: AssistantSettings, model: ModelChoice) -> int:
    """Tokens per conversation: as set, or the demo model's smaller default."""
    if model.demo and "context_tokens" not in settings.model_fields_set:
        return DEMO_CONTEXT_TOKENS
    return settings.context_tokens


def rope_scale(settings: AssistantSettings, model: ModelChoice) -> float:
    """As set; else 2 for the reference model and 1, its own training, for every other one."""
    if settings.rope_scale is not None:
        return settings.rope_scale
    return REFERENCE_ROPE_SCALE if "Llama-3.1-8B-Claude" in model.name else 1.0


def engine_options(
    settings: AssistantSettings, model: ModelChoice, *, slots: int, port: int | None = None
) -> EngineOptions:
    """The engine's options, with a fresh key; without a port, `socket` is still to be chosen.

    Raises ConfigurationError for settings that no engine can be started with.
    """
    if settings.kv_cache_type != "f16" and not settings.flash_attention:
        prefix = settings.name.upper()
        raise ConfigurationError(
            f"{prefix}_KV_CACHE_TYPE={settings.kv_cache_type} needs {prefix}_FLASH_ATTENTION=true; "
            "set that, or KV_CACHE_TYPE to f16"
        )
    values = {
        field.name: getattr(settings, field.name)
        for field in fields(EngineOptions)
        if field.name in type(settings).model_fields
    }
    values |= {
        "model_path": str(model.path),
        "port": port or settings.engine_port,
        "socket": "",
        "api_key": secrets.token_urlsafe(24),
        "slots": slots,
        "context_tokens": context_tokens(settings, model),
        "gpu_layers": settings.layers_on_gpu,
        # alone it is number 0, whatever it is called outside
        "main_gpu": 0 if settings.split_mode == "none" else settings.gpu_index,
        "rope_scale": rope_scale(settings, model),
    }
    return EngineOptions(**values)


def engine_spec(
    name: str,
    options: EngineOptions,
    settings: AssistantSettings,
    gpu: int | None,
    on_line: Callable[[str], None],
) -> ProcessSpec:
    """How the supervisor starts this engine and sees that it has loaded its model.

    gpu  its number in PCI order, as nvidia-smi counts; None: the one that the settings name
    """
    address = ("127.0.0.1", options.port) if options.port else Path(options.socket)
    visible = {"CUDA_VISIBLE_DEVICES": str(settings.gpu_index if gpu is None else gpu)}
    return ProcessSpec(
        name=name,
        command=options.command(),
        ready=lambda: answers(address, "/health", timeout_s=2),
        environment={
            # CUDA counts the fastest first, nvidia-smi and our settings by the bus
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            **(visible if options.split_mode == "none" else {}),
            **ENGINE_ENVIRONMENT,
        },
        standard_input=options.standard_input(),
        on_line=on_line,
        start_timeout_s=settings.engine_start_timeout_s,
        progress=lambda: read_progress(
            address, options.api_key, timeout_s=settings.engine_stall_timeout_s
        ),
        stall_timeout_s=settings.engine_stall_timeout_s,
    )


async def read_progress(address: Address, api_key: str, timeout_s: float) -> int | None:
    """Batches that a llama.cpp server has computed so far; None where nobody waits for one.

    Answered by the thread that all slots share, so a hang there is silence: raises OSError, of
    which TimeoutError is one, or ValueError.
    """
    body = await fetch_body(address, "/metrics", timeout_s, api_key)
    lines = (line.split() for line in body.decode().splitlines() if not line.startswith("#"))
    figures = {words[0]: float(words[1]) for words in lines if len(words) == 2}
    try:
        running, waiting, batches = (figures[f"llamacpp:{name}"] for name in PROGRESS_FIGURES)
    except KeyError as error:
        raise ValueError("no figures of llama.cpp") from error
    return int(batches) if running or waiting else None
