"""Runs Locust without its web page in a child process, bounded in time, into one CSV file."""

from __future__ import annotations

import http.client
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.tools.loadtest.record import run_name

_PEOPLE: Mapping[Assistant, str] = {"office": "OfficePerson", "character": "CharacterPerson"}
#: Carries the API key to Locust's process, whose command line others can read.
KEY_VARIABLE = "LOADTEST_KEY"
#: What Locust may need to start and to leave beyond the test's own time.
_OVERHEAD_S = 30.0
_LOOK_UP_S = 0.5
_LOG_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One run. `grace_s` is what requests under way get to finish when the time is over.

    spawn_rate is people per second; stream_share and think_s as in the Locust file's options;
    allow_remote permits hosts that are not this machine; environment is what Locust's process gets,
    KEY_VARIABLE with an API key to send among it; None means what this process has.
    """

    assistant: Assistant
    out: Path
    host: str = "http://localhost:8001"
    users: int = 15
    duration_s: float = 300.0
    spawn_rate: float = 1.0
    stream_share: float = 0.5
    think_s: float = 1.0
    max_retries: int = 3
    request_timeout_s: float = 300.0
    grace_s: float = 60.0
    label: str = ""
    allow_remote: bool = False
    environment: Mapping[str, str] | None = field(default=None, repr=False)


class LoadRunFailed(ConfigurationError):
    """Locust did not run to its end; `log` is the end of what it wrote."""

    def __init__(self, reason: str, log: str = "") -> None:
        super().__init__(reason)
        self.log = log


def run(plan: LoadPlan, progress: Callable[[float, Counter[str]], None] | None = None) -> Path:
    """Runs the plan and returns the CSV file, which is complete then.

    `progress` hears about twice a second the seconds since the start and how many requests had
    which outcome. Raises `ConfigurationError` before anything runs when the plan cannot be
    carried out, `LoadRunFailed` when Locust fails or outlives its time; rows written until then
    stay in their file.
    """
    check(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    path = _new_path(plan)
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            _command(plan, path),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=plan.environment,
        )
        try:
            _wait(child, plan, path, progress)
        finally:
            _stop(child)
        if child.returncode != 0 or not path.exists():
            raise LoadRunFailed(f"Locust ended with {child.returncode}", _tail(log))
    return path


def check(plan: LoadPlan) -> None:
    """Raises `ConfigurationError` with a sentence for the operator when the plan cannot run."""
    parts = urlsplit(plan.host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--host must be an http address, not {plan.host!r}")
    if plan.users < 1 or not (plan.duration_s > 0 and plan.spawn_rate > 0):
        raise ConfigurationError("--users, --minutes and --spawn-rate must be above 0")
    if not 0 <= plan.stream_share <= 1:
        raise ConfigurationError("--stream-share must be between 0 and 1")
    if not plan.allow_remote and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{parts.hostname} is not this machine. A load test can bring a server down; "
            "add --allow-remote if that server is yours to test"
        )
    _check_door(plan.host)


def is_loopback(name: str) -> bool:
    """Whether every address of `name` is this machine's loopback."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)


def _check_door(host: str) -> None:
    parts = urlsplit(host)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise ConfigurationError(
            f"nothing answers at {host} ({type(error).__name__}); start the services first"
        ) from error
    finally:
        connection.close()


def _new_path(plan: LoadPlan) -> Path:
    """Names carry whole seconds: a second run within one waits for the next."""
    while (path := plan.out / f"{run_name(plan.assistant, datetime.now())}.csv").exists():
        time.sleep(0.1)
    return path


def _command(plan: LoadPlan, path: Path) -> list[str]:
    people = Path(__file__).with_name("users.py")
    return [
        sys.executable, "-m", "locust", "-f", str(people), _PEOPLE[plan.assistant],
        "--headless", "--only-summary", "--exit-code-on-error", "0",
        "--host", plan.host,
        "--users", str(plan.users),
        "--spawn-rate", str(plan.spawn_rate),
        "--run-time", f"{max(1, round(plan.duration_s))}s",
        "--stop-timeout", f"{max(0, round(plan.grace_s))}s",
        "--records", str(path),
        "--stream-share", str(plan.stream_share),
        "--think-s", str(plan.think_s),
        "--max-retries", str(plan.max_retries),
        "--request-timeout-s", str(plan.request_timeout_s),
        f"--run-label={plan.label}",
    ]  # fmt: skip


def _wait(
    child: subprocess.Popen[bytes],
    plan: LoadPlan,
    path: Path,
    progress: Callable[[float, Counter[str]], None] | None,
) -> None:
    begun = time.monotonic()
    bound_s = plan.duration_s + plan.grace_s + _OVERHEAD_S
    tally = _Tally(path)
    while child.poll() is None:
        elapsed_s = time.monotonic() - begun
        if elapsed_s > bound_s:
            raise LoadRunFailed(f"Locust did not end within {bound_s:.0f} s")
        if progress is not None:
            progress(elapsed_s, tally.read())
        time.sleep(_LOOK_UP_S)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and whatever it started; harmless when it has ended."""
    for how, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        if child.poll() is not None:
            return
        os.killpg(child.pid, how)
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_TAIL_BYTES))
    return log.read().decode("utf-8", errors="replace")


class _Tally:
    """Counts outcomes in a growing CSV file, reading only what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._counts: Counter[str] = Counter()

    def read(self) -> Counter[str]:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                cells = line.split(b",", 6)  # the columns before `outcome` are never quoted
                if len(cells) > 6 and cells[5] != b"outcome":
                    self._counts[cells[5].decode()] += 1
        return self._counts
