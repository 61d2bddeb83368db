"""What a process does, as its kernel tells: whether one that does not answer still works."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

#: How much counts as some progress. A hung engine that still answers our probes uses less of a
#: processor, and reads nothing.
PROGRESS_CPU_SHARE = 0.05
PROGRESS_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """What a process has done since it was started."""

    lines: int
    cpu_s: float
    read_bytes: int


def has_progressed(before: Work, after: Work, elapsed_s: float) -> bool:
    """Whether the process did something in these seconds beside answering probes."""
    return (
        after.lines > before.lines
        or after.cpu_s - before.cpu_s >= PROGRESS_CPU_SHARE * elapsed_s
        or after.read_bytes - before.read_bytes >= PROGRESS_READ_BYTES
    )


def measure_work(pid: int | None, lines: int) -> Work:
    """Read what the process has used; `lines` is how many it has printed."""
    cpu_s, read_bytes = 0.0, 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        folder = Path(f"/proc/{pid}")
        # after the name, which may hold blanks: utime and stime are fields 14 and 15
        fields = (folder / "stat").read_bytes().rpartition(b") ")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        # rchar: from the page cache too
        read_bytes = int((folder / "io").read_bytes().split()[1])
    return Work(lines, cpu_s, read_bytes)
