"""The benchmarks' own judgement: nothing is met by accident, and figures carry their units."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from bench.__main__ import COMPARISONS
from bench.claims import Claim, amount, count, paired, spread_of
from bench.document import PURPOSE, document, table
from bench.flood import flood_claims
from bench.patience import Visit
from bench.storage import result
from bench.waiting import Crowd, crowd_claims, wait_error


def seen(status: int, outcome: str, *, total_s: float = 1.0, queue_s: float = 0.0) -> Visit:
    return Visit("u", "c", 0.0, status, outcome, total_s, queue_s)


def by_end(claims: list[Claim], end: str) -> Claim:
    return next(claim for claim in claims if claim.title.endswith(end))


def test_every_comparison_says_what_it_is_for() -> None:
    """The document explains each one that `make bench` knows, and no other."""
    assert set(PURPOSE) == set(COMPARISONS)


def test_a_claim_without_data_is_never_met() -> None:
    """However mild the goal, nothing measured is 'no data'."""
    for claim in (
        count("lost", 0, of=0, unit="answers", detail=""),
        spread_of("refusal", [], goal="<= 0.1", unit="refusals", kind="s"),
        paired("speed", [0.0], [1.0], goal=">= 1"),
    ):
        assert claim.met is False
        assert claim.judgement == "no data"


def test_pairs_that_measured_nothing_are_left_out_and_named() -> None:
    """A zero on either side is no ratio."""
    claim = paired("first token", [1.0, 0.0, 3.0], [2.0, 1.0, 0.0], goal="<= 1")
    assert (claim.value, claim.n) == (0.5, 1)
    assert claim.detail.startswith("2 of 3 pairs without data")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1.234, "ratio", "1.23×"),
        (0.0352, "ms", "0.035 ms"),
        (12.34, "s", "12.3 s"),
        (3.0, "count", "3"),
        (0.257, "share", "25.7 %"),
    ],
)
def test_every_figure_carries_its_unit(value: float, kind: str, text: str) -> None:
    """A time does not stand there as a ratio."""
    assert amount(value, kind) == text  # type: ignore[arg-type]


def test_an_engine_that_is_down_is_no_refusal() -> None:
    """A 503 behind the door counts as a failure, and out of time as neither."""
    visits = [
        seen(200, "answered"),
        seen(503, "busy", total_s=0.01),
        seen(503, "model_unavailable", total_s=0.01),
        seen(503, "deadline_exceeded"),
    ]
    claims = crowd_claims(Crowd(15, 5.0, visits, lost=0), "a model")
    assert by_end(claims, "(engine, store)").value == 1
    assert by_end(claims, "out of time in the queue").value == 1
    assert by_end(claims, "time until a refusal").n == 1
    assert by_end(claims, "answers lost").met is True


def test_no_wait_is_dropped_for_being_short() -> None:
    """Only those who never stood in the queue are outside the error."""
    claim = wait_error("error", [(1.0, 0.5), (10.0, 10.0), (None, 3.0), (2.0, 2.0)])
    assert (claim.n, claim.value, claim.high) == (3, 0.0, 1.0)


def test_refusing_the_single_user_does_not_meet_the_goal_of_the_flood() -> None:
    """A quick 503 is no short wait; and without a flood nothing was shown."""
    alone = [seen(200, "answered")]
    flood = [seen(200, "answered", total_s=9.0, queue_s=6.0)]
    refused = flood_claims(alone, [seen(503, "busy", total_s=0.01)], flood, "a model")
    assert [claim.met for claim in refused] == [False, False]
    waited = [seen(200, "answered", total_s=5.9, queue_s=2.9)]
    assert [claim.met for claim in flood_claims(alone, waited, flood, "a model")[:2]] == [True] * 2
    assert flood_claims(alone, waited, [], "a model")[1].met is False


def test_the_flood_is_judged_by_the_long_waits_not_the_middle() -> None:
    """One wait in five that is too long is too many: longer than twice the one alone and the time
    that an answer takes beside the flood."""
    alone = [seen(200, "answered", queue_s=0.5)] * 5
    flood = [seen(200, "answered", total_s=9.0, queue_s=6.0)]
    for longest, met in ((3.9, True), (4.1, False)):
        beside = [seen(200, "answered", queue_s=s) for s in (1.0, 1.0, 1.0, 1.0, longest)]
        assert flood_claims(alone, beside, flood, "a model")[1].met is met


def test_a_machine_that_becomes_slower_is_no_cost_of_a_large_store() -> None:
    """Each run is set against the one beside it, and the value lies within its blocks' spread."""
    small = [1.0] * 47 + [4.0] * 48
    claim = result("store", "append", small, [1.2 * value for value in small[1:]] + [4.8])
    assert claim.value == pytest.approx(1.2)
    assert claim.value is not None
    assert claim.low is not None
    assert claim.high is not None
    assert claim.value is not None
    assert claim.low is not None
    assert claim.high is not None
    assert claim.low <= claim.value <= claim.high


def test_a_failed_comparison_is_marked_and_keeps_its_figures() -> None:
    """The reader sees that the figures are older than the last try."""
    claim = spread_of("start", [2.0, 2.5, 3.0], goal="<= 3", unit="pairs", detail="it was | so")
    here = {"when": "2026-11-25", "machine": "2 × x86_64", "commit": "abc1234+"}
    result = {**here, "options": ["--pairs", "3"], "claims": [asdict(claim)], "failed": here}
    text = document({"startup": result}, ["startup", "waiting"])
    assert "The last run failed (2026-11-25 · 2 × x86_64 · commit abc1234, with changes)" in text
    assert "`python -m bench startup --pairs 3`" in text
    assert "| start | 2.50× | 2.00× to 3.00× (least to most of 3 pairs) | ≤ 3.00× | met |" in text
    assert "| it was \\| so |" in text
    assert "Not measured yet: waiting." in text
    assert "start" in table([("startup", [claim])])
