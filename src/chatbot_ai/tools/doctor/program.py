"""Ask another program something, without waiting for ever."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Output:
    """How a program ended."""

    status: int
    stdout: str
    stderr: str


def is_installed(name: str) -> bool:
    return shutil.which(name) is not None


def ask(*command: str) -> Output | None:
    """Run a program to its end; None if it is not there, cannot start, or does not answer."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Output(done.returncode, done.stdout, done.stderr)
