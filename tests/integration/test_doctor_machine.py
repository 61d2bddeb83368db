"""The doctor's checks of the machine, on real folders and on files as /proc has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot_ai.tools.doctor.check import State
from chatbot_ai.tools.doctor.machine import (
    check_cpu,
    check_disk,
    check_kernel,
    check_memlock,
    check_memory,
    check_python,
)

GB = 10**9


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10, 14), State.FAIL), ((3, 11, 0), State.OK), ((3, 14, 1), State.OK)],
)
def test_python_must_be_new_enough(version: tuple[int, ...], state: State) -> None:
    """A Python below the supported one fails."""
    assert check_python(version)[0].state is state


CPU_AVX2 = "flags\t\t: fpu sse4_2 fma avx f16c bmi1 avx2 bmi2"


@pytest.mark.parametrize(
    ("flags", "engine", "mongodb", "expected"),
    [
        (CPU_AVX2, True, True, ("cpu_ok", State.OK)),
        (f"{CPU_AVX2} avx512f", True, True, ("cpu_ok", State.OK)),
        ("flags\t\t: fpu sse4_2 avx f16c", True, True, ("cpu_engine", State.FAIL)),
        ("flags\t\t: fpu sse4_2", False, True, ("cpu_mongodb", State.FAIL)),
        ("flags\t\t: fpu sse4_2", False, False, ("cpu_engine", State.WARN)),
        ("Features\t: fp asimd evtstrm", True, True, ("cpu_ok", State.OK)),
    ],
)
def test_cpu_features_decide_what_can_run(
    tmp_path: Path, flags: str, engine: bool, mongodb: bool, expected: tuple[str, State]
) -> None:
    """The engine's build needs AVX2 and its kin, MongoDB needs AVX; without either it is a hint."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\n\nprocessor\t: 1\n{flags}\n")
    (found,) = check_cpu(runs_engine=engine, runs_mongodb=mongodb, cpuinfo=cpuinfo)
    assert (found.message, found.state) == expected


@pytest.mark.parametrize(
    ("release", "mongodb", "state"),
    [
        ("6.8.0-60-generic", "8.0", State.OK),
        ("6.18.44", "8.0", State.OK),
        ("6.19.0-200.fc43.x86_64", "8.0", State.FAIL),
        ("7.0.0-14-generic", "8.0.28", State.FAIL),
        ("7.0.14", "8.0", State.WARN),
        ("7.1.5-arch1-2", "8.3", State.WARN),
        ("7.0.0-14-generic", "7.0", State.OK),
        ("7.0.0-14-generic", None, State.OK),
        ("strange", "8.0", State.OK),
    ],
)
def test_kernels_that_mongodb_8_dies_on_are_known(
    release: str, mongodb: str | None, state: State
) -> None:
    """Kernels 6.19 to 7.0.13 fail with MongoDB 8, later ones warn, MongoDB 7 runs on all."""
    assert check_kernel(mongodb_version=mongodb, release=release)[0].state is state


@pytest.mark.parametrize(
    ("needed_gb", "limit", "state"),
    [
        (4, "max\n", State.OK),
        (10, "max\n", State.WARN),
        (20, "max\n", State.FAIL),
        (4, "3000000000\n", State.FAIL),
        (4, None, State.OK),
    ],
)
def test_memory_counts_the_containers_limit(
    tmp_path: Path, needed_gb: int, limit: str | None, state: State
) -> None:
    """Too little RAM fails, RAM that others hold warns, and a cgroup limit counts as RAM."""
    (tmp_path / "meminfo").write_text(
        "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    8000000 kB\n"
    )
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    (found,) = check_memory(needed_gb * GB, proc=tmp_path, cgroup=tmp_path)
    assert found.state is state


def test_memory_is_read_on_this_machine() -> None:
    """The real /proc is understood: nothing needed is fine, everything imaginable is not."""
    assert check_memory(0)[0].state is State.OK
    assert check_memory(10**18)[0].state is State.FAIL
    assert check_cpu(runs_engine=False, runs_mongodb=False)[0].check == "cpu"


def test_disk_space_is_compared_with_what_is_to_come(tmp_path: Path) -> None:
    """A folder that does not exist yet is judged by the disk it will be on."""
    folder = tmp_path / "not" / "yet"
    assert check_disk(folder, 10**18)[0].message == "disk_short"
    assert check_disk(folder, 0)[0].message in {"disk_ok", "disk_tight"}
    assert not folder.exists()


@pytest.mark.parametrize(
    ("capabilities", "limit_bytes", "state"),
    [
        ("0000000000000000", 8 << 20, State.WARN),
        ("0000000000000000", 8 << 30, State.OK),
        ("0000000000000000", -1, State.OK),
        ("000001ffffffffff", 8 << 20, State.OK),
    ],
)
def test_memory_lock_needs_a_limit_or_the_capability(
    tmp_path: Path, capabilities: str, limit_bytes: int, state: State
) -> None:
    """A low limit warns unless the process may lock regardless."""
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t{capabilities}\n")
    (found,) = check_memlock(5 * GB, limit_bytes=limit_bytes, status=status)
    assert found.state is state
