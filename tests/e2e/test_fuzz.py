"""Calls that nobody thought of: the short form of `make fuzz`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz_check.py"
#: About 10 calls of each operation; on a slow machine as many as the seconds allow.
REQUESTS, SECONDS = 640, 90


@pytest.mark.timeout(SECONDS + 420)
def test_no_call_finds_a_fault() -> None:
    """No 500, no undocumented status, no error in another form, no hang, no restart."""
    # a process of its own: the library's plugin and hooks stay out of this one
    command = [sys.executable, str(SCRIPT), "--requests", str(REQUESTS), "--seconds", str(SECONDS)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS + 400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = re.search(r"(\d+) drawn", done.stdout)
    assert drawn is not None
    assert int(drawn[1]) > REQUESTS / 10, done.stdout
