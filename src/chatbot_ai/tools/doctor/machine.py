"""The machine itself: Python, processor, kernel, memory, disk."""

from __future__ import annotations

import contextlib
import platform
import re
import resource
import shutil
import sys
from pathlib import Path

from chatbot_ai.tools.doctor.finding import Finding, fail, gigabytes, ok, warn

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
    found = ".".join(map(str, version))
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
    there = existing_parent(folder)
    free_bytes = shutil.disk_usage(there).free
    facts = {"free_gb": gigabytes(free_bytes), "needed_gb": gigabytes(needed_bytes)}
    if free_bytes < needed_bytes:
        return [fail("disk", "disk_short", folder=str(folder), **facts)]
    if free_bytes < needed_bytes + _ROOMY_DISK_BYTES:
        return [warn("disk", "disk_tight", folder=str(folder), **facts)]
    return [ok("disk", "disk_ok", folder=str(folder), **facts)]


def check_memlock(
    needed_bytes: int,
    *,
    limit_bytes: int | None = None,
    status: Path = Path("/proc/self/status"),
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


def existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
