"""Locust, installed when a load test asks for it, and the key that a load test sends."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot_ai.cli import loadtest
from chatbot_ai.cli.loadtest import ensure_locust
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.tools.loadtest.run import KEY_VARIABLE, LoadPlan, run
from support.scripted_gateway import answer, gateway

KEY = "ck-load-1234567890"


def checkout(folder: Path, script: str) -> Path:
    path = folder / "scripts" / "setup.sh"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def test_locust_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Nothing is installed, and nothing is said."""
    said: list[str] = []
    ensure_locust(said.append, checkout(tmp_path, "exit 1"))
    assert said == []


def test_missing_locust_is_installed_from_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkout's own script is asked once, for this very environment, with one line said."""
    told = tmp_path / "told"
    repository = checkout(tmp_path / "tree", f'echo "$1 $VENV" >{told}')
    monkeypatch.setattr(loadtest, "is_locust_installed", told.exists)
    said: list[str] = []
    ensure_locust(said.append, repository)
    ensure_locust(said.append, repository)
    assert told.read_text().split() == ["loadtest", sys.prefix]
    assert len(said) == 1


def test_what_pip_says_is_shown_when_locust_cannot_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure carries its reason and the command to do it by hand."""
    monkeypatch.setattr(loadtest, "is_locust_installed", lambda: False)
    with pytest.raises(ConfigurationError, match=r"no network(.|\n)*loadtest\.lock"):
        ensure_locust(lambda _: None, checkout(tmp_path, "echo no network >&2; exit 1"))
    with pytest.raises(ConfigurationError, match="pip install"):
        ensure_locust(lambda _: None, tmp_path / "elsewhere")


def test_the_lock_of_load_tests_agrees_with_the_others() -> None:
    """It adds to the runtime's packages and changes none, and the tests run what it names."""
    folder = Path(__file__).resolve().parents[2] / "requirements"

    def pins(name: str) -> set[str]:
        lines = (folder / f"{name}.lock").read_text(encoding="utf-8").splitlines()
        return {line.split()[0] for line in lines if "==" in line and line[0].isalnum()}

    assert pins("runtime") < pins("loadtest") < pins("dev")


def test_a_key_is_sent_and_written_nowhere(tmp_path: Path) -> None:
    """Every request carries it; neither the file, the page nor the command line has it."""
    environment = {**os.environ, KEY_VARIABLE: KEY}
    plan = LoadPlan(
        "office", tmp_path, users=2, duration_s=2, spawn_rate=2, environment=environment
    )
    commands: set[str] = set()

    def look(*_: object) -> None:
        commands.add(
            subprocess.run(
                ["ps", "-o", "args=", "--ppid", str(os.getpid())],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )

    with gateway(lambda _: answer()) as server:
        path = run(replace(plan, host=server.url), look)
        sent = {asked.authorization for asked in server.asked}
    assert sent == {f"Bearer {KEY}"}
    assert any("locust" in command for command in commands)
    assert not any(KEY in command for command in commands)
    assert KEY not in path.read_text(encoding="utf-8")
    assert KEY not in repr(plan)
