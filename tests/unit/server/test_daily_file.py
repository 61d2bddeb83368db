"""The daily log file: one a day, kept for a while, never in the way of a request."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot_ai.server.logs import DailyFile


class Zone(dt.tzinfo):
    """A time zone that can be moved to another day."""

    hours = -23

    def utcoffset(self, _when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=self.hours)

    def dst(self, _when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    def tzname(self, moment: dt.datetime | None) -> str:
        return "test"

    def today(self) -> dt.date:
        return dt.datetime.now(self).date()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_a_file_a_day(tmp_path: Path) -> None:
    """The file is named after the day in the operators' time zone and changes with it."""
    zone = Zone()
    log = DailyFile(tmp_path / "logs", "office", keep_days=14, zone=zone)
    first = tmp_path / "logs" / f"office_{zone.today()}.log"
    log.write("하나")
    log.write("둘")
    assert lines(first) == ["하나", "둘"]
    zone.hours = 23
    log.write("셋")
    assert lines(tmp_path / "logs" / f"office_{zone.today()}.log") == ["셋"]
    assert lines(first) == ["하나", "둘"]
    log.close()


def test_old_files_go(tmp_path: Path) -> None:
    """What is as old as the setting says is removed; other programs' files stay."""
    zone = Zone()
    today = zone.today()
    names = {
        f"office_{today - dt.timedelta(days=2)}.log": True,
        f"office_{today - dt.timedelta(days=3)}.log": False,
        f"office_{today - dt.timedelta(days=400)}.log": False,
        f"character_{today - dt.timedelta(days=400)}.log": True,
        "office_notes.log": True,
        "office_2020-13-40.log": True,
        "office.log": True,
    }
    for name in names:
        (tmp_path / name).write_text("x")
    log = DailyFile(tmp_path, "office", keep_days=3, zone=zone)
    log.write("x")
    log.close()
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Lines are lost, the caller is not; when the folder is back, lines are kept again."""
    blocked = tmp_path / "logs"
    blocked.write_text("a file where the folder should be")
    log = DailyFile(blocked, "office", keep_days=3, zone=dt.UTC)
    log.write("lost")
    blocked.unlink()
    log.write("kept")
    log.close()
    assert [lines(path) for path in blocked.iterdir()] == [["kept"]]


@pytest.mark.parametrize("text", ["\ud800", "한글 👋", "\x00"])
def test_any_text_can_be_logged(tmp_path: Path, text: str) -> None:
    """No character makes logging fail."""
    log = DailyFile(tmp_path, "office", keep_days=3, zone=dt.UTC)
    log.write(text)
    log.close()
    assert sum(len(lines(path)) for path in tmp_path.iterdir()) == 1


SCRIPT = """
import logging, sys
from pathlib import Path
import structlog
from chatbot_ai.server import logs
from chatbot_ai.settings import load_config

config = load_config(None, log_dir=Path(sys.argv[1]), log_format=sys.argv[2])
daily = logs.configure("office", config.shared)
log = structlog.get_logger()
log.info("first.event", number=1, text="값")
log.debug("too.small")
logging.getLogger("httpx2").info("library chatter")
logging.getLogger("somebody").warning("plain %s", "record")
def crash(message):
    raise RuntimeError("it broke")
try:
    crash("비밀 message of a user")
except RuntimeError:
    log.exception("it.crashed")
daily.close()
"""


@pytest.mark.parametrize("form", ["json", "console", "none", "auto"])
def test_configured_logs(tmp_path: Path, form: str) -> None:
    """Events with their fields are one JSON line each in the file, whatever standard output shows;
    a traceback is there once and never holds the values of variables."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), form], capture_output=True, check=True
    )
    (path,) = tmp_path.glob("office_*.log")
    events = [json.loads(line) for line in lines(path)]
    assert [e["event"] for e in events] == ["first.event", "plain record", "it.crashed"]
    assert events[0] | {"time": ""} == {
        "event": "first.event", "level": "info", "number": 1, "text": "값", "time": "",
    }  # fmt: skip
    assert dt.datetime.fromisoformat(events[0]["time"]).tzinfo is not None
    assert "RuntimeError" in events[2]["exception"]
    output = ran.stdout.decode()
    assert ("first.event" in output) == (form != "none")
    assert "비밀" not in output
    assert "비밀" not in path.read_text("utf-8")
    if form in ("json", "auto"):
        shown = [json.loads(line) for line in output.splitlines()]
        assert [e | {"time": ""} for e in shown] == [e | {"time": ""} for e in events]
