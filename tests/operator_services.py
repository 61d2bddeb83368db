"""Both real services without an engine, behind a real nginx, where access is by three keys."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import uvicorn

from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import Unauthorized
from chatbot_ai.gateway.config import render
from chatbot_ai.gateway.options import GatewayOptions
from chatbot_ai.gateway.process import (
    check_config,
    command,
    end_workers,
    nginx_binary,
    worker_user,
)
from chatbot_ai.server.compose import build_app
from chatbot_ai.server.group import DASHBOARD_FOLDER, NGINX_FOLDER
from chatbot_ai.settings import Config, Settings
from chatbot_ai.settings.assistant import CharacterSettings, OfficeSettings

START_S = 30.0
OPERATOR, USER = "the-operators-key", "a-users-key"


class ThreeKeys:
    """Knows the operator's key and one user's; everything else is unauthorized."""

    def admit(self, headers: Mapping[str, str], address: str) -> Principal:
        match headers.get("x-api-key"):
            case "the-operators-key":
                return Principal("backend", key_id="operator")
            case "a-users-key":
                return Principal("user", key_id="user", user_id="u1")
            case _:
                raise Unauthorized("no such key")

    def headers(self, principal: Principal) -> Mapping[str, str]:
        return {}

    def spent(self, principal: Principal, tokens: int) -> None:
        return None


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(assistant: Assistant, folder: Path) -> Iterator[str]:
    """One real service whose engine is away; yields its HOST:PORT."""
    away = f"http://127.0.0.1:{free_port()}"
    config = Config(
        shared=Settings(
            _env_file=None,  # type: ignore[call-arg]
            data_dir=folder / "data",
            log_dir=folder / "logs",
            prompt_dir=NGINX_FOLDER.parent / "prompt",
        ),
        office=OfficeSettings(engine_url=away),
        character=CharacterSettings(engine_url=away),
    )
    app = build_app(assistant, config)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until(lambda: server.started)
    app.state.services = replace(app.state.services, access=ThreeKeys())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(START_S)


@contextmanager
def gateway(folder: Path, upstreams: Mapping[str, str]) -> Iterator[str]:
    """nginx with the dashboard in front of these services; reports lie in `folder`/reports."""
    run, reports = folder / "run", folder / "reports"
    for made in (run, reports):
        made.mkdir(parents=True, exist_ok=True)
    options = GatewayOptions(
        office_upstream=upstreams["office"],
        character_upstream=upstreams["character"],
        run_folder=run,
        page_folder=NGINX_FOLDER,
        dashboard_folder=DASHBOARD_FOLDER,
        reports_folder=reports,
        access_log=str(folder / "access.log"),
        port=free_port(),
        loopback_only=True,
        worker_user=worker_user(NGINX_FOLDER, DASHBOARD_FOLDER, run, reports),
    )
    conf = run / "nginx.conf"
    conf.write_text(render(options), encoding="utf-8")
    binary = nginx_binary()
    check_config(binary, conf)
    process = subprocess.Popen(command(binary, conf), start_new_session=True)
    url = f"http://127.0.0.1:{options.port}"
    try:
        until(lambda: _answers(f"{url}/healthz"))
        yield url
    finally:
        process.terminate()
        process.wait(START_S)
        end_workers(process.pid)


@contextmanager
def keyed_services(folder: Path) -> Iterator[str]:
    """The gateway's address; both services behind it want a key."""
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(service(name, folder / name)) for name in ASSISTANTS}
        yield stack.enter_context(gateway(folder, upstreams))


def until(condition: Callable[[], bool]) -> None:
    """Return once `condition()` is true; fails after START_S."""
    end = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
