"""How many conversations fit into memory at once, over all engines of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatbot_ai.domain.conversation import Assistant

#: Kept free beside models and caches, for each engine: compute buffers and the CUDA context.
GPU_HEADROOM_BYTES = 900 * 1024 * 1024
RAM_SHARE = 0.6
#: More slots than this bring no more tokens a second on the reference GPUs, only longer answers.
MOST_SLOTS = 8
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """The slots that one assistant wishes for.

    number  how many; for `auto` the weight among those who share what is free
    kind    "set" is given, whatever fits; "default" is given as far as a GPU holds it; "auto" is
            as much as there is room for
    """

    assistant: Assistant
    number: int
    kind: str


@dataclass(frozen=True, slots=True)
class EngineNeed:
    """What one engine takes: on `gpu`, None for the machine's RAM.

    slot_bytes is 0 where the model's file is not there to tell.
    """

    gpu: int | None
    model_bytes: int
    slot_bytes: int
    host_cache_mib: int
    wishes: tuple[Wish, ...]


def share_out(
    needs: Sequence[EngineNeed], gpu_bytes: Mapping[int, int], ram_bytes: int
) -> list[dict[Assistant, int]]:
    """Slots of every assistant, for each engine.

    Each gets at least one. The memory that is then free on a device, less all models, all slots
    that were set and, in RAM, all host caches, is distributed one slot at a time, each to the
    assistant with the smallest share of its wish.
    """
    given = [{w.assistant: w.number if w.kind == "set" else 1 for w in n.wishes} for n in needs]
    for device in {need.gpu for need in needs}:
        here = [number for number, need in enumerate(needs) if need.gpu == device]
        free = _available(device, needs, gpu_bytes, ram_bytes)
        for number in here:
            free -= needs[number].slot_bytes * sum(given[number].values())
        while True:
            wanting = [
                (given[number][wish.assistant] / wish.number, number, wish)
                for number in here
                for wish in needs[number].wishes
                if _may_grow(needs[number], wish, given[number], free)
            ]
            if not wanting:
                break
            _, number, wish = min(wanting, key=lambda one: one[:2])
            given[number][wish.assistant] += 1
            free -= needs[number].slot_bytes
    return given


def _available(
    gpu: int | None, needs: Sequence[EngineNeed], gpu_bytes: Mapping[int, int], ram_bytes: int
) -> int:
    here = [need for need in needs if need.gpu == gpu]
    models = sum(need.model_bytes for need in here)
    if gpu is not None and gpu_bytes[gpu]:
        return gpu_bytes[gpu] - models - GPU_HEADROOM_BYTES * len(here)
    # the caches of parked prefixes are in RAM, wherever the models are
    return int(ram_bytes * RAM_SHARE) - models - MIB * sum(need.host_cache_mib for need in needs)


def _may_grow(need: EngineNeed, wish: Wish, given: Mapping[Assistant, int], free: int) -> bool:
    if wish.kind == "set":
        return False
    fits = need.slot_bytes <= free
    if wish.kind == "default":
        # in RAM the system can make room; a GPU's memory ends where it ends
        return given[wish.assistant] < wish.number and (fits or need.gpu is None)
    on_processor = min(MOST_SLOTS, max(2, len(os.sched_getaffinity(0))))
    most = on_processor if need.gpu is None else MOST_SLOTS
    return fits and need.slot_bytes > 0 and sum(given.values()) < most


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
