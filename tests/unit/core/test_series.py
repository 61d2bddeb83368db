"""The series of the last 15 minutes, on a clock of the test's own."""

from __future__ import annotations

from chatbot_ai.core.record import Outcome, RequestRecord
from chatbot_ai.core.statistics import POINT_ANSWERS, POINT_S, POINTS, Series
from support.clocks import FakeClock

BEGAN = 1_800_000_000.0


def clock_at_a_point() -> FakeClock:
    return FakeClock(unix_s=BEGAN)


def ended(series: Series, outcome: Outcome = "answered", total_s: float = 2.0) -> None:
    series.observe(RequestRecord(outcome, "m", total_s, 1.0, None, completion_tokens=10))


def test_point_counts_what_ended_in_it() -> None:
    """Outcomes, tokens, times and the highest load stand in the point of their time."""
    clock = clock_at_a_point()
    series = Series(clock)
    for total_s in (1.0, 2.0, 9.0):
        ended(series, total_s=total_s)
    ended(series, "refused", total_s=0.0)
    series.observe_load(2, 5)
    series.observe_load(3, 1)
    clock.advance(POINT_S)
    ended(series, "failed")
    first, second = series.points()
    assert (first["at"], second["at"]) == (BEGAN, BEGAN + POINT_S)
    assert (first["answered"], first["refused"], first["tokens"]) == (3, 1, 40)
    assert (first["p50_s"], first["p95_s"], first["queue_p50_s"]) == (2.0, 9.0, 1.0)
    assert (first["running"], first["waiting"]) == (3, 5)
    assert (second["failed"], second["p50_s"], second["running"]) == (1, None, 0)


def test_quiet_times_are_points_too() -> None:
    """Nothing happened is told as zeros, and at most 15 minutes are kept."""
    clock = clock_at_a_point()
    series = Series(clock)
    ended(series)
    clock.advance(4 * POINT_S)
    assert [point["answered"] for point in series.points()] == [1, 0, 0, 0, 0]
    clock.advance(2 * POINTS * POINT_S)
    ended(series)
    assert [point["answered"] for point in series.points()] == [1]
    clock.advance((POINTS + 10) * POINT_S // 2)
    assert len(series.points()) <= POINTS


def test_clock_that_was_set_back_loses_nothing() -> None:
    """After a step back requests count in the newest point."""
    clock = clock_at_a_point()
    series = Series(clock)
    clock.advance(-3600)
    ended(series)
    assert [(point["at"], point["answered"]) for point in series.points()] == [(BEGAN, 1)]


def test_flood_is_counted_but_not_remembered() -> None:
    """However many requests end in one point, it keeps a bounded number of times."""
    series = Series(clock_at_a_point())
    for _ in range(POINT_ANSWERS * 3):
        ended(series)
    (point,) = series.points()
    assert point["answered"] == POINT_ANSWERS * 3
    assert len(series._points[-1].total_s) == POINT_ANSWERS
