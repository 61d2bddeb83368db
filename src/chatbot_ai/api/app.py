"""The application factory: one assistant's HTTP interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from chatbot_ai import __version__
from chatbot_ai.api import chat, docs, errors, operations, status
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.metrics import router as metrics_router
from chatbot_ai.api.middleware import BodyLimit, RequestContext
from chatbot_ai.api.presence import CallerLeft
from chatbot_ai.api.services import ApiOptions, Services

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]

TITLES = {"office": "ChatBot AI: office", "character": "ChatBot AI: character"}
DESCRIPTION = """Errors are JSON: `{"error": {"code", "message", "request_id"}}`, the message in
Korean or, with `Accept-Language: en`, in English. 429 and 503 always carry `Retry-After`."""


def create_app(options: ApiOptions, open_services: OpenServices, metrics: Metrics) -> FastAPI:
    """Make the application; `open_services` is entered when it starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title=TITLES[options.assistant],
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.language = options.language
    errors.install(app)

    @app.exception_handler(CallerLeft)
    async def _left(_request: Request, _error: CallerLeft) -> Response:
        # nobody reads this; 499 is nginx's own number for it and shows in the log
        return Response(status_code=499)

    app.include_router(operations.router())
    app.include_router(status.router())
    app.include_router(metrics_router(metrics))
    docs.install(app, title=TITLES[options.assistant])
    # last, as /{model} would take every other POST
    app.include_router(chat.router(options))

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("app", app)
        request = Request(scope, receive)
        answer = errors.plain_error(
            413,
            "payload_too_large",
            request,
            {"Connection": "close"},
            limit=options.max_body_bytes,
        )
        await answer(scope, receive, send)

    # the last added is the outermost
    app.add_middleware(BodyLimit, limit_bytes=options.max_body_bytes, refuse=refuse)
    app.add_middleware(RequestContext, prefix=options.prefix)
    return app
