"""The NVIDIA GPUs of this machine, and which of them an assistant's model goes to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

import structlog

from chatbot_ai.settings import AssistantSettings

log = structlog.get_logger()

_QUERY = ("--query-gpu=index,memory.total", "--format=csv,noheader,nounits")
#: Seconds that nvidia-smi may take; it starts the driver where nothing else has.
TIMEOUT_S = 10


def gpu_memory_bytes() -> dict[int, int]:
    """Memory of every GPU by its number in PCI order, 0 where the driver does not tell; empty on
    a machine without nvidia-smi or with a broken driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        done = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split(",") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == len(("index", "memory"))]
    return {
        int(index): int(mib) << 20 if mib.isdecimal() else 0
        for index, mib in cells
        if index.isdecimal()
    }


def choose_gpu(settings: AssistantSettings, found: Mapping[int, int]) -> int | None:
    """The GPU that holds the assistant's model; None where the processor does.

    The wished one; the only one where there is one only, since a machine with one GPU is meant to
    use it. Of several none is guessed.
    """
    if settings.layers_on_gpu == 0 or not found:
        return None
    if settings.gpu_index in found:
        return settings.gpu_index
    return next(iter(found)) if len(found) == 1 else None


def log_gpu_choice(settings: AssistantSettings, gpu: int | None, found: Mapping[int, int]) -> None:
    """Log it where `gpu` is not the one that the settings name."""
    if settings.layers_on_gpu == 0 or not found or gpu == settings.gpu_index:
        return
    facts = {"assistant": settings.name, "wished": settings.gpu_index}
    if gpu is None:
        log.warning("gpu.absent", **facts, there=sorted(found))
    else:
        log.info("gpu.only_one", **facts, used=gpu)
