"""GET /status: all that an operator's dashboard shows of one assistant, in one cheap answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from chatbot_ai import __version__
from chatbot_ai.api.access import Caller
from chatbot_ai.api.answering import CALLER_RESPONSES, document_error
from chatbot_ai.api.operations import performance_of, readiness_of
from chatbot_ai.api.services import Services, ServicesOf
from chatbot_ai.core.statistics import POINT_S
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import Forbidden

#: Seconds for which a look at model and store is given out again: it costs a write.
READINESS_FOR_S = 2.0


async def operator_of(principal: Caller) -> Principal:
    """Admit operators: the backend's key or, without keys, this machine. Raises Forbidden."""
    if principal.kind == "user":
        raise Forbidden("a user key does not see the service's state")
    return principal


def router() -> APIRouter:
    """The dashboard's routes of one assistant, for operators only."""
    routes = APIRouter(
        tags=["operation"],
        dependencies=[Depends(operator_of)],
        responses={
            **CALLER_RESPONSES,
            **document_error(403, "A user key."),
        },
    )
    readiness = _Readiness()

    @routes.get("/status")
    async def status(services: ServicesOf) -> JSONResponse:
        """The state of this assistant: figures, readiness, errors and the last 15 minutes."""
        figures, ready = await asyncio.gather(performance_of(services), readiness.of(services))
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

    @routes.get("/status/access", status_code=204)
    async def access() -> Response:
        """Whether the caller may see the dashboard's data; the gateway asks for its reports."""
        return Response(status_code=204)

    return routes


class _Readiness:
    """The last look at model and store, shared by all who ask within READINESS_FOR_S."""

    def __init__(self) -> None:
        self._looking = asyncio.Lock()
        self._until = 0.0
        self._found: dict[str, Any] = {}

    async def of(self, services: Services) -> dict[str, Any]:
        async with self._looking:
            if time.monotonic() >= self._until:
                self._found = await readiness_of(services)
                self._until = time.monotonic() + READINESS_FOR_S
            return self._found
