"""Both services as processes, without an engine, behind a real nginx, with real keys."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from chatbot_ai.access.ledger import FILE, KeyLedger
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.gateway.config import GatewayOptions, install_config
from chatbot_ai.gateway.nginx import (
    check_config,
    choose_worker_user,
    end_workers,
    find_nginx,
    nginx_command,
)
from chatbot_ai.server.gateway_spec import SITE_FOLDER, gateway_options
from chatbot_ai.settings import Settings
from support.waiting import HANG_S

ROOT = SITE_FOLDER
START_S = HANG_S


@dataclass(frozen=True, slots=True)
class Keyed:
    """Where something is that wants a key, and the text of two keys."""

    url: str
    operator: str
    user: str


def new_keys(data: Path) -> tuple[str, str]:
    """A backend's key and a user's, created in this data folder."""
    with KeyLedger(data / FILE) as ledger:
        _, operator = ledger.create("backend", name="operator", now=time.time())
        _, user = ledger.create("user", name="user", now=time.time(), user_id="u1")
    return operator, user


@contextmanager
def service(assistant: Assistant, data: Path) -> Iterator[str]:
    """One real service whose engine is away; yields its HOST:PORT."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "chatbot_ai.cli.main", "serve", assistant],
        cwd=data,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "DATA_DIR": str(data),
            "LOG_DIR": str(data / "logs"),
            "LOG_FORMAT": "none",
            "PROMPT_DIR": str(ROOT / "prompt"),
            "CHATBOT_PORT": str(port),
            "CHATBOT_ENGINE_URL": f"http://127.0.0.1:{free_port()}",
        },
    )
    try:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/healthz"))
        assert process.poll() is None
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START_S)


@contextmanager
def keyed_services(folder: Path) -> Iterator[Keyed]:
    """Both services behind the gateway, which finds load-test reports in `folder`/reports."""
    data, run, reports = folder / "data", folder / "run", folder / "reports"
    for made in (data, run, reports):
        made.mkdir()
    operator, user = new_keys(data)
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(service(name, data)) for name in ASSISTANTS}
        options = gateway_options(
            Settings(_env_file=None),
            office=upstreams["office"],
            character=upstreams["character"],
            listen_hosts=("127.0.0.1",),
            listen_port=free_port(),
            reports_folder=reports,
        )
        stack.enter_context(_nginx(options, run))
        yield Keyed(f"http://127.0.0.1:{options.listen_port}", operator, user)


@contextmanager
def _nginx(options: GatewayOptions, run: Path) -> Iterator[None]:
    conf = install_config(options, run)
    binary = find_nginx()
    check_config(binary, conf)
    pages = [SITE_FOLDER / name for name in ("nginx", "web", "dashboard")]
    user = choose_worker_user(*pages, run, options.reports_folder)
    with (run / "access.log").open("ab") as log:
        process = subprocess.Popen(
            nginx_command(binary, conf, user), start_new_session=True, stdout=log
        )
    try:
        until(lambda: answers(f"http://127.0.0.1:{options.listen_port}/healthz"))
        yield
    finally:
        process.terminate()
        process.wait(START_S)
        end_workers(process.pid)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a GET brings 200."""
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def until(condition: Callable[[], bool]) -> None:
    """Return once `condition()` is true; fails after START_S."""
    end = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
