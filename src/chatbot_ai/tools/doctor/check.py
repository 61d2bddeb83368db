"""What a check is: a function that looks at one thing, what it found, and the programs it asks."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

Fact = str | int | float
_LOG = structlog.get_logger(__name__)
_TIMEOUT_S = 10.0


class State(StrEnum):
    """OK: nothing to do. WARN: works, but worse than it could. FAIL: does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `message` is a key of messages/doctor.toml, `facts` its values."""

    check: str
    state: State
    message: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def ok(check: str, message: str, **facts: Fact) -> Finding:
    return Finding(check, State.OK, message, facts)


def warn(check: str, message: str, **facts: Fact) -> Finding:
    return Finding(check, State.WARN, message, facts)


def fail(check: str, message: str, **facts: Fact) -> Finding:
    return Finding(check, State.FAIL, message, facts)


def join_version(version: tuple[int, ...] | None) -> str:
    return ".".join(map(str, version)) if version else "?"


def gigabytes(size_bytes: float) -> float:
    return round(size_bytes / 1e9, 1)


def ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Run a program to its end; None if it is not there, cannot start, or does not answer."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


@dataclass(frozen=True, slots=True)
class Check:
    """A named function that looks at one thing and returns what it found."""

    name: str
    look: Callable[[], list[Finding]]


def run_checks(checks: Sequence[Check], *, time_limit_s: float = 20.0) -> list[Finding]:
    """Return the findings in the order of `checks`.

    A check that takes longer than `time_limit_s`, or breaks, becomes a warning of its own, so that
    the others are still reported; its thread is left behind and dies with the process.
    """
    deadline = time.monotonic() + time_limit_s
    answers = [_start(check) for check in checks]
    findings: list[Finding] = []
    for check, answer in zip(checks, answers, strict=True):
        try:
            findings += answer.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            findings.append(warn(check.name, "too_slow", limit_s=time_limit_s))
    return findings


def _start(check: Check) -> queue.SimpleQueue[list[Finding]]:
    answer: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()

    def look() -> None:
        try:
            answer.put(check.look())
        except Exception as error:
            _LOG.warning("doctor.check_broke", check=check.name, exc_info=True)
            answer.put([warn(check.name, "broke", cause=type(error).__name__)])

    threading.Thread(target=look, name=f"doctor-{check.name}", daemon=True).start()
    return answer
