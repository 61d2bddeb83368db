"""What operators, monitors and the page ask: health, figures, limits, the dashboard's state."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from chatbot_ai import __version__
from chatbot_ai.api.caller import METRICS, Caller, principal_of
from chatbot_ai.api.chat import LLAMA
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.openapi import CALLER_RESPONSES, document_error
from chatbot_ai.api.services import ApiOptions, Services, ServicesOf
from chatbot_ai.core.statistics import POINT_S
from chatbot_ai.domain import limits
from chatbot_ai.domain.errors import Forbidden, Unavailable

#: Seconds after which a dependency that does not answer counts as down.
CHECK_TIMEOUT_S = 3.0
#: Seconds for which /status gives the last readiness again: to find it out costs a write.
READINESS_FOR_S = 2.0

router = APIRouter(tags=["operation"])


class Performance(BaseModel):
    """Measured figures of this assistant. The first five are since the start of the service."""

    model_config = ConfigDict(extra="allow")

    total_requests: int = Field(description="Requests that have ended, however they ended.")
    avg_response_time: float = Field(description="Mean seconds of an answered request.")
    success_rate: float = Field(description="Percent of answered, failed and refused requests.")
    active_connections: int = Field(description="Requests running or waiting now, remote too.")
    max_concurrent: int = Field(description="Most requests that the local model runs at once.")
    running: int
    waiting: int
    max_waiting: int
    expected_wait_s: float | None = Field(description="For a request that came now; null: unknown.")
    remote: dict[str, int] = Field(description="Requests to OpenAI models, which wait apart.")
    model: str
    uptime_s: float
    since_start: dict[str, Any]
    last_15_minutes: dict[str, Any]
    engine: dict[str, Any]
    recent_errors: list[dict[str, Any]]


class Readiness(BaseModel):
    """Whether each thing an answer needs is there."""

    ready: bool
    model: str = Field(description="`ok` or why not.")
    store: str = Field(description="`ok` or why not.")
    openai: str | None = Field(
        None, description="Why OpenAI models are off, only where they are; all else serves."
    )


class Model(BaseModel):
    """The assistant's own model."""

    name: str
    languages: list[str] = Field(
        description="ISO 639-1 codes of what it speaks; empty where that is not known."
    )
    context_tokens: int = Field(description="Tokens of a conversation's prompt and answer.")
    ai_notice: bool = Field(description="People are to be told that an AI answers.")


class Limits(BaseModel):
    """How much a caller may send."""

    input_data_chars: int = Field(description="Characters of a message.")
    user_id_chars: int
    db_id_chars: int
    title_chars: int = Field(description="Characters of a conversation's title.")
    search_chars: int = Field(description="Characters of `q` of GET /conversations.")
    page_entries: int = Field(description="Conversations or turns of one page.")
    page_characters: int = Field(description="Characters of one page of GET /characters.")
    character_name_chars: int
    greeting_chars: int
    context_chars: int
    user_name_chars: int = Field(description="Characters of what a character calls the user.")
    alternate_greetings: int = Field(description="Further greetings of a stored character.")
    greeting_index: int
    characters: int = Field(description="Characters that one user may keep.")
    upload_bytes: int = Field(description="Size of a card's file or of a picture.")
    model_alias_chars: int
    openai_model_chars: int
    openai_user_chars: int
    json_nodes: int = Field(description="Brackets [ and { of one JSON body.")
    messages: int = Field(description="Messages of one request under /v1, parts of one message.")
    stop_strings: int
    schema_names: int = Field(description="Names in one object of a JSON schema.")
    schema_list: int = Field(description="Entries of one list of a JSON schema.")
    schema_literals: int = Field(description="Values of one `enum`, or names that are `required`.")
    schema_values: int = Field(description="Names and entries of a JSON schema together.")
    schema_depth: int
    schema_chars: int
    schema_name_bytes: int = Field(description="All names on the way to a part of a JSON schema.")
    schema_visits: int = Field(description="Parts, one for each type and each reference to it.")
    schema_size: int = Field(description="Repetitions, and the cube of optional properties / 64.")
    schema_ways: int = Field(description="Ways in which a text can be read at once.")
    schema_pattern_chars: int = Field(description="Characters of one `pattern`.")
    schema_patterns_chars: int = Field(description="Characters of all different patterns.")
    schema_work: int = Field(description="Steps that the check of a JSON schema may take.")
    idempotency_key_chars: int
    body_timeout_s: float = Field(description="Seconds in which a whole body must have come.")
    held_bytes: int = Field(description="Bytes of bodies that a service holds at once.")
    caller_held_bytes: int = Field(description="Those of one key, else of one address.")
    body_bytes: int = Field(description="Body of every other request.")
    user_characters_bytes: int | None = Field(
        description="What one user's characters may take, counted as stored; null: no limit."
    )
    user_conversations_bytes: int | None = Field(
        description="What one user's conversations with both assistants may take, as stored."
    )


class ReadinessCache:
    """The last look at model and store, shared by all who ask within READINESS_FOR_S."""

    def __init__(self) -> None:
        self._looking = asyncio.Lock()
        self._until = 0.0
        self._found: dict[str, Any] = {}

    async def read(self, services: Services) -> dict[str, Any]:
        """The body of /readyz, at most READINESS_FOR_S old."""
        async with self._looking:
            if time.monotonic() >= self._until:
                self._found = await read_readiness(services)
                self._until = time.monotonic() + READINESS_FOR_S
            return self._found


async def operator_of(principal: Caller) -> None:
    """Admit operators: the backend's key or, without keys, this machine. Raises Forbidden."""
    if principal.kind == "user":
        raise Forbidden("a user key does not see the service's state")


OPERATORS_ONLY: dict[str, Any] = {
    "dependencies": [Depends(operator_of)],
    "responses": {**CALLER_RESPONSES, **document_error(403, "A user key.")},
}
CALLERS_ONLY: dict[str, Any] = {
    "dependencies": [Depends(principal_of)],
    "responses": CALLER_RESPONSES,
}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(services: ServicesOf) -> JSONResponse:
    """The model answers and the store takes turns; 503 where not."""
    body = await read_readiness(services)
    ready = body["ready"]
    return JSONResponse(body, 200 if ready else 503, {} if ready else {"Retry-After": "2"})


@router.get("/performance", response_model=Performance, **CALLERS_ONLY)
async def performance(services: ServicesOf) -> dict[str, Any]:
    """Measured figures: load, times, tokens, cache and engine."""
    return await read_performance(services)


@router.get("/model", **CALLERS_ONLY)
async def read_model(services: ServicesOf, request: Request) -> Model:
    """Which model answers, the languages that it speaks, and whether people are told of the AI."""
    options: ApiOptions = request.app.state.options
    model, _ = services.chat.model(LLAMA)
    return Model(
        name=model.name,
        languages=list(services.languages),
        context_tokens=model.context_tokens,
        ai_notice=options.ai_notice,
    )


@router.get("/limits", **CALLERS_ONLY)
async def read_limits(request: Request) -> Limits:
    """The size limits of requests."""
    options: ApiOptions = request.app.state.options
    named = {name: getattr(limits, name.upper(), None) for name in Limits.model_fields}
    chosen = {
        "body_bytes": options.max_body_bytes,
        "user_characters_bytes": options.user_characters_bytes,
        "user_conversations_bytes": options.user_conversations_bytes,
    }
    return Limits(**named | chosen)


@router.get("/status", **OPERATORS_ONLY)
async def status(services: ServicesOf, request: Request) -> JSONResponse:
    """The state of this assistant: figures, readiness, errors and the last 15 minutes."""
    cache: ReadinessCache = request.app.state.readiness
    figures, ready = await asyncio.gather(read_performance(services), cache.read(services))
    body = {
        "assistant": services.chat.assistant,
        "version": __version__,
        "at": round(services.chat.clock.now(), 1),
        "started_at": round(services.statistics.started_at, 1),
        "performance": figures,
        "readiness": ready,
        "outbox_turns": services.outbox(),
        "point_s": POINT_S,
        "series": services.statistics.series.points(),
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@router.get("/status/access", status_code=204, **OPERATORS_ONLY)
async def check_status_access() -> Response:
    """Whether the caller may see the dashboard's data; the gateway asks for its reports."""
    return Response(status_code=204)


@router.get(METRICS, include_in_schema=False)
async def scrape_metrics(request: Request, services: ServicesOf) -> Response:
    """What Prometheus reads; the gateway does not pass it on."""
    await services.engine()  # its counts are told as last seen
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def read_performance(services: Services) -> dict[str, Any]:
    """The body of /performance."""
    queue, stats, remote_queue = (
        services.chat.queue,
        services.statistics,
        services.chat.remote_queue,
    )
    totals = stats.since_start()
    model, _ = services.chat.model(LLAMA)
    return {
        "total_requests": totals["total_requests"],
        "avg_response_time": totals["avg_response_time"],
        "success_rate": totals["success_rate"],
        "active_connections": sum(len(r.running) + len(r.waiting) for r in (queue, remote_queue)),
        "max_concurrent": queue.slots,
        "running": len(queue.running),
        "waiting": len(queue.waiting),
        "max_waiting": queue.max_waiting,
        "expected_wait_s": queue.expected_wait_s(),
        "remote": {
            "running": len(remote_queue.running),
            "waiting": len(remote_queue.waiting),
            "max_concurrent": remote_queue.slots,
        },
        "model": model.name,
        "uptime_s": round(stats.uptime_s, 1),
        "since_start": totals,
        "last_15_minutes": stats.window(),
        "engine": await services.engine(),
        "recent_errors": stats.recent_errors(),
    }


async def read_readiness(services: Services) -> dict[str, Any]:
    """The body of /readyz: asks the model's server and writes to the store, within 3 s."""
    model, _ = services.chat.model(LLAMA)
    found, store, engine = await asyncio.gather(
        _check_state(model.check()), _check_state(services.chat.store.check()), services.engine()
    )
    # one that makes no progress answers all the same when asked how it is
    found = "model_stalled" if engine.get("state") == "stalled" else found
    told = {"ready": found == store == "ok", "model": found, "store": store}
    return told | ({"openai": services.openai_fault} if services.openai_fault else {})


async def _check_state(check: Any) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check
    except TimeoutError:
        return "timeout"
    except Unavailable as error:
        return error.code
    return "ok"
