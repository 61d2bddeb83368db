"""Run every side-by-side comparison and write docs/performance.md.

    python -m bench [NAME ...] [--quick]

Each comparison is a program of its own, so one that fails does not take the others along; its
earlier figures then stay in the document, which says when each was measured.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.claims import Claim
from bench.stack import ROOT

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
RESULTS = ROOT / "bench" / "results.json"
DOCUMENT = ROOT / "docs" / "performance.md"

#: Name -> command; in the order of the document.
COMPARISONS = {
    "startup": ["bench/startup.py"],
    "through": ["-m", "bench.through"],
    "multi_turn": ["-m", "bench.multi_turn"],
    "predecessor": ["-m", "bench.predecessor"],
    "overhead": ["-m", "bench.overhead"],
    "gateway": ["bench/gateway.py"],
    "storage": ["bench/storage.py"],
    "waiting": ["-m", "bench.waiting"],
}


def claims_of(name: str, found: Any) -> list[dict[str, Any]]:
    """The claims in a comparison's own JSON."""
    if isinstance(found, list):
        return found
    if name == "startup":
        ratio = found["ratio"]
        claim = Claim(
            "second start of everything / the bare engine's loading of the model",
            ratio["median"],
            ratio["min"],
            ratio["max"],
            found["pairs"],
            "pairs",
            "<= 3",
            f"group {found['group_s']}, engine {found['engine_s']} (seconds)",
        )
        return [asdict(claim)]
    if name == "gateway":
        ways = found["ways"]
        return [
            asdict(
                Claim(
                    f"milliseconds that the gateway adds, {way}",
                    figures["p50_ms"],
                    figures["p50_ms"],
                    figures["p95_ms"],
                    found["n"],
                    "requests (median, and p95 as the upper end)",
                    "<= 2",
                    f"nginx {found['nginx']}",
                )
            )
            for way, figures in ways.items()
            if "adds" in way or "minus" in way or "overhead" in way
        ]
    return [
        asdict(
            Claim(
                f"{row['comparison']}, {row['operation']}",
                row["ratio"],
                row["ratio_min"],
                row["ratio_max"],
                found.get("runs", 95),
                "runs",
                "<= 1.3",
                f"{row['small_ms']} ms and {row['large_ms']} ms",
            )
        )
        for row in found["results"]
    ]


def document(results: dict[str, Any]) -> str:
    lines = [
        "# Performance",
        "",
        "Written by `make bench`. Every claim is a ratio of two things that one run measured side by side; absolute times "
        "belong to the machine they were taken on and are there for scale only.",
        "",
        f"Model: {MODEL}. The spread is the smallest and the largest of the pairs, rounds or blocks that a comparison names.",
        "",
    ]
    for name, command in COMPARISONS.items():
        result = results.get(name)
        if result is None:
            continue
        lines += [
            f"## {name}",
            "",
            f"`python {' '.join(command)}` · {result['when']} · {result['machine']}",
            "",
        ]
        lines += ["| what | ratio | spread | n | goal | |", "|---|---|---|---|---|---|"]
        for body in result["claims"]:
            claim = Claim(**body)
            mark = {True: "met", False: "**not met**", None: ""}[claim.met]
            lines.append(
                f"| {claim.title} | {claim.ratio:.3f} | {claim.low:.3f} to {claim.high:.3f} | "
                f"{claim.n} {claim.unit} | {claim.goal.replace('<=', '≤').replace('>=', '≥')} | {mark} |"
            )
        notes = list(dict.fromkeys(body["detail"] for body in result["claims"] if body["detail"]))
        lines += ["", *[f"- {note}" for note in notes], ""]
    return "\n".join(lines)


def machine() -> str:
    load = os.getloadavg()[0]
    return f"{len(os.sched_getaffinity(0))} × {platform.machine()}, load {load:.1f} before the run"


def main() -> int:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = []
    for name in names or COMPARISONS:
        where = machine()
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, *COMPARISONS[name], "--json", file.name]
            sys.stderr.write(f"== {name}\n")
            done = subprocess.run(command, cwd=ROOT, check=False)
            text = Path(file.name).read_text()
        if done.returncode != 0 or not text:
            failed.append(name)
            continue
        results[name] = {
            "when": dt.date.today().isoformat(),
            "machine": where,
            "claims": claims_of(name, json.loads(text)),
        }
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        DOCUMENT.write_text(document(results), "utf-8")
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
