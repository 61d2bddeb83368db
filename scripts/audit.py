"""Ask for known vulnerabilities of the locked packages.

    scripts/audit.py [--strict]

Exits with 1 where one is known. Where the advisories cannot be reached, or a mirror does not know
a package, it says so and exits with 0, so that CI goes on without an index; with --strict that is
a failure too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("runtime.lock",)
#: Seconds for one answer of the index, and for all of them.
ANSWER_S, WHOLE_S = 3, 90


def command(program: str, lock: str) -> list[str]:
    options = ["--disable-pip", "--format=json", "--progress-spinner=off", f"--timeout={ANSWER_S}"]
    return [program, *options, "--requirement", str(ROOT / "requirements" / lock)]


def advisories(program: str, lock: str) -> list[dict[str, Any]] | None:
    """What is known of each package; None where the advisories cannot be reached."""
    try:
        done = subprocess.run(
            command(program, lock), capture_output=True, text=True, timeout=WHOLE_S, check=False
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return found


def judged(lock: str, found: list[dict[str, Any]] | None) -> tuple[list[str], str]:
    """Known vulnerabilities, and what was not checked ("" where everything was)."""
    if found is None:
        return [], f"{lock}: not checked, the advisories cannot be reached"
    known = [
        f"{lock}: {one['name']} {one['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for one in found
        for vulnerability in one.get("vulns", [])
    ]
    skipped = sum("skip_reason" in one for one in found)
    unchecked = f"{lock}: not checked: {skipped} of {len(found)} packages are unknown here"
    return known, unchecked if skipped else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="fail where not all was checked")
    beside = str(Path(sys.executable).with_name("pip-audit"))
    parser.add_argument("--program", default=beside, help="pip-audit")
    options = parser.parse_args(arguments)
    failed = False
    for lock in LOCKS:
        known, unchecked = judged(lock, advisories(options.program, lock))
        for line in known:
            sys.stdout.write(f"audit: {line}\n")
        if unchecked:
            sys.stdout.write(f"audit: {unchecked}\n")
        failed |= bool(known) or (options.strict and bool(unchecked))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
