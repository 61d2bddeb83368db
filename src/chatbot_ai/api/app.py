"""The application factory: one assistant's HTTP interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot_ai import __version__
from chatbot_ai.api import (
    characters,
    chat,
    conversation_answers,
    conversations,
    error_responses,
    openai_compat,
    openapi,
    operations,
    streaming,
)
from chatbot_ai.api.caller import Gate, payer_of
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.middleware import (
    LIMIT_HEADERS,
    BodyLimit,
    CrashAnswer,
    ReadableRequest,
    RequestContext,
)
from chatbot_ai.api.services import ApiOptions, Services
from chatbot_ai.domain.errors import CallerLeft, ChatbotError
from chatbot_ai.domain.limits import UPLOAD_BYTES
from chatbot_ai.messages import read_table

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]

TITLES = {"office": "ChatBot AI: office", "character": "ChatBot AI: character"}
DESCRIPTION = """Errors are JSON: `{"error": {"code", "message", "request_id"}}`, the message in
Korean or, with `Accept-Language: en`, in English. 429 and 503 always carry `Retry-After`. A path
that is not here is 404, a method that a path does not have 405.

Where keys are configured every call but those of health and documentation needs one, as
`Authorization: Bearer` or `X-API-Key`; `X-RateLimit-…` headers tell what is left of its limits."""

#: A page of a listed origin may send any header: clients such as OpenAI's add their own.
CORS_REQUEST_HEADERS = ("*",)
#: What it may read of our answers.
CORS_ANSWER_HEADERS = (
    "Content-Disposition", "Idempotent-Replayed", "Location", "Retry-After", "Server-Timing",
    "X-AI-Generated", "X-Backup-Answer", "X-Model", "X-Queue-Position", "X-Queue-Wait",
    "X-Request-ID", "X-Stream-Id", "X-Turn", "X-Warnings", *LIMIT_HEADERS,
)  # fmt: skip


def create_app(options: ApiOptions, open_services: OpenServices, metrics: Metrics) -> FastAPI:
    """Make the application; `open_services` is entered when it starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state.services = services
            try:
                yield
            finally:
                await services.streams.close()

    app = FastAPI(
        title=TITLES[options.assistant],
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # with the caller's Host, and without the gateway's prefix
    )
    app.state.options, app.state.metrics = options, metrics
    app.state.readiness = operations.ReadinessCache()
    error_responses.install_error_handlers(app)
    for area in ("api", "cards"):
        read_table(area)  # now, not from the disk within the first error

    @app.exception_handler(CallerLeft)
    async def _left(_request: Request, _error: CallerLeft) -> Response:
        # nobody reads this; 499 is nginx's own number for it and shows in the log
        return Response(status_code=499)

    routers = [
        chat.OWN[options.assistant],
        operations.router,
        openapi.router,
        conversations.router,
        conversation_answers.ROUTERS[options.assistant],
        openai_compat.router,
        streaming.router,
    ]
    if options.assistant == "character":
        routers += [characters.router]
    # last, as /{model} takes every other POST
    routers.append(chat.OTHERS[options.assistant])
    openapi.complete_document(app)
    for router in routers:
        app.include_router(router)
    app.state.api_routes = [route for router in routers for route in router.routes]

    def body_limit(path: str) -> int:
        is_upload = options.assistant == "character" and f"{path}/".startswith(
            f"{characters.PATH}/"
        )
        return max(options.max_body_bytes, UPLOAD_BYTES if is_upload else 0)

    async def crashed(scope: Scope, receive: Receive, send: Send) -> None:
        answer = error_responses.build_plain_response(
            500, "internal_error", Request(scope, receive)
        )
        await answer(scope, receive, send)

    def refused(scope: Scope, error: ChatbotError) -> ASGIApp:
        return error_responses.build_error_response(error, Request(scope))

    # the last added is the outermost
    app.add_middleware(CrashAnswer, answer=crashed)
    app.add_middleware(BodyLimit, limit_of=body_limit, caller_of=payer_of, refuse=refused)
    app.add_middleware(Gate, refuse=refused)
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_ANSWER_HEADERS,
        )
    app.add_middleware(ReadableRequest, refuse=refused)
    # again, for what those between the two do not expect
    app.add_middleware(CrashAnswer, answer=crashed)
    app.add_middleware(RequestContext, prefix=options.prefix)
    return app
