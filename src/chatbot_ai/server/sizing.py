"""How many conversations fit into memory at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.llm.gguf import ModelFacts, read_facts
from chatbot_ai.server.engines import ModelChoice, context_tokens
from chatbot_ai.settings import AssistantSettings

#: Kept free beside model and cache: compute buffers and the CUDA context, or the system in RAM.
GPU_HEADROOM_BYTES = 900 * 1024 * 1024
RAM_SHARE = 0.6
#: More slots than this bring no more tokens a second on the reference GPUs, only longer answers.
MOST_SLOTS = 8


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The sum behind a number of slots, in bytes."""

    available: int
    model: int
    cache_per_slot: int
    slots: int
    on_gpu: bool


def fit(settings: AssistantSettings, model: ModelChoice) -> Arithmetic:
    """The largest number of slots whose cache fits beside the model, from 1 to MOST_SLOTS.

    Without a GPU also no more than the processors, but at least 2.
    """
    facts = read_facts(model.path)
    vram = gpu_memory_bytes(settings.gpu_index) if settings.layers_on_gpu != 0 else None
    per_slot = cache_per_slot(settings, model, facts)
    if vram is not None:
        available, most = vram - GPU_HEADROOM_BYTES, MOST_SLOTS
    else:
        available = int(available_memory_bytes() * RAM_SHARE)
        most = min(MOST_SLOTS, max(2, len(os.sched_getaffinity(0))))
    slots = max(1, min(most, (available - facts.file_bytes) // per_slot))
    return Arithmetic(available, facts.file_bytes, per_slot, slots, vram is not None)


def cache_per_slot(settings: AssistantSettings, model: ModelChoice, facts: ModelFacts) -> int:
    """Bytes of KV cache that one conversation takes."""
    return context_tokens(settings, model) * facts.cache_bytes_per_token(settings.kv_cache_type)


def available_memory_bytes() -> int:
    """RAM that can be had without swapping: the smaller of the system's and the container's."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - a kernel file
        lines = dict(line.split(":", 1) for line in file)
    available = int(lines["MemAvailable"].split()[0]) * 1024
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123 - a kernel file
                limit = file.read().strip()
        except OSError:
            continue
        if limit.isdigit():
            available = min(available, int(limit))
    return available


def gpu_memory_bytes(index: int) -> int | None:
    """Memory of that NVIDIA GPU, or None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits", f"--id={index}"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.strip()
    return int(text) * 1024 * 1024 if done.returncode == 0 and text.isdigit() else None


def slots_of(settings: AssistantSettings, model: ModelChoice) -> int:
    """How many conversations this assistant answers at once; `auto` asks the memory."""
    if isinstance(settings.slots, int):
        return settings.slots
    if settings.engine_url or not model.path.is_file():
        raise ConfigurationError(
            f"{settings.name.upper()}_MAX_CONCURRENT=auto needs the model file on this machine"
        )
    return fit(settings, model).slots
