"""NVIDIA GPUs: driver, memory, age. A machine without one runs on its processor."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.tools.doctor.finding import Finding, fail, gigabytes, ok, warn
from chatbot_ai.tools.doctor.program import ask, is_installed

_FIELDS = ("index", "name", "driver_version", "memory.total", "memory.free", "compute_cap")
#: Exit codes of nvidia-smi: nvml.h, NVML_ERROR_DRIVER_NOT_LOADED and _LIB_RM_VERSION_MISMATCH.
BROKEN = {9: "gpu_not_loaded", 18: "gpu_mismatch"}
#: The oldest Linux driver that runs CUDA 12 programs (CUDA 12 release notes, table 2).
OLDEST_DRIVER = (525, 60, 13)
#: ggml's CUDA 12 build starts at Maxwell; tensor cores came with Volta (CUDA programming guide).
OLDEST_CAPABILITY, TENSOR_CAPABILITY = (5, 0), (7, 0)
_NVIDIA_VENDOR, _DISPLAY_CLASS = "0x10de", "0x03"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as nvidia-smi sees it; None where it answers [N/A]."""

    index: int
    name: str
    driver: tuple[int, ...] | None
    total_bytes: int | None
    free_bytes: int | None
    capability: tuple[int, ...] | None


def check_gpu(
    needed_bytes: Mapping[int, int],
    wanted: Collection[int] = (),
    *,
    spread_bytes: int = 0,
    pci: Path = Path("/sys/bus/pci/devices"),
) -> list[Finding]:
    """Look at every GPU; `needed_bytes` is what the services put on each, by GPU number,
    `spread_bytes` what they put on all together, and `wanted` the numbers that the settings name.
    """
    if not is_installed("nvidia-smi"):
        if _has_nvidia_card(pci):
            return [warn("gpu", "gpu_no_driver")]
        return [ok("gpu", "gpu_none")]
    output = ask("nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")
    if output is None:
        return [fail("gpu", "gpu_silent")]
    if output.status != 0:
        return [fail("gpu", BROKEN.get(output.status, "gpu_broken"), status=output.status)]
    gpus = parse_gpus(output.stdout)
    absent = [
        warn("gpu", "gpu_absent", index=index, count=len(gpus))
        for index in sorted({*needed_bytes, *wanted} - {gpu.index for gpu in gpus})
    ]
    total = sum(gpu.total_bytes or 0 for gpu in gpus)
    found = []
    for gpu in gpus:
        # llama.cpp fills them by their memory unless it is told other shares
        share = spread_bytes * (gpu.total_bytes or 0) // total if total else 0
        found.append(_judge(gpu, needed_bytes.get(gpu.index, 0) + share))
    return found + absent


def parse_gpus(text: str) -> list[Gpu]:
    """Read nvidia-smi's CSV; a line of another form is passed over."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [_gpu(row) for row in rows if len(row) == len(_FIELDS) and row[0].isdecimal()]


def _gpu(row: list[str]) -> Gpu:
    index, name, driver, total_mib, free_mib, capability = (cell.strip() for cell in row)
    return Gpu(
        index=int(index),
        name=name,
        driver=_version(driver),
        total_bytes=int(total_mib) << 20 if total_mib.isdecimal() else None,
        free_bytes=int(free_mib) << 20 if free_mib.isdecimal() else None,
        capability=_version(capability),
    )


def _version(text: str) -> tuple[int, ...] | None:
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


def _judge(gpu: Gpu, needed_bytes: int) -> Finding:
    facts: dict[str, str | int | float] = {
        "index": gpu.index,
        "name": gpu.name,
        "driver": _text(gpu.driver),
        "capability": _text(gpu.capability),
        "total_gb": gigabytes(gpu.total_bytes or 0),
        "free_gb": gigabytes(gpu.free_bytes or 0),
        "needed_gb": gigabytes(needed_bytes),
    }
    if gpu.driver is not None and gpu.driver < OLDEST_DRIVER:
        return fail("gpu", "gpu_old_driver", **facts, oldest=_text(OLDEST_DRIVER))
    if gpu.capability is not None and gpu.capability < OLDEST_CAPABILITY:
        return fail("gpu", "gpu_too_old", **facts)
    if gpu.total_bytes is not None and gpu.total_bytes < needed_bytes:
        return warn("gpu", "gpu_small", **facts)
    if gpu.free_bytes is not None and gpu.free_bytes < needed_bytes:
        return warn("gpu", "gpu_taken", **facts)
    if gpu.capability is not None and gpu.capability < TENSOR_CAPABILITY:
        return warn("gpu", "gpu_slow", **facts)
    return ok("gpu", "gpu_ok", **facts)


def _text(version: tuple[int, ...] | None) -> str:
    return ".".join(map(str, version)) if version else "?"


def _has_nvidia_card(pci: Path) -> bool:
    if not pci.is_dir():
        return False
    for device in pci.iterdir():
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS):
            return True
    return False
