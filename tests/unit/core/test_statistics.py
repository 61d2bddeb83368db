"""What requests leave behind in the figures."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.core import statistics as window_module
from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.core.prompt import PromptLengths
from chatbot_ai.core.record import RequestRecord, classify
from chatbot_ai.core.statistics import SHORTEST_S, STEP, WINDOW_S, Histogram, Statistics, percentile
from chatbot_ai.domain.errors import (
    AdmissionRejected,
    BackendRateLimited,
    CallerLimited,
    ContextTooLong,
    DeadlineExceeded,
    StoreUnavailable,
    UnknownModel,
)
from chatbot_ai.domain.generation import Finished, Usage
from chatbot_ai.domain.persona import Persona
from support.clocks import FakeClock
from support.scripted_model import ScriptedModel

ANSWERED = RequestRecord(
    "answered",
    "m",
    total_s=2.0,
    queue_s=0.5,
    first_token_s=0.7,
    prompt_tokens=100,
    cached_tokens=80,
    completion_tokens=20,
    generation_s=1.0,
)


def figures(window: dict[str, object], name: str) -> dict[str, float]:
    found = window[name]
    assert isinstance(found, dict)
    return found


def test_nothing_yet() -> None:
    """Before the first request every figure is there, and none is a guess."""
    stats = Statistics(FakeClock())
    totals, window = stats.since_start(), stats.window()
    assert (totals["total_requests"], totals["avg_response_time"]) == (0, 0.0)
    assert totals["success_rate"] == 100.0
    assert window["requests"] == 0
    assert figures(window, "total_s") == {"p50": 0.0, "p95": 0.0, "p99": 0.0}


def test_totals_and_window_are_computed_from_the_records() -> None:
    """Means, shares and percentiles are those of what was recorded."""
    clock = FakeClock()
    stats = Statistics(clock)
    clock.advance(100)
    for number in range(1, 21):
        stats.observe(replace(ANSWERED, total_s=float(number)))
    totals, window = stats.since_start(), stats.window()
    assert totals["avg_response_time"] == 10.5
    assert totals["cache_hit_share"] == 0.8
    assert figures(window, "total_s") == {"p50": 10.0, "p95": 19.0, "p99": 20.0}
    assert window["tokens_per_second"] == 20.0
    assert window["tokens_per_second_all"] == 4.0
    assert window["requests_per_hour"] == 720.0
    assert window["seconds"] == 100.0


def test_success_counts_only_what_the_service_could_do() -> None:
    """Callers that left, erred or were over their limit lower no success rate."""
    stats = Statistics(FakeClock())
    for outcome, times in (("answered", 6), ("failed", 1), ("refused", 1), ("cancelled", 5)):
        for _ in range(times):
            stats.observe(replace(ANSWERED, outcome=outcome))  # type: ignore[arg-type]
    stats.observe(replace(ANSWERED, outcome="invalid"))
    stats.observe(replace(ANSWERED, outcome="limited"))
    assert stats.since_start()["success_rate"] == 75.0
    assert stats.window()["success_rate"] == 75.0
    assert stats.since_start()["total_requests"] == 15


def test_the_window_forgets_and_the_totals_do_not() -> None:
    """After 15 minutes a request is in the totals only."""
    clock = FakeClock()
    stats = Statistics(clock)
    stats.observe(ANSWERED)
    assert stats.window()["requests"] == 1
    clock.advance(WINDOW_S + 1)
    assert stats.window()["requests"] == 0
    assert stats.since_start()["answered"] == 1


def test_a_flood_of_refusals_pushes_nothing_out() -> None:
    """However many are turned away, the answers of 15 minutes stay in the window, and each refusal
    is counted in it until it is as old."""
    clock = FakeClock()
    stats = Statistics(clock)
    refused = RequestRecord("refused", "m", 0.0, 0.0, None, error_code="busy")
    limited = RequestRecord("limited", "", 0.0, 0.0, None, error_code="rate_limited")
    clock.advance(10)
    stats.observe(ANSWERED)
    for _ in range(600):
        clock.advance(1)
        for _ in range(50):
            stats.observe(refused)
        stats.observe(limited)
    window = stats.window()
    assert (window["answered"], window["refused"], window["limited"]) == (1, 30_000, 600)
    assert window["causes"] == {"busy": 30_000, "rate_limited": 600}
    assert window["seconds"] == 610.0
    assert figures(window, "queue_s")["p99"] == 0.5
    clock.advance(WINDOW_S - 300)
    window = stats.window()
    assert (window["answered"], window["limited"]) == (0, 301)
    clock.advance(WINDOW_S)
    assert stats.window()["requests"] == 0


def test_more_answers_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the window is as long as those reach back: rates stay right, and it says so."""
    monkeypatch.setattr(window_module, "WINDOW_REQUESTS", 100)
    clock = FakeClock()
    stats = Statistics(clock)
    for _ in range(400):
        clock.advance(1)
        stats.observe(ANSWERED)
        stats.observe(RequestRecord("refused", "m", 0.0, 0.0, None))
    window = stats.window()
    assert (window["answered"], window["seconds"], window["refused"]) == (100, 99.0, 100)
    assert window["requests_per_hour"] == pytest.approx(3600, rel=0.02)


def test_totals_have_percentiles_and_speeds() -> None:
    """Since the start as in the window: within a bucket's 5 %, and speeds as they are."""
    clock = FakeClock()
    stats = Statistics(clock)
    clock.advance(100)
    for number in range(1, 21):
        stats.observe(replace(ANSWERED, total_s=float(number)))
    clock.advance(WINDOW_S * 4)
    totals = stats.since_start()
    assert totals["total_s"] == pytest.approx({"p50": 10.0, "p95": 19.0, "p99": 20.0}, rel=0.05)
    assert totals["queue_s"] == pytest.approx({"p50": 0.5, "p95": 0.5, "p99": 0.5}, rel=0.05)
    assert totals["first_token_s"]["p50"] == pytest.approx(0.7, rel=0.05)
    assert totals["tokens_per_second"] == 20.0
    assert totals["tokens_per_second_all"] == round(400 / 3700, 2)


def test_waits_that_ended_in_a_timeout_count() -> None:
    """The queue's percentiles are those of all who stood in it, also of who was not answered."""
    stats = Statistics(FakeClock())
    stats.observe(ANSWERED)
    stats.observe(replace(ANSWERED, outcome="failed", queue_s=60.0, first_token_s=None))
    stats.observe(replace(ANSWERED, outcome="refused", queue_s=0.0, first_token_s=None))
    assert figures(stats.window(), "queue_s") == {"p50": 0.5, "p95": 60.0, "p99": 60.0}
    assert stats.since_start()["queue_s"]["p95"] == pytest.approx(60.0, rel=0.05)
    assert figures(stats.window(), "total_s")["p99"] == 2.0


@given(st.lists(st.floats(0, 3600), min_size=1), st.floats(0.01, 1))
def test_a_histogram_tells_percentiles_within_its_step(values: list[float], share: float) -> None:
    """Never too low, at most one bucket too high, never above the longest."""
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    exact, told = percentile(sorted(values), share), histogram.percentile(share)
    assert exact <= told <= max(exact * STEP * (1 + 1e-9), SHORTEST_S)
    assert told <= max(values)


def test_polling_computes_once_a_second() -> None:
    """A summary is given out again for a second, then made anew."""
    clock = FakeClock()
    stats = Statistics(clock)
    first = stats.window()
    stats.observe(ANSWERED)
    assert stats.window() is first
    clock.advance(1.01)
    assert stats.window()["requests"] == 1


def test_recent_errors_are_newest_first_and_few() -> None:
    """The last twenty codes are kept, without those that were the caller's doing."""
    clock = FakeClock(unix_s=50.0)
    stats = Statistics(clock)
    for number in range(30):
        clock.advance(1)
        stats.observe(replace(ANSWERED, outcome="failed", error_code=f"e{number}"))
    stats.observe(replace(ANSWERED, outcome="invalid", error_code="theirs"))
    errors = stats.recent_errors()
    assert [e["code"] for e in errors] == [f"e{n}" for n in range(29, 9, -1)]
    assert errors[0]["at"] == 80.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_percentile_is_a_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    """Nearest rank: a value of the list, with at least that share at or below it."""
    found = percentile(sorted(values), share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, "answered"),
        (CallerLimited("tokens_per_day", 1), "limited"),
        (AdmissionRejected("x"), "refused"),
        (UnknownModel("x", ()), "invalid"),
        (ContextTooLong(2, 1), "invalid"),
        (GeneratorExit(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (DeadlineExceeded("queue"), "failed"),
        (BackendRateLimited("x"), "failed"),
        (StoreUnavailable("x"), "failed"),
        (RuntimeError(), "failed"),
    ],
)
def test_outcomes(error: BaseException | None, expected: str) -> None:
    """Every way to end has one outcome."""
    assert classify(error) == expected


def test_a_record_of_a_broken_answer_counts_its_waste() -> None:
    """Without an end the tokens were wasted, and an unknown failure has a code all the same."""
    model = ScriptedModel(name="m")
    exchange = Exchange(
        request=ChatRequest("x", "kim", 1e9),
        model=model,
        persona=Persona("office", "A", "B"),
        lengths=PromptLengths(model),
        answer_tokens=64,
        limit_tokens=1000,
        started=0.0,
        tokens=7,
    )
    record = exchange.to_record(RuntimeError(), 5.0)
    assert (record.wasted_tokens, record.completion_tokens) == (7, 7)
    assert (record.error_code, record.ended_at, record.model) == ("internal_error", 5.0, "m")
    exchange.finished = Finished("stop", Usage(3, 2, 9), "other", backup=True)
    exchange.timings.generation_s = 1.5
    answered = exchange.to_record(None, 5.0)
    assert (answered.wasted_tokens, answered.completion_tokens, answered.backup) == (0, 9, True)
    assert (answered.model, answered.generation_s) == ("other", 1.5)
    assert "text" not in answered.log_fields()
