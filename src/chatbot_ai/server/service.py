"""Running one assistant's service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.messages import Language, get_message
from chatbot_ai.server import logs
from chatbot_ai.server.compose import build_app
from chatbot_ai.server.guard import refuse_unguarded
from chatbot_ai.server.http import BoundedHttp
from chatbot_ai.server.listeners import bind_file, open_port
from chatbot_ai.settings import Config, find_slips

log = structlog.get_logger()

#: Longer than the gateway keeps an idle connection, so that it never sends on one we just closed.
KEEP_ALIVE_S = 75
#: Seconds that answers under way get when the service is told to stop.
GRACEFUL_STOP_S = 2


#: Characters of a reason that was not foreseen.
REASON_CHARS = 300


class StartWatch:
    """The application, remembering why it could not start.

    uvicorn knows only that a start failed, and logs a traceback for an error that was raised on
    purpose, such as a store that is not there.
    """

    def __init__(self, app: ASGIApp, language: Language) -> None:
        self._app, self._language = app, language
        self.failure: ChatbotError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        asyncio.get_running_loop().set_exception_handler(logs.log_loop_error)

        async def send_without_traceback(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                message = {"type": message["type"], "message": ""}
            await send(message)

        try:
            await self._app(scope, receive, send_without_traceback)
        except ChatbotError as error:
            self.failure = error
        except Exception as error:  # the edge of the process: uvicorn ends it, and keeps no reason
            self.failure = explain_crash(error, self._language)


def explain_crash(error: Exception, language: Language) -> ChatbotError:
    """The one sentence for what nobody foresaw; the log has the places that it came through."""
    log.error("service.crashed_at_start", exc_info=error)
    reason = " ".join(logs.hide_keys(f"{type(error).__name__}: {error}").split())[:REASON_CHARS]
    return ChatbotError(get_message("cli.serve.crashed", language, reason=reason))


def serve(
    assistant: Assistant,
    config: Config,
    port_fd: int | None = None,
    file: Path | None = None,
    file_user: int | None = None,
) -> None:
    """Serve until a signal. Raises ConfigurationError where a setting or persona is wrong, and
    another ChatbotError where something that a service cannot start without is down.

    port_fd    an inherited socket that listens on the service's port; None opens the port
    file       a socket file to listen on as well, which `file_user`, a number, may connect to
    """
    settings = config.assistant(assistant)
    refuse_unguarded(config.shared)
    logs.configure(assistant, config.shared)
    for slip in find_slips(config):
        log.warning(f"settings.{slip.code}", **slip.facts)
    setting = f"{assistant.upper()}_PORT"
    sockets = [
        open_port(settings.host, settings.service_port, setting, listen=False)
        if port_fd is None
        else socket.socket(fileno=port_fd)
    ]
    if file is not None:
        sockets.append(bind_file(file, os.geteuid() if file_user is None else file_user))
    language = config.shared.terminal_language
    try:
        app = StartWatch(build_app(assistant, config), language)
    except ChatbotError:
        raise
    except Exception as error:  # the edge of the process
        raise explain_crash(error, language) from None
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=BoundedHttp,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACEFUL_STOP_S,
        )
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has stopped in order by then
            server.run(sockets)
    except SystemExit:
        if app.failure is not None:
            raise app.failure from None
        raise
