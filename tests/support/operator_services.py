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
from chatbot_ai.gateway.config import render
from chatbot_ai.gateway.options import GatewayOptions
from chatbot_ai.gateway.process import (
    check_config,
    command,
    end_workers,
    nginx_binary,
    worker_user,
)
from chatbot_ai.server.group import DASHBOARD_FOLDER, NGINX_FOLDER
from support.waiting import HANG_S

ROOT = NGINX_FOLDER.parent
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
        stack.enter_context(_nginx(options))
        yield Keyed(f"http://127.0.0.1:{options.port}", operator, user)


@contextmanager
def _nginx(options: GatewayOptions) -> Iterator[None]:
    conf = options.run_folder / "nginx.conf"
    conf.write_text(render(options), encoding="utf-8")
    binary = nginx_binary()
    check_config(binary, conf)
    process = subprocess.Popen(command(binary, conf), start_new_session=True)
    try:
        until(lambda: answers(f"http://127.0.0.1:{options.port}/healthz"))
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
