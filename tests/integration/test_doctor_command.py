"""`doctor` as a process: words for people, JSON for programs, an exit code for both."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from chatbot_ai.messages import read_table
from chatbot_ai.models.library import FileState
from chatbot_ai.tools import doctor
from chatbot_ai.tools.doctor.check import Check, Finding, ok, run_checks
from chatbot_ai.tools.doctor.machine import BROKEN
from support.gguf_files import small_gguf
from support.waiting import HANG_S

CODE = """
import sys
from dataclasses import replace
from pathlib import Path
from chatbot_ai.cli import doctor
from chatbot_ai.tools.doctor.plan import Plan
from chatbot_ai.models.library import ModelLibrary
folder, nginx, *arguments = sys.argv[1:]
root = Path(folder)
plan = Plan(
    ModelLibrary(root / "models"), root / "data", root / "logs", {"office": 0},
    models={"office": "mine.gguf"}, nginx_binary=nginx, services=0,
    mongodb_url=None, has_google_key=True, has_search_engine_id=True,
)
doctor.plan_checks = lambda config, *, compose: replace(plan, compose=compose)
doctor.app(arguments)
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a model file and a program that answers as nginx does."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.gguf").write_bytes(small_gguf())
    nginx = tmp_path / "nginx"
    nginx.write_text("#!/bin/sh\necho 'nginx version: nginx/1.28.0' >&2\n")
    nginx.chmod(0o755)
    return tmp_path


def run(machine: Path, *arguments: str, nginx: str = "nginx") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(machine), str(machine / nginx), *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
        env={**os.environ, "PATH": "/nowhere", "LANG": "C.UTF-8", "COLUMNS": "200"},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def states(report: dict[str, Any]) -> dict[str, str]:
    return {finding["check"]: finding["state"] for finding in report["findings"]}


def test_a_machine_in_order_ends_with_zero(machine: Path) -> None:
    """Every check reports, none fails, and nothing is left behind."""
    status, out = run(machine, "--json")
    report = json.loads(out)
    assert status == 0
    assert report["state"] in {"ok", "warn"}
    expected = "python cpu kernel memory disk gpu docker model port nginx database keys folder"
    assert set(states(report)) >= set(expected.split())
    assert all(finding["message"] for finding in report["findings"])
    assert sorted(path.name for path in machine.iterdir()) == ["models", "nginx"]


def test_a_failure_ends_with_one_and_a_remedy(machine: Path) -> None:
    """Something that does not work makes the exit code 1 and says how to mend it."""
    (machine / "models" / "mine.gguf").write_bytes(b"<html>")
    status, out = run(machine, "--json", nginx="missing")
    report = json.loads(out)
    assert (status, report["state"]) == (1, "fail")
    failed = {one["code"]: one for one in report["findings"] if one["state"] == "fail"}
    assert set(failed) == {"model_broken", "nginx_missing"}
    assert all(one["remedy"] for one in failed.values())


def test_compose_needs_a_machine_and_no_programs_of_its_own(machine: Path) -> None:
    """With --compose Docker must be there, and what containers bring is not looked for."""
    status, out = run(machine, "--json", "--compose", nginx="missing")
    report = json.loads(out)
    failed = [one["code"] for one in report["findings"] if one["state"] == "fail"]
    assert (status, failed) == (1, ["docker_missing"])
    assert {"cpu", "kernel", "gpu", "model", "port"} <= set(states(report))
    assert not {"python", "nginx", "database", "folder"} & set(states(report))


def test_people_read_it_in_their_language(machine: Path) -> None:
    """The table is Korean by default and English on request."""
    _, korean = run(machine)
    _, english = run(machine, "--lang", "en")
    assert "파이썬" in korean
    assert "Python" in english
    assert not any("가" <= letter <= "힣" for letter in english)


def test_a_slow_or_broken_check_does_not_hide_the_others() -> None:
    """Each becomes a warning in its place, in the order of the checks."""
    release = threading.Event()

    def hang() -> list[Finding]:
        release.wait()
        return []

    checks = [
        Check("gpu", hang),
        Check("disk", lambda: [ok("disk", "disk_ok")]),
        Check("cpu", lambda: [ok("cpu", str(1 // 0))]),
    ]
    with capture_logs() as events:
        found = run_checks(checks, time_limit_s=0.3)
    release.set()
    assert [(one.check, one.message) for one in found] == [
        ("gpu", "too_slow"),
        ("disk", "disk_ok"),
        ("cpu", "broke"),
    ]
    assert found[2].facts["cause"] == "ZeroDivisionError"
    assert [event["event"] for event in events] == ["doctor.check_broke"]


def said(source: Path) -> Iterator[tuple[str, str]]:
    """Yield every (check, message) that the module's findings are made with."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and len(node.args) >= 2:
            texts = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
            if isinstance(node.func, ast.Name) and node.func.id in {"ok", "warn", "fail", "found"}:
                check, *messages = [str(one.value) for one in texts if isinstance(one.value, str)]
                yield from ((check, message) for message in messages)


def test_every_finding_has_its_words_in_both_languages() -> None:
    """Each text is used by a check, each check has a name, and both languages agree in form."""
    table = read_table("doctor")
    texts = {key.removeprefix("finding."): table[key] for key in table if "finding." in key}
    names = {key.removeprefix("check.") for key in table if "check." in key}
    pairs = {pair for file in Path(doctor.__path__[0]).glob("*.py") for pair in said(file)}
    dynamic = {f"model_{state}" for state in FileState if state is not FileState.PRESENT}
    dynamic |= {*BROKEN.values(), "port_forbidden", "port_address", "too_slow", "broke"}
    dynamic |= {"setting_misnamed", "setting_cut", "file_open"}  # of settings/slips.py
    messages = {message for _, message in pairs} | dynamic
    assert set(texts) - messages == set()
    assert {one for one in messages if one.partition("_")[0] in names} - set(texts) == {"model_"}
    assert {check for check, _ in pairs} - {"too_slow", "broke"} == names
    for text in texts.values():
        assert len({t.count("\n") for t in text.values()}) == 1
