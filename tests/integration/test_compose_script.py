"""scripts/compose_test.sh on a machine that has no Docker engine and no lab script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.waiting import HANG_S

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compose_test.sh"


@pytest.mark.parametrize(
    ("arguments", "ci", "status", "left_out"),
    [(["--if-possible"], "", 0, True), (["--if-possible"], "true", 1, False), ([], "", 1, False)],
)
def test_tests_with_containers_are_left_out_only_where_they_may_be(
    tmp_path: Path, arguments: list[str], ci: str, status: int, left_out: bool
) -> None:
    """As part of `make test` it says what it does not run; in CI, and when asked for, it fails."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, *arguments],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "COMPOSE_LAB_SCRIPT": str(tmp_path / "none.sh"),
            "CI": ci,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == status, done.stderr
    assert "no Docker engine runs here" in done.stderr
    assert ("NOT RUN: tests/compose" in done.stderr) is left_out
