"""How long an answer takes, learned from those before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.core.estimate import (
    LENGTHS,
    SPEEDS,
    TELLING_TOKENS,
    RunningAnswer,
    ServiceEstimate,
    ServiceSample,
)

SAMPLE = st.builds(ServiceSample, st.floats(0, 100), st.integers(0, 2000), st.floats(0, 1000))
RUNNING = st.builds(
    RunningAnswer, st.floats(0, 1000), st.none() | st.floats(0, 100), st.integers(0, 3000)
)


def learned(*samples: ServiceSample) -> ServiceEstimate:
    estimate = ServiceEstimate()
    for sample in samples:
        estimate.observe(sample)
    return estimate


def test_nothing_is_known_at_first() -> None:
    """Before the first answer there is no estimate."""
    estimate = ServiceEstimate()
    assert not estimate.measured
    assert (estimate.token_s(), estimate.whole_s(0.0)) == (0.0, 0.0)


def test_equal_answers_are_predicted_exactly() -> None:
    """After answers of one kind the next is expected to take as long."""
    estimate = learned(*[ServiceSample(0.5, 20, 2.0)] * 5)
    assert estimate.measured
    assert abs(estimate.token_s() - 0.1) < 1e-9
    assert abs(estimate.whole_s(estimate.token_s()) - 2.5) < 1e-9


def test_a_running_answer_is_judged_by_its_progress() -> None:
    """With a first token there is less left than without, and less with every further one."""
    estimate = learned(*[ServiceSample(1.0, 100, 10.0)] * 3)
    token_s = estimate.token_s()
    left = [
        estimate.remaining_s(RunningAnswer(0.0, None, 0), token_s),
        estimate.remaining_s(RunningAnswer(0.8, None, 0), token_s),
        estimate.remaining_s(RunningAnswer(2.0, 1.0, 10), token_s),
        estimate.remaining_s(RunningAnswer(10.0, 1.0, 90), token_s),
    ]
    assert left == sorted(left, reverse=True)
    assert abs(left[0] - 11.0) < 1e-9
    assert abs(left[3] - 1.0) < 1e-9


def test_the_present_speed_counts() -> None:
    """Answers that run now and crawl make the estimate of all others longer."""
    estimate = learned(*[ServiceSample(1.0, 100, 10.0)] * 3)
    slow = RunningAnswer(101.0, 1.0, 100)
    assert abs(estimate.token_s([slow]) - 1.0) < 1e-9
    few = RunningAnswer(50.0, 1.0, TELLING_TOKENS - 1)
    assert estimate.token_s([few]) == estimate.token_s()


def test_only_recent_speeds_count() -> None:
    """A changed machine shows after a dozen answers."""
    estimate = learned(
        *[ServiceSample(9.0, 10, 90.0)] * 50, *[ServiceSample(1.0, 10, 1.0)] * SPEEDS
    )
    assert abs(estimate.whole_s(estimate.token_s()) - 2.0) < 1e-9


def test_old_lengths_are_forgotten() -> None:
    """Lengths are remembered for the last answers only."""
    estimate = learned(
        *[ServiceSample(0.0, 1000, 1000.0)] * 5, *[ServiceSample(0.0, 10, 10.0)] * LENGTHS
    )
    assert abs(estimate.whole_s(1.0) - 10.0) < 1e-9


@given(st.lists(SAMPLE, max_size=30), st.lists(RUNNING, max_size=4), RUNNING)
def test_no_estimate_is_negative(
    samples: list[ServiceSample], running: list[RunningAnswer], answer: RunningAnswer
) -> None:
    """Whatever was measured, expected times are not below zero."""
    running = [r for r in running if (r.first_token_s or 0) <= r.elapsed_s]
    estimate = learned(*samples)
    token_s = estimate.token_s(running)
    assert token_s >= 0
    assert estimate.whole_s(token_s) >= 0
    if (answer.first_token_s or 0) <= answer.elapsed_s:
        assert estimate.remaining_s(answer, token_s) >= 0
