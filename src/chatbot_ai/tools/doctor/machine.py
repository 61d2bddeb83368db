"""The machine itself: Python, processor, kernel, memory, disk, and NVIDIA GPUs."""

from __future__ import annotations

import contextlib
import csv
import platform
import re
import resource
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.tools.doctor.check import (
    Fact,
    Finding,
    ask,
    fail,
    gigabytes,
    join_version,
    ok,
    warn,
)

OLDEST_PYTHON = (3, 11)
#: What ggml's default x86-64 build is compiled for (ggml/CMakeLists.txt, GGML_NATIVE=OFF); the
#: engine's wheel holds that one build and has no other to fall back on.
ENGINE_CPU_FLAGS = frozenset({"avx", "avx2", "bmi2", "f16c", "fma"})
#: MongoDB 8's allocator crashes on kernels from the first to before the second (SERVER-121912), and
#: some 8.0 builds refuse every kernel from the first on; MongoDB 7.0 has another allocator.
RSEQ_KERNELS = ((6, 19, 0), (7, 0, 14))
_ROOMY_DISK_BYTES = 5_000_000_000
_CAP_IPC_LOCK = 1 << 14  # linux/capability.h


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> list[Finding]:
    found = join_version(version)
    if version[:2] < OLDEST_PYTHON:
        return [fail("python", "python_old", version=found)]
    return [ok("python", "python_ok", version=found)]


def check_cpu(
    *, runs_engine: bool, runs_mongodb: bool, cpuinfo: Path = Path("/proc/cpuinfo")
) -> list[Finding]:
    """Compare the processor's features with what the engine and MongoDB are compiled for."""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    flags = frozenset(match[1].split()) if match else frozenset()
    if "asimd" in flags:
        return [ok("cpu", "cpu_ok", best="NEON")]
    missing = ", ".join(sorted(ENGINE_CPU_FLAGS - flags))
    if missing and runs_engine:
        return [fail("cpu", "cpu_engine", missing=missing)]
    if "avx" not in flags and runs_mongodb:
        return [fail("cpu", "cpu_mongodb")]
    if missing:
        return [warn("cpu", "cpu_engine", missing=missing)]
    return [ok("cpu", "cpu_ok", best="AVX-512" if "avx512f" in flags else "AVX2")]


def check_kernel(
    *, mongodb_version: str | None, release: str = platform.release()
) -> list[Finding]:
    """Compare the kernel with the MongoDB version that runs here, None where none does."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if match is None or mongodb_version is None:
        return [ok("kernel", "kernel_ok", release=release)]
    kernel = (int(match[1]), int(match[2]), int(match[3] or 0))
    if kernel < RSEQ_KERNELS[0] or int(mongodb_version.split(".")[0]) < 8:
        return [ok("kernel", "kernel_ok", release=release)]
    found = fail if kernel < RSEQ_KERNELS[1] else warn
    return [found("kernel", "kernel_mongodb", release=release, mongodb=mongodb_version)]


def check_memory(
    needed_bytes: int, *, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> list[Finding]:
    """Compare RAM, and the container's limit on it, with what the services need."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE))
    total_bytes, free_bytes = int(fields["MemTotal"]) * 1024, int(fields["MemAvailable"]) * 1024
    limit_bytes = _cgroup_limit_bytes(cgroup)
    if limit_bytes is not None:
        total_bytes = min(total_bytes, limit_bytes)
        free_bytes = min(free_bytes, limit_bytes)
    facts = {
        "total_gb": gigabytes(total_bytes),
        "free_gb": gigabytes(free_bytes),
        "needed_gb": gigabytes(needed_bytes),
    }
    if total_bytes < needed_bytes:
        return [fail("memory", "memory_short", **facts)]
    if free_bytes < needed_bytes:
        return [warn("memory", "memory_taken", **facts)]
    return [ok("memory", "memory_ok", **facts)]


def _cgroup_limit_bytes(cgroup: Path) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # absent, or "max"
            return int((cgroup / name).read_text())
    return None


def check_disk(folder: Path, needed_bytes: int) -> list[Finding]:
    """Compare the models disk's free space with the model files that are still to come."""
    there = find_existing_parent(folder)
    free_bytes = shutil.disk_usage(there).free
    facts = {"free_gb": gigabytes(free_bytes), "needed_gb": gigabytes(needed_bytes)}
    if free_bytes < needed_bytes:
        return [fail("disk", "disk_short", folder=str(folder), **facts)]
    if free_bytes < needed_bytes + _ROOMY_DISK_BYTES:
        return [warn("disk", "disk_tight", folder=str(folder), **facts)]
    return [ok("disk", "disk_ok", folder=str(folder), **facts)]


def check_memlock(
    needed_bytes: int, *, limit_bytes: int | None = None, status: Path = Path("/proc/self/status")
) -> list[Finding]:
    """Compare RLIMIT_MEMLOCK with the largest model, unless CAP_IPC_LOCK makes it irrelevant."""
    if limit_bytes is None:
        limit_bytes = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
    if match and int(match[1], 16) & _CAP_IPC_LOCK:
        return [ok("memlock", "memlock_ok")]
    if limit_bytes == resource.RLIM_INFINITY or limit_bytes >= needed_bytes:
        return [ok("memlock", "memlock_ok")]
    facts = {"limit_mb": round(limit_bytes / 1e6, 1), "needed_gb": gigabytes(needed_bytes)}
    return [warn("memlock", "memlock_short", **facts)]


def find_existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


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
    if not shutil.which("nvidia-smi"):
        if _has_nvidia_card(pci):
            return [warn("gpu", "gpu_no_driver")]
        return [ok("gpu", "gpu_none")]
    output = ask("nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")
    if output is None:
        return [fail("gpu", "gpu_silent")]
    if status := output.returncode:
        return [fail("gpu", BROKEN.get(status, "gpu_broken"), status=status)]
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
        found.append(_judge_gpu(gpu, needed_bytes.get(gpu.index, 0) + share))
    return found + absent


def parse_gpus(text: str) -> list[Gpu]:
    """Read nvidia-smi's CSV; a line of another form is passed over."""
    gpus = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == len(_FIELDS) and row[0].isdecimal():
            index, name, driver, total_mib, free_mib, capability = (cell.strip() for cell in row)
            total = int(total_mib) << 20 if total_mib.isdecimal() else None
            free = int(free_mib) << 20 if free_mib.isdecimal() else None
            version, age = _parse_version(driver), _parse_version(capability)
            gpus.append(Gpu(int(index), name, version, total, free, age))
    return gpus


def _parse_version(text: str) -> tuple[int, ...] | None:
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


def _judge_gpu(gpu: Gpu, needed_bytes: int) -> Finding:
    facts: dict[str, Fact] = {
        "index": gpu.index,
        "name": gpu.name,
        "driver": join_version(gpu.driver),
        "capability": join_version(gpu.capability),
        "total_gb": gigabytes(gpu.total_bytes or 0),
        "free_gb": gigabytes(gpu.free_bytes or 0),
        "needed_gb": gigabytes(needed_bytes),
    }
    if gpu.driver is not None and gpu.driver < OLDEST_DRIVER:
        return fail("gpu", "gpu_old_driver", **facts, oldest=join_version(OLDEST_DRIVER))
    if gpu.capability is not None and gpu.capability < OLDEST_CAPABILITY:
        return fail("gpu", "gpu_too_old", **facts)
    if gpu.total_bytes is not None and gpu.total_bytes < needed_bytes:
        return warn("gpu", "gpu_small", **facts)
    if gpu.free_bytes is not None and gpu.free_bytes < needed_bytes:
        return warn("gpu", "gpu_taken", **facts)
    if gpu.capability is not None and gpu.capability < TENSOR_CAPABILITY:
        return warn("gpu", "gpu_slow", **facts)
    return ok("gpu", "gpu_ok", **facts)


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
