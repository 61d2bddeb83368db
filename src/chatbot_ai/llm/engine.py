"""The engine's settings: one value that says how llama.cpp is to be started."""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

#: Memory-lock room beyond the model file that llama.cpp needs: its compute buffers, generously.
MLOCK_HEADROOM_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine runs. Fields named like a setting are that setting, see EngineSettings.

    context_tokens is for one conversation; the engine is given `slots` times as much.
    processor_batch_tokens replaces batch_tokens, if smaller, where the model runs on the processor:
    while a batch is computed no request can be cancelled or get a token.
    processor_flash_attention: whether flash_attention holds there too, where it makes short prompts
    behind a long context and generation slower; a quantised cache needs it and gets it.
    port is on loopback; with 0 the engine listens on the file `socket`, whose name ends in .sock.
    rope_scale stretches the trained context linearly; 1 leaves it. split_mode is "none" (one GPU),
    "layer" or "row"; tensor_split holds the GPUs' shares by commas, empty for llama.cpp's own.
    """

    model_path: str
    port: int
    socket: str
    api_key: str
    slots: int
    context_tokens: int
    batch_tokens: int
    processor_batch_tokens: int
    micro_batch_tokens: int
    threads: int
    gpu_layers: int
    split_mode: str
    main_gpu: int
    tensor_split: str
    flash_attention: bool
    processor_flash_attention: bool
    continuous_batching: bool
    kv_cache_type: str
    kv_offload: bool
    mmap: bool
    mlock: bool
    rope_scale: float
    numa: bool
    host_cache_mib: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" if self.port else f"unix:{self.socket}"

    def command(self) -> list[str]:
        """The command line; the options themselves go to standard input, as they hold the key."""
        return [sys.executable, "-m", "chatbot_ai.llm.engine_process"]

    def standard_input(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: str) -> EngineOptions:
        return cls(**json.loads(line))


def usable_threads(wished: int) -> int:
    """`wished`, but no more threads than processors this process may use: more only slow it."""
    return max(1, min(wished, len(os.sched_getaffinity(0))))


def may_lock_memory(model_path: Path) -> bool:
    """Whether the kernel lets this process lock the model in RAM (RLIMIT_MEMLOCK)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY:
        return True
    return soft >= model_path.stat().st_size + MLOCK_HEADROOM_BYTES
