"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Fact = str | int | float


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


def gigabytes(size_bytes: float) -> float:
    return round(size_bytes / 1e9, 1)
