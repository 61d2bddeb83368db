"""Processes as /proc shows them: who descends from whom, and who is still there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Fields of /proc/PID/stat after the program's name. Source: proc_pid_stat(5), fields 3 and 22.
_STATE, _START_TIME = 0, 19


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` tells it from a later one that was given the same number."""

    pid: int
    started: str
    command: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that only waits to be reaped has ended."""
        fields = _stat(self.pid)
        return fields is not None and fields[_STATE] != "Z" and fields[_START_TIME] == self.started


def _stat(pid: int) -> list[str] | None:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return None


def process(pid: int) -> Process | None:
    """The process of that number, if there is one."""
    fields = _stat(pid)
    with suppress(OSError):
        raw = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip()
        if fields is not None:
            return Process(pid, fields[_START_TIME], raw.decode(errors="replace"))
    return None


def children(pid: int) -> list[Process]:
    """The children of a process, of any of its threads."""
    found: list[Process] = []
    with suppress(OSError):
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listing.read_text("ascii").split():
                if (known := process(int(child))) is not None:
                    found.append(known)
    return found


def descendants(pid: int) -> list[Process]:
    """Children, their children and so on."""
    found = children(pid)
    return [*found, *(later for child in found for later in descendants(child.pid))]
