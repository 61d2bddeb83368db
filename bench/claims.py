"""One measured claim: two things taken side by side in one run, or a count, a time or a share."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

#: ratio    how many times one side is of the other
#: s, ms    a time that is held against its goal as it is
#: count    how many there were
#: share    of a whole, 0 to 1
Kind = Literal["ratio", "s", "ms", "count", "share"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What was measured, how it spreads, and the goal it is held against.

    value   None where the run gave nothing to judge: never met, however mild the goal
    low     and high: the ends of the spread, which `spread` names
    n       of `unit`, which the value comes from
    goal    "<= 1.3" or ">= 4", in the value's own unit; "" where there is none
    detail  what else a reader needs to judge the value, in words
    """

    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    goal: str = ""
    detail: str = ""
    kind: Kind = "ratio"
    spread: str = "least to most"

    @property
    def met(self) -> bool | None:
        """None without a goal; a claim without data is not met."""
        if not self.goal:
            return None
        if self.value is None or self.n < 1:
            return False
        sign, limit = self.goal.split()
        return self.value <= float(limit) if sign == "<=" else self.value >= float(limit)

    @property
    def judgement(self) -> str:
        if self.value is None or self.n < 1:
            return "no data"
        return {True: "met", False: "not met", None: ""}[self.met]

    def value_text(self) -> str:
        return "no data" if self.value is None else amount(self.value, self.kind)

    def spread_text(self) -> str:
        """The spread with its name, such as `0.91× to 1.08× (least to most of 5 rounds)`."""
        of = f"{self.n:,} {self.unit}"
        if self.low is None or self.high is None or self.kind == "count":
            return f"of {of}"
        ends = f"{amount(self.low, self.kind)} to {amount(self.high, self.kind)}"
        return f"{ends} ({self.spread} of {of})"

    def goal_text(self) -> str:
        if not self.goal:
            return ""
        sign, limit = self.goal.split()
        return f"{'≤' if sign == '<=' else '≥'} {amount(float(limit), self.kind)}"


def amount(value: float, kind: Kind) -> str:
    """A figure with its unit and about three digits that mean something."""
    match kind:
        case "count":
            return f"{value:,.0f}"
        case "share":
            return f"{100 * value:.1f} %"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{'×' if kind == 'ratio' else f' {kind}'}"


def paired(
    title: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    goal: str = "",
    detail: str = "",
    unit: str = "pairs",
) -> Claim:
    """The claim that first[i] / second[i] make: their median.

    A pair with a zero on either side measured nothing; it is left out, and the detail says so.
    """
    both = list(zip(first, second, strict=True))
    ratios = [a / b for a, b in both if a > 0 and b > 0]
    if len(ratios) < len(both):
        detail = f"{len(both) - len(ratios)} of {len(both)} {unit} without data; {detail}"
    return spread_of(title, ratios, goal=goal, detail=detail, unit=unit)


def spread_of(
    title: str,
    values: Sequence[float],
    *,
    goal: str = "",
    detail: str = "",
    unit: str,
    kind: Kind = "ratio",
) -> Claim:
    """The claim that the median of `values` makes; without any there is no data."""
    if not values:
        return no_data(title, goal=goal, detail=detail, unit=unit, kind=kind)
    return Claim(
        title,
        statistics.median(values),
        min(values),
        max(values),
        len(values),
        unit,
        goal,
        detail,
        kind,
    )


def count(title: str, found: int, *, of: int, unit: str, goal: str = "<= 0", detail: str) -> Claim:
    """How many of `of` there were; none of nothing is no data."""
    if of < 1:
        return no_data(title, goal=goal, detail=detail, unit=unit, kind="count")
    return Claim(title, found, None, None, of, unit, goal, detail, "count")


def no_data(title: str, *, goal: str, detail: str, unit: str, kind: Kind) -> Claim:
    return Claim(title, None, None, None, 0, unit, goal, detail, kind)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A comparison's parser; a program that is ended from now on stops what it has started."""
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write the claims there")
    return parser


def end_on_signal() -> None:
    """Let SIGTERM unwind the program like Ctrl-C, so that its `finally` parts are run."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def report(claims: Sequence[Claim], path: Path | None) -> None:
    """Print the claims, and write them for `python -m bench`."""
    for claim in claims:
        goal = f"; goal {claim.goal_text()}: {claim.judgement}" if claim.goal else ""
        sys.stdout.write(
            f"{claim.title}: {claim.value_text()}, {claim.spread_text()}{goal}\n  {claim.detail}\n"
        )
    if path is not None:
        path.write_text(json.dumps([asdict(claim) for claim in claims], indent=1) + "\n", "utf-8")
