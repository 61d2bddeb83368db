"""Running one assistant's service."""

from __future__ import annotations

import uvicorn

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.server import logs
from chatbot_ai.server.compose import build_app
from chatbot_ai.server.guard import refuse_unguarded
from chatbot_ai.server.http import BoundedHttp
from chatbot_ai.settings import Config

#: Longer than the gateway keeps an idle connection, so that it never sends on one we just closed.
KEEP_ALIVE_S = 75
#: Seconds that answers under way get when the service is told to stop.
GRACEFUL_STOP_S = 2


def serve(assistant: Assistant, config: Config) -> None:
    """Serve until a signal. Raises ConfigurationError where a setting or persona is wrong."""
    settings = config.assistant(assistant)
    refuse_unguarded(config.shared)
    logs.configure(assistant, config.shared)
    app = build_app(assistant, config)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.service_port,
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
