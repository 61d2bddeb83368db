"""Writes `visualization.html`: one page, no network, from a folder's load-test CSV files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from chatbot_ai.tools.loadtest.figures import (
    Band,
    by_concurrency,
    causes,
    composition,
    histogram,
    over_time,
    overview,
    waits,
)
from chatbot_ai.tools.loadtest.record import OUTCOMES, Record, Run, in_flight, read_runs

_Item = TypeVar("_Item")

PAGE_NAME = "visualization.html"
_PARTS = Path(__file__).with_name("page")
_SCRIPTS = ("messages.js", "drawing.js", "charts.js", "panels.js", "page.js")
#: The page draws at most this many single requests of a run, and says so; figures use all.
_MAX_POINTS = 1500
#: Older runs than these stay in their CSV files only.
_MAX_RUNS = 40


def write_report(folder: Path, now: datetime | None = None) -> Path:
    """Write the page from all CSV files in `folder`, atomically, and return its path."""
    runs, skipped = read_runs(folder)
    path = folder / PAGE_NAME
    fresh = path.with_suffix(".html.new")
    fresh.write_text(page(runs, skipped, now), encoding="utf-8")
    return fresh.replace(path)


def page(runs: Sequence[Run], skipped: Sequence[str] = (), now: datetime | None = None) -> str:
    """The whole page as text; `skipped` names files that held no requests."""
    data = {
        "generated": (now or datetime.now()).astimezone().isoformat(timespec="seconds"),
        "outcomes": OUTCOMES,
        "skipped": list(skipped),
        "left_out": max(0, len(runs) - _MAX_RUNS),
        "runs": [_run(run) for run in runs[-_MAX_RUNS:]],
    }
    style = (_PARTS / "page.css").read_text(encoding="utf-8")
    scripts = [(_PARTS / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    script = "\n".join(["(() => {", "'use strict';", *scripts, "})();"])
    text = (_PARTS / "page.html").read_text(encoding="utf-8")
    pieces = {
        "@STYLE_HASH@": _hash(style),
        "@SCRIPT_HASH@": _hash(script),
        "@STYLE@": style,
        "@SCRIPT@": script,
        "@DATA@": embed_json(data),
    }
    for name, piece in pieces.items():  # the data comes last, so nothing in it is replaced
        text = text.replace(name, piece)
    return text


def embed_json(value: object) -> str:
    """JSON that is safe inside a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _run(run: Run) -> Mapping[str, object]:
    counts = in_flight(run.records)
    pairs = list(zip(counts, run.records, strict=True))
    views = {"all": _view(run, pairs)}
    modes = {record.mode for record in run.records}
    if len(modes) > 1:
        for mode in sorted(modes):
            views[mode] = _view(run, [pair for pair in pairs if pair[1].mode == mode])
    return {
        "name": run.name,
        "label": run.label,
        "started": run.started.isoformat(timespec="seconds"),
        "endpoints": sorted({record.endpoint for record in run.records if record.endpoint}),
        "peak": max(counts),
        "views": views,
    }


def _view(run: Run, pairs: Sequence[tuple[int, Record]]) -> Mapping[str, object]:
    records = [record for _, record in pairs]
    width, counts = histogram(records)
    parts = composition(records)
    told = waits(records)
    return {
        "overview": {k: _round(v) for k, v in asdict(overview(records)).items()},
        "points": _points(run, records),
        "over_time": [_band(band) for band in over_time(records, run.started)],
        "histogram": {"width": width, "counts": counts},
        "composition": [_round(part) for part in parts] if parts else None,
        "causes": causes(records),
        "concurrency": [_band(band) for band in by_concurrency(pairs)],
        "waits": [[_round(a), _round(b)] for a, b in thin_out(told, _MAX_POINTS)],
    }


def _points(run: Run, records: Sequence[Record]) -> list[list[object]]:
    """[seconds since the run began, response seconds, index of the outcome] of single requests."""
    timed = [r for r in records if r.total_s is not None]
    return [
        [
            _round((r.time - run.started).total_seconds()),
            _round(r.total_s),
            OUTCOMES.index(r.outcome),
        ]
        for r in thin_out(timed, _MAX_POINTS)
    ]


def thin_out(items: Sequence[_Item], limit: int) -> list[_Item]:
    """At most `limit` of the items, evenly spread, in their order."""
    if len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def _band(band: Band) -> list[object]:
    return [_round(v) for v in (band.low, band.high)] + [
        band.answers,
        *(_round(v) for v in (band.p5_s, band.p50_s, band.p95_s)),
    ]


def _round(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
