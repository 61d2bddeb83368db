"""What a run's records amount to: the figures of the report and of the summary table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, median

from chatbot_ai.tools.loadtest.record import Record

#: An expected wait counts as right within this share of the actual one (issue 4: ±30 %).
WAIT_TOLERANCE = 0.3


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear interpolation between the closest ranks (Hyndman and Fan's type 7)."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Overview:
    """One run in figures.

    requests        sent, repetitions included
    questions       that came to an end; `answered` of them well
    unfinished      questions under way or waiting to be repeated when the test ended
    success_percent answered / questions, None without questions
    duration_s      first request sent until last reply
    answers_per_h   answered questions an hour over that time
    *_s             seconds over complete answers; refusal_s the median time until a refusal
    wait_error      median of |expected - actual| / actual wait over all that were queued
    waits           how many those are
    """

    requests: int
    questions: int
    answered: int
    refused: int
    repeated: int
    unfinished: int
    success_percent: float | None
    duration_s: float
    answers_per_h: float | None
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    queue_p50_s: float | None
    queue_p95_s: float | None
    refusal_s: float | None
    wait_error: float | None
    waits: int
    users: int | None


def overview(records: Sequence[Record]) -> Overview:
    """The figures of any selection of one run's records; zeros and None where there are none."""
    ended = [r for r in records if r.is_final and r.outcome != "abandoned"]
    answers = [r for r in records if r.outcome == "answered"]
    totals = [r.total_s for r in answers if r.total_s is not None]
    first = [r.first_token_s for r in answers if r.first_token_s is not None]
    queued = [r.queue_s for r in answers if r.queue_s is not None]
    refusals = [r for r in records if r.outcome == "refused"]
    errors = [abs(told - real) / real for told, real in waits(records)]
    duration_s = _duration_s(records)
    repeated = sum(1 for r in records if not r.is_final)
    followed = sum(1 for r in records if r.retries > 0)
    abandoned = sum(1 for r in records if r.outcome == "abandoned")
    return Overview(
        requests=len(records),
        questions=len(ended),
        answered=len(answers),
        refused=len(refusals),
        repeated=followed,
        unfinished=max(0, repeated - followed) + abandoned,
        success_percent=100 * len(answers) / len(ended) if ended else None,
        duration_s=duration_s,
        answers_per_h=3600 * len(answers) / duration_s if duration_s > 0 else None,
        mean_s=fmean(totals) if totals else None,
        p50_s=quantile(totals, 0.5),
        p95_s=quantile(totals, 0.95),
        p99_s=quantile(totals, 0.99),
        first_token_p50_s=quantile(first, 0.5),
        first_token_p95_s=quantile(first, 0.95),
        queue_p50_s=quantile(queued, 0.5),
        queue_p95_s=quantile(queued, 0.95),
        refusal_s=quantile([r.total_s for r in refusals if r.total_s is not None], 0.5),
        wait_error=median(errors) if errors else None,
        waits=len(errors),
        users=max((r.users for r in records if r.users is not None), default=None),
    )


def waits(records: Sequence[Record]) -> list[tuple[float, float]]:
    """Expected and actual wait of each answer that was queued, however briefly."""
    return [
        (r.announced_wait_s, r.queue_s)
        for r in records
        if r.queue_position and r.announced_wait_s is not None and r.queue_s
    ]


def causes(records: Sequence[Record]) -> list[tuple[str, str, int]]:
    """How often each outcome and cause came, answers first, then the most frequent first."""
    counts = Counter((r.outcome, r.cause) for r in records)
    return [
        (outcome, cause, count)
        for (outcome, cause), count in sorted(
            counts.items(), key=lambda item: (item[0][0] != "answered", -item[1], item[0])
        )
    ]


def composition(records: Sequence[Record]) -> tuple[float, float, float, int] | None:
    """Mean seconds of an answer in the queue, until its first text, and of writing the rest.

    Only answers that tell all three count; the fourth figure is how many. None without any.
    """
    parts = [
        (queue, first - queue, r.total_s - first)
        for r in records
        if r.outcome == "answered"
        and (queue := r.queue_s) is not None
        and (first := r.first_token_s) is not None
        and r.total_s is not None
        and queue <= first <= r.total_s
    ]
    if not parts:
        return None
    means = [fmean(part[i] for part in parts) for i in range(3)]
    return means[0], means[1], means[2], len(parts)


def histogram(records: Sequence[Record], bins: int = 24) -> tuple[float, list[int]]:
    """Width in seconds, a round figure, and the number of answers in each [i, i+1) x width."""
    totals = [r.total_s for r in records if r.outcome == "answered" and r.total_s is not None]
    if not totals:
        return 1.0, []
    width = round_up(max(totals) / bins)
    counts = [0] * (math.floor(max(totals) / width) + 1)
    for total in totals:
        counts[math.floor(total / width)] += 1
    return width, counts


def round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten; at least a millisecond."""
    value = max(value, 0.001)
    power = 10.0 ** math.floor(math.log10(value))
    for step in (1.0, 2.0, 2.5, 5.0, 10.0):
        if step * power >= value * (1 - 1e-9):
            return step * power
    return 10.0 * power


@dataclass(frozen=True, slots=True)
class Band:
    """Response times of the answers in one stretch [low, high]: of time or of concurrency."""

    low: float
    high: float
    answers: int
    p5_s: float
    p50_s: float
    p95_s: float


def over_time(records: Sequence[Record], begun: datetime, bands: int = 20) -> list[Band]:
    """Answers by the seconds since `begun` at which they were sent; empty bands left out."""
    places = [(r.time - begun).total_seconds() for r in records]
    width = round_up(max([1.0, *places]) / bands)
    return _bands(zip(places, records, strict=True), width)


def by_concurrency(pairs: Sequence[tuple[int, Record]], bands: int = 12) -> list[Band]:
    """Answers by the number of requests under way when they were sent, themselves included.

    `low` and `high` of a band are its first and last number.
    """
    width = math.ceil(max((count for count, _ in pairs), default=1) / bands)
    return [
        replace(band, low=band.low + 1)
        for band in _bands(((count - 1.0, record) for count, record in pairs), float(width))
    ]


def _bands(pairs: Iterable[tuple[float, Record]], width: float) -> list[Band]:
    groups: dict[int, list[float]] = {}
    for place, record in pairs:
        if record.outcome == "answered" and record.total_s is not None:
            groups.setdefault(math.floor(place / width), []).append(record.total_s)
    return [
        Band(
            low=index * width,
            high=(index + 1) * width,
            answers=len(totals),
            p5_s=quantile(totals, 0.05) or 0.0,
            p50_s=quantile(totals, 0.5) or 0.0,
            p95_s=quantile(totals, 0.95) or 0.0,
        )
        for index, totals in sorted(groups.items())
    ]


def _duration_s(records: Sequence[Record]) -> float:
    if not records:
        return 0.0
    last = max(r.time.timestamp() + (r.total_s or 0.0) for r in records)
    return last - min(r.time.timestamp() for r in records)
