"""The claims as docs/performance.md and as the table that `make bench` prints at its end."""

from __future__ import annotations

from typing import Any

from bench.claims import Claim
from chatbot_ai.server.engines import DEMO_MODEL

INTRODUCTION = f"""# Performance

Written by `make bench` from what it measured; do not edit.

A value with `×` is a ratio of two things that one run measured side by side: it says how our way
stands to the other, whatever the machine. Values in seconds, milliseconds, percent or mere counts
are what they say, and belong to the machine that they were taken on. The value is the median
unless the row says otherwise (p95); its spread is named with it. *No data* means that the run gave
nothing to judge, which never counts as met.

Unless a row says otherwise the model is `{DEMO_MODEL.rsplit("/", 1)[-1]}` on the processor alone.
"""

HEAD = "| what | value | spread | goal | | how it was |\n|---|---|---|---|---|---|"

#: What each comparison sets side by side, for readers of the document.
PURPOSE = {
    "startup": "What a start costs beyond loading the model.",
    "through": "The same eight streams through everything of ours and straight to the same engine.",
    "multi_turn": "Long conversations, interleaved: whether a later turn is as quick as an early one.",
    "predecessor": "Ten-turn role-plays through our stack, and in the way of ChatBot AI v1.7.4: one "
    "llama-cpp-python worker, one request at a time.",
    "leaving": "How long a slot stays taken after its caller has closed the connection, through nginx.",
    "threads": "How the engine's threads wait for each other, on an idle and on a busy machine.",
    "overhead": "What a request costs beside the model: our stack and LiteLLM's proxy before one fake "
    "endpoint.",
    "gateway": "What nginx adds to a request.",
    "page": "What the first look at the chat page weighs, and how soon its first text shows.",
    "storage": "Whether a turn's cost grows with its conversation or with the store. The server of "
    "the MongoDB rows is SecantusDB, which speaks MongoDB's wire protocol; it is not mongod.",
    "waiting": "What waiting users are told and what they get.",
    "hostile_grammar": "How long a JSON schema within the limits holds the engine that all share.",
    "worst_case": "What one request of 1 MiB does to a service, by how it was made: how long it holds "
    "the event loop, of the service's own work, and what memory stays with the service.",
    "flood": "How long one user waits while another has 50 requests open.",
}


def document(results: dict[str, Any], order: list[str]) -> str:
    """The whole document; comparisons that were never tried are named at its end."""
    lines = [INTRODUCTION]
    for name in order:
        if name in results:
            lines += section(name, results[name])
    missing = [name for name in order if not results.get(name, {}).get("claims")]
    if missing:
        lines += [f"Not measured yet: {', '.join(missing)}.", ""]
    return "\n".join(lines)


def section(name: str, result: dict[str, Any]) -> list[str]:
    lines = [f"## {name}", "", PURPOSE[name], ""]
    if failure := result.get("failed"):
        still = "the figures below are older" if result["claims"] else "there are no figures"
        lines += [f"**The last run failed ({_circumstances(failure)}); {still}.**", ""]
    if not result["claims"]:
        return lines
    options = " ".join(["python -m bench", name, *result["options"]])
    lines += [f"`{options}` · {_circumstances(result)}", "", HEAD]
    for body in result["claims"]:
        claim = Claim(**body)
        mark = {"": "", "met": "met"}.get(claim.judgement, f"**{claim.judgement}**")
        cells = [claim.title, claim.value_text(), claim.spread_text(), claim.goal_text(), mark]
        lines.append("| " + " | ".join([*cells, claim.detail.replace("|", "\\|")]) + " |")
    return [*lines, ""]


def _circumstances(where: dict[str, str]) -> str:
    commit = where["commit"]
    changed = ", with changes" if commit.endswith("+") else ""
    return (
        f"{where['when']} · {where['machine']} · commit {commit.rstrip('+') or 'unknown'}{changed}"
    )


def table(found: list[tuple[str, list[Claim]]]) -> str:
    """One line a claim, for a terminal."""
    rows = [
        (name, claim.title, claim.value_text(), claim.goal_text(), claim.judgement)
        for name, claims in found
        for claim in claims
    ]
    rows.insert(0, ("comparison", "what", "value", "goal", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines) + "\n"
