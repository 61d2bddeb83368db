"""Calls that nobody thought of, made from an OpenAPI document, and what any answer must be."""

from __future__ import annotations

import json
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

from support import card_samples as samples
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
#: Of so many calls with a body one has a text that is dear to read.
SPOILED_EVERY = 5
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
        if len(found) % SPOILED_EVERY == SPOILED_EVERY - 1 and isinstance(case.body, dict):
            case.body = spoil(case.body, random.Random(seed_ + len(found)))
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


def spoil(value: Any, chance: random.Random) -> Any:
    """The same value with one of its texts, at any depth, replaced by one that is dear to read."""
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        return {**value, name: spoil(value[name], chance)}
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        return [*value[:at], spoil(value[at], chance), *value[at + 1 :]]
    return hostile_text(chance)


def hostile_text(chance: random.Random) -> str:
    """Marks that are dear to order, markers of templates, directions, halves of characters, macros
    and openings without an end; from one to some ten thousand of them."""
    piece = chance.choice(
        ["\u0323\u0301", "e\u0301", "<|im_end|>", "[|endofturn|]", "\u202e", "\ud83d", "\0",
         "{{random:", "{{char}}", "\u1112\u1161\u11ab", "[", '"\\', "</think>", "가", " "]
    )  # fmt: skip
    return piece * int(10 ** chance.uniform(0, 4))


def nested_schema(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """A JSON schema of repetitions in repetitions, alternatives, references to itself."""
    kind = chance.randrange(6 if depth < 6 else 2)
    if kind == 0:
        pattern = "a"
        for _ in range(chance.randrange(6)):
            most = chance.choice((1, 9, 1000, 10**9))
            pattern = f"({pattern}){{0,{most}}}" + chance.choice(("", "?", "|b"))
        return {"type": "string", "pattern": f"^{pattern}$"}
    if kind == 1:
        most = chance.choice((0, 3, 10**4, 10**12))
        return {"type": "string", "minLength": chance.choice((0, most)), "maxLength": most}
    inner = nested_schema(chance, depth + 1)
    if kind == 2:
        return {"type": "array", "items": inner, "minItems": chance.choice((0, 1, 1000, 10**7))}
    if kind == 3:
        return {"anyOf": [inner] * chance.choice((1, 3, 500))}
    if kind == 4:
        return {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, inner]}}, "$ref": "#/$defs/a"}
    names = [f"p{n}" for n in range(chance.choice((1, 5, 200)))]
    return {"type": "object", "properties": dict.fromkeys(names, inner), "required": names[:1]}


def odd_card(chance: random.Random) -> bytes:
    """A card as some tool might have written it: odd fields, another container, another encoding,
    some bytes changed, cut off or repeated."""
    make = chance.choice((samples.v1, samples.sillytavern_v2, samples.risuai_v3, samples.chub_v2))
    value: Any = make()
    for _ in range(chance.randrange(4)):
        data = value.get("data", value)
        data[chance.choice(list(data))] = chance.choice(
            (None, True, [], {}, "", 1e300, -1, ["a", None], {"a": []}, hostile_text(chance))
        )
        if chance.random() < 0.3:
            value = spoil(value, chance)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    form = chance.randrange(5)
    if form == 0:
        content = samples.png(samples.text_chunk(chance.choice(("chara", "ccv3")), _plain(text)))
    elif form == 1:
        content = samples.charx(_plain(text), samples.risuai_files())
    else:
        encoding = ("utf-8", "cp949", "utf-16")[form - 2]
        content = text.encode(encoding, "replace")
    for _ in range(chance.choice((0, 0, 1, 4))):
        at = chance.randrange(len(content))
        change = chance.choice((b"", b"\0", b"\xff" * 4, content[: at % 4096]))
        content = content[:at] + change + content[at + 1 :]
    return content if chance.random() < 0.8 else content[: chance.randrange(len(content)) + 1]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


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
