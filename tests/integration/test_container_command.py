"""docker/chatbot-ai: what a container's process is given before Python starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

COMMAND = Path(__file__).resolve().parents[2] / "docker" / "chatbot-ai"
EXIT_CONFIGURATION = 78


def environment_of(folder: Path, **extra: str) -> dict[str, str]:
    """Run the command with a `python` that shows its environment."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text("#!/bin/sh\nenv\n")
    python.chmod(0o755)
    (folder / "libs" / "libs-1").mkdir(parents=True)
    (folder / "libs" / "current").symlink_to("libs-1")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [COMMAND, "serve"],
        env={"PATH": path, "LIBS_DIR": str(folder / "libs"), **extra},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("published", "trusted"),
    [("127.0.0.1", "true"), ("::1", "true"), ("::", None), ("192.168.0.5", None), ("", None)],
)
def test_callers_without_a_key_are_served_only_behind_loopback(
    tmp_path: Path, published: str, trusted: str | None
) -> None:
    """Where the gateway is published decides; nothing said counts as published."""
    shown = environment_of(tmp_path, GATEWAY_HOST=published)
    assert shown.get("TRUST_UNKEYED_CALLERS") == trusted


def test_what_the_operator_says_about_keys_counts(tmp_path: Path) -> None:
    """TRUST_UNKEYED_CALLERS=false keeps out even callers of this machine."""
    shown = environment_of(tmp_path, GATEWAY_HOST="127.0.0.1", TRUST_UNKEYED_CALLERS="false")
    assert shown["TRUST_UNKEYED_CALLERS"] == "false"


def test_a_process_keeps_the_libraries_it_began_with(tmp_path: Path) -> None:
    """PYTHONPATH names the folder itself, not the link that an upgrade switches."""
    shown = environment_of(tmp_path, GATEWAY_HOST="")
    assert shown["PYTHONPATH"].split(":")[-1] == str(tmp_path / "libs" / "libs-1")


def test_an_empty_volume_is_a_configuration_error(tmp_path: Path) -> None:
    """The exit code says that starting again will not help."""
    environment = {"PATH": os.environ["PATH"], "LIBS_DIR": str(tmp_path)}
    done = subprocess.run([COMMAND], env=environment, capture_output=True, check=False)
    assert done.returncode == EXIT_CONFIGURATION
