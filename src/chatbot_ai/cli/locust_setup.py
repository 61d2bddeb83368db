"""Locust on demand: load tests are rare, so what serves people does not carry their packages."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings import process_environment

_REPOSITORY = Path(__file__).resolve().parents[3]
_BY_HAND = (
    "Locust is not installed; install it with: "
    "pip install --require-hashes --no-deps -r requirements/loadtest.lock"
)


def ensure_locust(say: Callable[[str], None], repository: Path = _REPOSITORY) -> None:
    """Install Locust from its hashed lock into this environment, unless it is there.

    Only an environment of its own is touched, from a checkout that has the lock; anywhere else,
    and when pip fails, ConfigurationError says what to do.
    """
    if is_installed():
        return
    script = repository / "scripts" / "setup.sh"
    if sys.prefix == sys.base_prefix or not script.is_file() or not os.access(sys.prefix, os.W_OK):
        raise ConfigurationError(_BY_HAND)
    say("Installing Locust from requirements/loadtest.lock, once")
    done = subprocess.run(
        [str(script), "loadtest"],
        env=process_environment() | {"VENV": sys.prefix, "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    importlib.invalidate_caches()
    if done.returncode != 0 or not is_installed():
        raise ConfigurationError(f"{done.stderr.strip()}\n{_BY_HAND}")


def is_installed() -> bool:
    return find_spec("locust") is not None
