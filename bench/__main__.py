"""Run every side-by-side comparison and write docs/performance.md.

    python -m bench [NAME ...] [--quick] [OPTION ...]

--quick runs each comparison small, to see that it works; its figures are printed and not kept.
Any further option goes to the one comparison that is named (`python -m bench waiting --users 15`);
the document then shows it. Each comparison is a program of its own, so one that fails does not
take the others along: its earlier figures stay in the document, marked as such.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.claims import Claim, end_on_signal
from bench.document import document, table
from bench.stack import ROOT

RESULTS = ROOT / "bench" / "results.json"
DOCUMENT = ROOT / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program of this package and what makes it small."""

    name: str
    quick: tuple[str, ...]

    def command(self, options: list[str]) -> list[str]:
        return ["-m", f"bench.{self.name}", *options]


#: In the order of the document.
COMPARISONS = {
    name: Comparison(name, tuple(shlex.split(quick)))
    for name, quick in {
        "startup": "--pairs 1",
        "through": "--rounds 1 --streams 2",
        "multi_turn": "--conversations 2 --turns 3",
        "predecessor": "--rounds 1 --users 2 --turns 2",
        "threads": "--rounds 1 --tokens 16",
        "leaving": "--rounds 1",
        "overhead": "--requests 50",
        "gateway": "--requests 100",
        "page": "--visits 2",
        "storage": "--turns 20000 --runs 10",
        "waiting": "--users 6 --minutes 0.2",
        "flood": "--questions 3",
        "worst_case": "'huge headers'",
        "hostile_grammar": "--schemas 3",
    }.items()
}


def run(comparison: Comparison, options: list[str]) -> list[dict[str, Any]] | None:
    """The claims of one comparison; None where it failed."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, *comparison.command(options), "--json", file.name]
        child = subprocess.Popen(command, cwd=ROOT)
        try:
            child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        text = Path(file.name).read_text("utf-8")
    if child.returncode != 0 or not text:
        return None
    found: list[dict[str, Any]] = json.loads(text)
    return found


def circumstances() -> dict[str, str]:
    """When, on what machine and with which state of the code something was measured."""
    load = os.getloadavg()[0]
    return {
        "when": dt.date.today().isoformat(),
        "machine": f"{len(os.sched_getaffinity(0))} × {platform.machine()}, load {load:.1f} before",
        "commit": commit(),
    }


def commit() -> str:
    """The checked-out commit, with a + where files differ from it; empty outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    written = [f":!{path.relative_to(ROOT)}" for path in (RESULTS, DOCUMENT)]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--quick", action="store_true", help="small; keeps no figures")
    # a comparison's own options come behind the names: what follows the first of them is its own
    own = next((i for i, a in enumerate(sys.argv) if a.startswith("-") and a not in _OURS), None)
    chosen = parser.parse_args(sys.argv[1:own])
    options = sys.argv[own:] if own else []
    if unknown := [name for name in chosen.names if name not in COMPARISONS]:
        parser.error(
            f"no such comparison: {', '.join(unknown)}; there are {', '.join(COMPARISONS)}"
        )
    if options and len(chosen.names) != 1:
        parser.error(f"{options[0]}: options of a comparison need its name, and only that one")
    printed: list[tuple[str, list[Claim]]] = []
    failed: list[str] = []
    for name in chosen.names or COMPARISONS:
        sys.stderr.write(f"== {name}\n")
        here = circumstances()
        given = [*(COMPARISONS[name].quick if chosen.quick else ()), *options]
        claims = run(COMPARISONS[name], given)
        # read only now: another run may have ended meanwhile
        results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        if claims is None:
            failed.append(name)
            if not chosen.quick:
                results.setdefault(name, {"claims": []})["failed"] = here
        else:
            printed.append((name, [Claim(**claim) for claim in claims]))
            if not chosen.quick:
                results[name] = {**here, "options": options, "claims": claims}
        if not chosen.quick:
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
            DOCUMENT.write_text(document(results, list(COMPARISONS)), "utf-8")
    sys.stdout.write(table(printed))
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


_OURS = ("-h", "--help", "--quick")

if __name__ == "__main__":
    sys.exit(main())
