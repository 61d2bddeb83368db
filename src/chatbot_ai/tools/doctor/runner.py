"""Run checks side by side, each within a time limit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from chatbot_ai.tools.doctor.finding import Finding, warn

_LOG = structlog.get_logger(__name__)


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
