"""One measured claim: a ratio of two things taken side by side in one run."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Claim:
    """What was compared, the ratio (median, smallest and largest of the pairs), and its goal.

    goal  "<= 1.3" or ">= 4": what the ratio is held against; "" where there is none
    """

    title: str
    ratio: float
    low: float
    high: float
    n: int
    unit: str
    goal: str = ""
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if not self.goal:
            return None
        sign, value = self.goal.split()
        return self.ratio <= float(value) if sign == "<=" else self.ratio >= float(value)


def paired(
    title: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    goal: str = "",
    detail: str = "",
    unit: str = "pairs",
) -> Claim:
    """The claim that first[i] / second[i] make."""
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return Claim(
        title, statistics.median(ratios), min(ratios), max(ratios), len(ratios), unit, goal, detail
    )


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="also write the claims there")
    return parser


def report(claims: Sequence[Claim], path: Path | None) -> None:
    """Print the claims, and write them for `python -m bench`."""
    for claim in claims:
        mark = {True: "met", False: "NOT MET", None: ""}[claim.met]
        sys.stdout.write(
            f"{claim.title}: {claim.ratio:.3f} ({claim.low:.3f} to {claim.high:.3f}, "
            f"n = {claim.n} {claim.unit}) {claim.goal} {mark}\n  {claim.detail}\n"
        )
    if path is not None:
        path.write_text(json.dumps([asdict(claim) for claim in claims], indent=1) + "\n", "utf-8")
