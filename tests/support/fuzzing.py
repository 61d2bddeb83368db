"""Calls that nobody thought of, made from an OpenAPI document, and what any answer must be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Err
from schemathesis.schemas import APIOperation

from support.possessions import CONVERSATION, assignments
from support.route_calls import Operation, Schema

#: Whose things the calls with real ids are about.
OWNER = "alice"
#: What calls carry besides what the document says; None: nothing.
EXTRAS: dict[str, tuple[str | None, ...]] = {
    "Accept": ("text/event-stream", "application/json", None),
    "Accept-Language": ("en", "ko", "de;q=0.5, *", None),
    "X-Resumable": ("true", "no", None, None),
    "Idempotency-Key": ("again", "a b", "another", None, None, None),
    "X-Include-Sources": ("1", None),
    "X-Request-ID": ("a-sane-id", "\t", None),
}
_MODES = {mode: mode.value for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)}


@dataclass(frozen=True)
class Target:
    """One operation of one assistant: what the document says and how calls of it are made."""

    assistant: str
    made: APIOperation[Any, Any, Any, Any]
    operation: Operation

    @property
    def name(self) -> str:
        return f"{self.operation.method} /{self.assistant}{self.operation.path}"

    @property
    def takes_anything(self) -> bool:
        described = self.operation.described
        return bool(described.get("parameters") or described.get("requestBody"))


@dataclass
class Sent:
    """A call and its answer; `answer` is None where none came in time."""

    target: Target
    case: Case[Any]
    headers: dict[str, str]
    answer: requests.Response | None
    seconds: float
    fault: str = ""


@dataclass
class Findings:
    """What is wrong, each kind once with the first call that showed it."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.found.setdefault(kind, example)


def targets(assistant: str, schema: Schema) -> list[Target]:
    """Every operation of the document."""
    loaded = schemathesis.openapi.from_dict(schema)
    found = []
    for result in loaded.get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        made = result.ok()
        described = schema["paths"][made.path][made.method.lower()]
        operation = Operation(made.method.upper(), made.path, described, schema)
        found.append(Target(assistant, made, operation))
    return found


def cases(
    target: Target, ids: dict[str, set[str]], *, count: int, seed_: int
) -> Iterator[tuple[Case[Any], dict[str, str]]]:
    """About `count` calls, half of them as the document allows and half not; in half of each the
    ids are real. The same seed makes the same calls."""
    places = list(assignments(target.operation, ids))
    for mode in _MODES if target.takes_anything else (GenerationMode.POSITIVE,):
        yield from _cases(target, places, mode, max(1, count // 2), seed_)


def _cases(
    target: Target, places: list[dict[str, str]], mode: GenerationMode, count: int, seed_: int
) -> list[tuple[Case[Any], dict[str, str]]]:
    found: list[tuple[Case[Any], dict[str, str]]] = []

    @seed(seed_)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=target.made.as_strategy(generation_mode=mode),
        extras=st.fixed_dictionaries({k: st.sampled_from(v) for k, v in EXTRAS.items()}),
        choice=st.none() | st.sampled_from(places),
    )
    def make(case: Case[Any], extras: dict[str, str | None], choice: dict[str, str] | None) -> None:
        if choice is not None:
            _name_real(case, target.operation, choice)
        found.append((case, {name: value for name, value in extras.items() if value}))

    make()
    # hypothesis makes fewer where there is little to vary
    whole = random.Random(seed_)
    return [*found, *(whole.choice(found) for _ in range(count - len(found)))]


def _name_real(case: Case[Any], operation: Operation, choice: dict[str, str]) -> None:
    """Put what is really there where the call has made something up."""
    if choice:
        case.path_parameters = dict(choice)
    if "user_id" in operation.parameters("query"):
        case.query = {**(case.query or {}), "user_id": OWNER}
    if isinstance(case.body, dict):
        names = {"user_id": OWNER, "user": OWNER, "db_id": CONVERSATION}
        case.body = {**case.body, **{k: v for k, v in names.items() if k in case.body}}


def faults_of(target: Target, answer: requests.Response) -> list[str]:
    """What is wrong with an answer, whatever was asked."""
    status, found = answer.status_code, []
    if status >= 500 and status != 503:
        found.append(f"{status}, our fault")
    if str(status) not in target.operation.described["responses"]:
        found.append(f"undocumented {status}")
    if status >= 400 and (wrong := wrong_form(answer)):
        found.append(wrong)
    return found


def wrong_form(answer: requests.Response) -> str:
    """What an error's answer lacks of our form (under /v1, of OpenAI's); "" if nothing."""
    status = answer.status_code
    try:
        error = answer.json()["error"]
        told = error["code"] and error["message"]
    except (ValueError, KeyError, TypeError):
        # /readyz says what is down instead
        return "" if status == 503 and "ready" in answer.text else f"{status} in another form"
    if not told or not ({"request_id", "param"} & error.keys()):
        return f"{status} in another form"
    if status in (429, 503) and not answer.headers.get("Retry-After", "").isdigit():
        return f"{status} without Retry-After"
    return ""
