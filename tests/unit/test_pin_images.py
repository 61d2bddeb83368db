"""Pinning images by digest, with a registry that is a script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker/Dockerfile", "docker/Dockerfile.libs", "docker-compose.yml",
         "docker-compose.monitoring.yml", "scripts/pin_images.py")  # fmt: skip
#: Answers each image's name with a digest made of it; knows no grafana where it is told so.
DOCKER = """#!/bin/sh
case "$4" in $UNKNOWN) echo "no such image" >&2; exit 1 ;; esac
echo "sha256:$(printf %s "$4" | sha256sum | cut -c1-64)"
"""


def run(folder: Path, unknown: str = "") -> subprocess.CompletedProcess[str]:
    program = folder / "bin" / "docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(DOCKER)
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, str(folder / "scripts" / "pin_images.py")],
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "UNKNOWN": unknown},
        capture_output=True,
        text=True,
        check=False,
    )


def copied(folder: Path) -> list[Path]:
    """The project's own files, below `folder`."""
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return [folder / name for name in FILES[:-1]]


def test_every_image_is_pinned(tmp_path: Path) -> None:
    """Tag and digest, once, however often it runs; what stands behind stays."""
    files = copied(tmp_path)
    for _ in range(2):
        done = run(tmp_path)
        assert done.returncode == 0, done.stderr
    for file in files:
        lines = [
            s for s in file.read_text().splitlines() if s.lstrip().startswith(("FROM ", "image:"))
        ]
        assert lines
        assert all(line.count("@sha256:") == 1 for line in lines)
    assert " AS build" in files[0].read_text()
    assert "# 1.27.3 is the first" in files[2].read_text()


def test_an_unknown_image_changes_nothing(tmp_path: Path) -> None:
    """One digest that cannot be had, and no file is touched."""
    files = copied(tmp_path)
    before = [file.read_text() for file in files]
    done = run(tmp_path, unknown="grafana/*")
    assert done.returncode == 1
    assert "grafana/grafana:12.4.4" in done.stderr
    assert [file.read_text() for file in files] == before
