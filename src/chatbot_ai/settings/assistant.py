"""Settings of one assistant: its door, its queue, its engine."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.settings.env_file import FileSettings
from chatbot_ai.settings.kinds import (
    Blank,
    OptionalInt,
    OptionalSecret,
    OptionalStr,
    OptionalUrl,
    Positive,
)

LLAMA_REPOSITORY = "QuantFactory"


class EngineSettings(FileSettings):
    """llama.cpp's settings for one assistant; the help text names llama.cpp's own parameter."""

    engine_url: OptionalUrl = Field(
        None,
        description="Use this OpenAI-compatible server instead of starting an engine; "
        "unix:/path for one that listens on a socket file.",
    )
    engine_api_key: OptionalSecret = Field(None, description="Bearer key for ENGINE_URL.")
    engine_model: OptionalStr = Field(
        None, description="Model name to ask ENGINE_URL for; empty asks it what it serves."
    )
    engine_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Loopback port of the engine; 0: a socket file, which no other user of the "
        "machine can reach, nor take while the engine restarts.",
    )
    model_file: str = Field(
        "", description="GGUF file, relative to MODEL_DIR; empty means the assistant's own model."
    )
    gpu: int = Field(-1, ge=-1, description="GPU number for the model; -1: the assistant's own.")
    gpu_layers: OptionalInt = Field(
        None, ge=-1, description="Layers on the GPU, -1 all (n_gpu_layers)."
    )
    split_mode: Literal["none", "layer", "row"] = Field(
        "none",
        description="One GPU holds the model, or its layers or rows are spread over all of them, "
        "with GPU as the main one (split_mode, main_gpu).",
    )
    tensor_split: str = Field(
        "",
        pattern=r"^([0-9]+(\.[0-9]+)?(,[0-9]+(\.[0-9]+)?)*)?$",
        description="Shares of GPU 0, 1 … where SPLIT_MODE spreads the model, such as 3,2; "
        "empty: by their free memory (tensor_split).",
    )
    context_tokens: int = Field(
        8191,
        ge=256,
        le=1_048_576,
        description="Tokens per conversation (n_ctx / n_parallel); at ENGINE_URL at most these, "
        "by default as many as it has.",
    )
    max_concurrent: Annotated[Positive | Literal["auto"] | None, Blank] = Field(
        None,
        description="Conversations answered at once, the engine's slots (n_parallel): a number, "
        "auto for what fits into memory, or empty: office 2, character 4; at ENGINE_URL its own.",
    )
    batch_tokens: int = Field(2048, ge=32, description="Prefill batch (n_batch).")
    processor_batch_tokens: int = Field(
        128, ge=32, description="The same, at most, without a GPU: a batch there takes seconds."
    )
    micro_batch_tokens: int = Field(512, ge=16, description="Physical batch (n_ubatch).")
    threads: int = Field(12, ge=1, description="Threads, at most the machine's cores (n_threads).")
    flash_attention: bool = Field(True, description="Flash attention (flash_attn_type).")
    processor_flash_attention: bool = Field(
        False, description="Flash attention without a GPU too, where it makes late turns slower."
    )
    continuous_batching: bool = Field(True, description="Continuous batching (cont_batching).")
    kv_cache_type: Literal["f16", "q8_0", "q4_0"] = Field(
        "f16", description="Precision of the KV cache (cache_type_k, cache_type_v)."
    )
    kv_offload: bool = Field(True, description="KV cache on the GPU (no_kv_offload inverted).")
    mmap: bool = Field(False, description="Map the model file instead of reading it (load_mode).")
    mlock: bool = Field(True, description="Keep the model in RAM where permitted (load_mode).")
    rope_scale: float | None = Field(
        None,
        gt=0,
        le=16,
        description="Linear RoPE stretch; empty: 2 for a file named Meta-Llama-3.1-8B-Claude…, the "
        "reference model, and 1 for every other.",
    )
    numa: bool = Field(False, description="NUMA distribution (numa).")
    host_cache_mib: int = Field(
        2048, ge=0, description="RAM for prefixes parked outside the slots (cache_ram_mib)."
    )
    engine_start_timeout_s: float = Field(
        180,
        gt=0,
        description="Seconds without progress (no log line, no processor time, nothing read) after "
        "which an engine that loads its model is restarted.",
    )
    engine_stall_timeout_s: float = Field(
        90,
        ge=0,
        description="Seconds in which an engine with work to do finishes no batch of a prompt and "
        "no token, after which it is restarted; 0: never.",
    )


class AssistantSettings(EngineSettings):
    """One assistant: its door, its queue and its engine."""

    prefixes: ClassVar[tuple[str, ...]] = ("CHATBOT_",)
    name: ClassVar[Assistant] = "office"
    host: str = Field("127.0.0.1", description="Address the service listens on.")
    port: int = Field(
        0, ge=0, le=65535, description="Port of the service: office 8002, character 8003."
    )
    max_waiting: int = Field(32, ge=0, description="Requests that may wait beyond those running.")
    max_waiting_per_user: int = Field(
        8, ge=0, description="Requests of one user that may wait or run; 0: no limit of its own."
    )
    answer_tokens: int = Field(512, ge=16, description="Longest answer, in tokens (max_tokens).")

    @property
    def service_port(self) -> int:
        return self.port or {"office": 8002, "character": 8003}[self.name]

    @property
    def model_path(self) -> str:
        quant = {"office": "Q4_1", "character": "Q4_0"}[self.name]
        return self.model_file or f"{LLAMA_REPOSITORY}/Meta-Llama-3.1-8B-Claude.{quant}.gguf"

    @property
    def slots(self) -> int | Literal["auto"]:
        return self.max_concurrent or self.default_slots

    @property
    def default_slots(self) -> int:
        """What the reference GPUs hold beside the reference models."""
        return {"office": 2, "character": 4}[self.name]

    @property
    def gpu_index(self) -> int:
        return self.gpu if self.gpu >= 0 else {"office": 1, "character": 0}[self.name]

    @property
    def layers_on_gpu(self) -> int:
        if self.gpu_layers is not None:
            return self.gpu_layers
        return {"office": -1, "character": 50}[self.name]


class OfficeSettings(AssistantSettings):
    """Settings of the office assistant: `OFFICE_X`, else `CHATBOT_X`."""

    prefixes = ("OFFICE_", "CHATBOT_")
    name: ClassVar[Assistant] = "office"


class CharacterSettings(AssistantSettings):
    """Settings of the character assistant: `CHARACTER_X`, else `CHATBOT_X`."""

    prefixes = ("CHARACTER_", "CHATBOT_")
    name: ClassVar[Assistant] = "character"
