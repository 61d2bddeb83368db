"""What operators and monitors ask: /healthz, /readyz, /performance."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from chatbot_ai.api.access import principal_of
from chatbot_ai.api.answering import CALLER_RESPONSES
from chatbot_ai.api.chat import LLAMA
from chatbot_ai.api.services import Services, ServicesOf
from chatbot_ai.domain.errors import Unavailable

#: Seconds after which a dependency that does not answer counts as down.
CHECK_TIMEOUT_S = 3.0


class Performance(BaseModel):
    """Measured figures of this assistant. The first five are since the start of the service."""

    model_config = ConfigDict(extra="allow")

    total_requests: int = Field(description="Requests that have ended, however they ended.")
    avg_response_time: float = Field(description="Mean seconds of an answered request.")
    success_rate: float = Field(description="Percent of answered, failed and refused requests.")
    active_connections: int = Field(description="Requests running or waiting now, remote too.")
    max_concurrent: int = Field(description="Requests that run at once at most, on the own model.")
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


def router() -> APIRouter:
    """The operators' routes of one assistant."""
    routes = APIRouter(tags=["operation"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @routes.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
    async def readyz(services: ServicesOf) -> JSONResponse:
        """The model answers and the store takes turns; 503 where not."""
        body = await readiness_of(services)
        ready = body["ready"]
        return JSONResponse(body, 200 if ready else 503, {} if ready else {"Retry-After": "2"})

    @routes.get(
        "/performance",
        response_model=Performance,
        dependencies=[Depends(principal_of)],
        responses=CALLER_RESPONSES,
    )
    async def performance(services: ServicesOf) -> dict[str, Any]:
        """Measured figures: load, times, tokens, cache and engine."""
        return await performance_of(services)

    return routes


async def performance_of(services: Services) -> dict[str, Any]:
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


async def readiness_of(services: Services) -> dict[str, Any]:
    """The body of /readyz: asks the model's server and writes to the store, within 3 s."""
    model, _ = services.chat.model(LLAMA)
    states = await asyncio.gather(_state(model.check()), _state(services.chat.store.check()))
    return {
        "ready": all(state == "ok" for state in states),
        "model": states[0],
        "store": states[1],
    }


async def _state(check: Any) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check
    except TimeoutError:
        return "timeout"
    except Unavailable as error:
        return error.code
    return "ok"
