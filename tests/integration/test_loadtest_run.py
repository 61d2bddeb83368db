"""Headless Locust runs in a child process against a real HTTP server."""

from __future__ import annotations

import csv
import json
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

import chatbot_ai.tools.loadtest.run as run_module
from chatbot_ai.cli.loadtest import loadtest
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.tools.loadtest.record import COLUMNS
from chatbot_ai.tools.loadtest.report import PAGE_NAME
from chatbot_ai.tools.loadtest.run import LoadPlan, LoadRunFailed, check, is_loopback, run
from support.scripted_gateway import Asked, Step, answer, gateway, refusal, stream, whole_stream


def mostly_answers(chance: random.Random) -> Callable[[Asked], Step]:
    def script(asked: Asked) -> Step:
        if chance.random() < 0.2:
            return refusal(*chance.choice([(503, "busy", "0"), (429, "rate_limited", "0")]))
        if "event-stream" in asked.accept:
            return whole_stream(portion_bytes=50)
        return answer()

    return script


def test_a_run_records_what_the_server_saw(tmp_path: Path) -> None:
    """Five seconds of five people give one row per request the server got, status by status."""
    seen: list[Counter[str]] = []
    plan = LoadPlan(
        "character", tmp_path, users=5, duration_s=5, spawn_rate=5, think_s=0.2, label="시험 1"
    )
    with gateway(mostly_answers(random.Random(3))) as server:
        path = run(
            replace(plan, host=server.url),
            lambda _, counts: seen.append(Counter(counts)),
        )
        asked, statuses = list(server.asked), Counter(server.statuses)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(asked) > 20
    assert Counter(int(row["status"]) for row in rows) == statuses
    assert {200, 429, 503} == set(statuses)
    assert {row["label"] for row in rows} == {"시험 1"}
    assert {row["user"] for row in rows} == {a.body["user_id"] for a in asked}
    assert len({row["user"] for row in rows}) == 5
    assert {row["mode"] for row in rows} == {"json", "stream"}
    assert Counter(row["mode"] for row in rows)["stream"] == sum(
        a.accept == "text/event-stream" for a in asked
    )
    assert max(int(row["users"]) for row in rows) == 5
    assert {"Rachel"} < {row["character"] for row in rows}
    assert all(float(row["total_s"]) >= float(row["first_token_s"] or 0) for row in _streams(rows))
    repeated = [row for row in rows if row["retries"] != "0"]
    assert repeated
    assert sum(row["is_final"] == "0" for row in rows) >= len(repeated)
    assert sum(seen[-1].values()) <= len(rows)
    assert len(seen) > 3


def _streams(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["mode"] == "stream" and row["outcome"] == "answered"]


def test_requests_open_at_the_end_are_recorded(tmp_path: Path) -> None:
    """A request that outlives the test and its grace is in the file as abandoned."""
    endless = stream(*[b": keep-alive\n\n"] * 600, portion_bytes=14, pause_s=0.1)
    with gateway(lambda _: endless) as server:
        plan = LoadPlan(
            "office", tmp_path, host=server.url, users=2, duration_s=1, spawn_rate=2,
            stream_share=1.0, grace_s=1,
        )  # fmt: skip
        path = run(plan)
        asked = len(server.asked)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["abandoned"] * asked
    assert asked == 2


def test_only_this_machine_is_tested_unasked(tmp_path: Path) -> None:
    """A host elsewhere is refused before anything is sent, and so is a door nobody opens."""
    with pytest.raises(ConfigurationError):
        check(LoadPlan("office", tmp_path, host="http://192.0.2.7:8001"))
    with pytest.raises(ConfigurationError):
        check(LoadPlan("office", tmp_path, host="ftp://localhost"))
    with pytest.raises(ConfigurationError):
        check(LoadPlan("office", tmp_path, users=0))
    with pytest.raises(ConfigurationError):
        check(LoadPlan("office", tmp_path, spawn_rate=float("nan")))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigurationError):
            check(LoadPlan("office", tmp_path, host=f"http://127.0.0.1:{held.getsockname()[1]}"))
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert not is_loopback("192.0.2.7")
    assert list(tmp_path.iterdir()) == []


def test_a_locust_that_fails_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Locust gives up, here for want of such people, the end of its own log comes along."""
    monkeypatch.setattr(run_module, "_PEOPLE", {"office": "NobodyKnown"})
    with gateway(lambda _: answer()) as server, pytest.raises(LoadRunFailed) as caught:
        run(LoadPlan("office", tmp_path, host=server.url, duration_s=1))
    assert "NobodyKnown" in caught.value.log


def test_the_command_writes_table_file_and_page(tmp_path: Path) -> None:
    """The command runs, prints the figures and names a CSV file and the page it wrote."""
    app = Typer()
    app.command()(loadtest)
    with gateway(mostly_answers(random.Random(1))) as server:
        result = CliRunner().invoke(
            app,
            ["office", "--users", "3", "--minutes", "0.04", "--spawn-rate", "3", "--think", "0.1",
             "--host", server.url, "--out", str(tmp_path), "--label", "-[red]밤 시험"],
        )  # fmt: skip
        asked = len(server.asked)
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.glob("office_*.csv")
    assert path.read_text(encoding="utf-8-sig").count("\n") == asked + 1
    text = (tmp_path / PAGE_NAME).read_text(encoding="utf-8")
    assert json.dumps(path.stem) in text
    assert "-[red]밤 시험" in result.output


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    """A plan that cannot run ends with exit code 2 and leaves no file."""
    app = Typer()
    app.command()(loadtest)
    result = CliRunner().invoke(
        app, ["office", "--host", "http://192.0.2.7", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert "--allow-remote" in result.output
    assert not (tmp_path / "out").exists()


def test_locust_stays_out_of_this_process() -> None:
    """Importing the command does not import Locust, whose patches would reach everything here."""
    code = "import sys, chatbot_ai.cli.loadtest; print('locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_top_level_locust_files_load() -> None:
    """`locust -f loadtest/NAME.py` finds the people of each scenario."""
    folder = Path(__file__).parents[2] / "loadtest"
    for name, people in (("office", "OfficePerson"), ("character", "CharacterPerson")):
        done = subprocess.run(
            [sys.executable, "-m", "locust", "-f", str(folder / f"{name}.py"), "--list"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert people in done.stdout + done.stderr
