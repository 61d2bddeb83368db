"""What the audit of packages says of known vulnerabilities: found, none, or not checked."""

from __future__ import annotations

import stat
from pathlib import Path

import audit
import pytest

CLEAN = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'
SKIPPED = '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}'
KNOWN = (
    '{"dependencies": [{"name": "a", "version": "1", "vulns": '
    '[{"id": "PYSEC-1", "fix_versions": ["2"]}]}]}'
)


@pytest.mark.parametrize(
    ("said", "codes", "text"),
    [
        (CLEAN, (0, 0), ""),
        (KNOWN, (1, 1), "a 1: PYSEC-1, mended in 2"),
        (SKIPPED, (0, 1), "not checked: 1 of 1"),
        ("", (0, 1), "not checked, the advisories cannot be reached"),
    ],
)
def test_what_the_advisories_say(
    said: str, codes: tuple[int, int], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finding always fails; what could not be checked is said, and fails only where asked."""
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit 1\n", "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for arguments, expected in zip(([], ["--strict"]), codes, strict=True):
        assert audit.main([*arguments, f"--program={program}"]) == expected
        assert text in capsys.readouterr().out
