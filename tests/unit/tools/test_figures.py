"""Records, their CSV file, and the figures that are drawn from them."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.tools.loadtest.client import retry_after_s, server_timing_s
from chatbot_ai.tools.loadtest.figures import (
    by_concurrency,
    causes,
    composition,
    histogram,
    over_time,
    overview,
    quantile,
    round_up,
    waits,
)
from chatbot_ai.tools.loadtest.record import (
    Record,
    RecordFile,
    in_flight,
    read_run,
    read_runs,
    run_name,
)
from chatbot_ai.tools.loadtest.report import PAGE_NAME, page, thin_out, write_report
from chatbot_ai.tools.loadtest.visitor import OFFICE_QUESTIONS, SCENES

BEGAN = datetime(2026, 1, 31, 14, 25, 1, 500_000, tzinfo=UTC).astimezone()


def record(at_s: float = 0.0, **fields: Any) -> Record:
    base: dict[str, Any] = {
        "user": "u",
        "endpoint": "/office/Llama",
        "mode": "json",
        "status": 200,
        "outcome": "answered",
        "total_s": 1.0,
    }
    return Record(time=BEGAN + timedelta(seconds=at_s), **(base | fields))


def write(path: Path, *records: Record) -> Path:
    with RecordFile(path) as file:
        for item in records:
            file.write(item)
    return path


def test_what_people_say_fits_the_api() -> None:
    """Every input has 1 to 500 characters, questions differ, and Rachel is among the characters."""
    assert len(set(OFFICE_QUESTIONS)) == len(OFFICE_QUESTIONS) >= 20
    lines = [line for scene in SCENES for line in scene["lines"]]
    assert all(1 <= len(text) <= 500 for text in (*OFFICE_QUESTIONS, *lines))
    assert all(scene["name"] and scene["greeting"] and scene["context"] for scene in SCENES)
    assert all(len(scene["lines"]) > 1 for scene in SCENES)
    assert SCENES[0]["name"] == "Rachel"


def test_records_come_back_from_their_file(tmp_path: Path) -> None:
    """Every field of a record survives its CSV file, Korean, commas and line breaks included."""
    full = Record(
        time=BEGAN,
        user="사용자, 1",
        endpoint="/character/Llama",
        mode="stream",
        status=503,
        outcome="refused",
        total_s=0.0125,
        queue_s=0.5,
        first_token_s=0.25,
        server_s=0.75,
        retries=2,
        request_bytes=100,
        response_bytes=200,
        announced_wait_s=4.5,
        error_code="busy",
        cause='줄\n바꿈과 "따옴표"',
        users=15,
        question="3",
        is_final=False,
        elapsed_s=9.5,
        retry_after_s=7.0,
        queue_position=4,
        completion_tokens=11,
        model="tiny",
        character="Rachel",
        request_id="r-1",
        label="Q4_0; 15명",
    )
    path = write(tmp_path / f"{run_name('character', BEGAN)}.csv", full)
    assert path.name == f"character_{BEGAN:%Y%m%d}_{BEGAN:%H%M%S}.csv"
    found = read_run(path)
    assert found is not None
    assert found.records == (full,)
    assert found.label == full.label


def test_a_file_of_the_predecessor_is_read(tmp_path: Path) -> None:
    """Older rows, stamped at their end, give the same kind of records; retries are not final."""
    path = tmp_path / "character_2025-06-04 180716.csv"
    rows = [
        ["user_id", "endpoint", "status_code", "response_time", "success", "failure_reason",
         "retry_count", "timestamp", "is_retry_record", "process_time"],
        ["a", "/character/Llama", "200", "13.5", "True", "", "0", "2025-06-04 17:46:12", "False",
         "13.4"],
        ["b", "/character/Llama", "429", "0.03", "False", "429_retry_attempt_1", "1",
         "2025-06-04 17:46:13", "True", "0.0"],
        ["b", "/character/Llama", "200", "20", "True", "", "1", "2025-06-04 17:49:30", "False",
         "19"],
    ]  # fmt: skip
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    run = read_run(path)
    assert run is not None
    assert [(r.outcome, r.is_final) for r in run.records] == [
        ("answered", True),
        ("refused", False),
        ("answered", True),
    ]
    first = run.records[0]
    assert (first.time + timedelta(seconds=13.5)).replace(tzinfo=None) == datetime(
        2025, 6, 4, 17, 46, 12
    )
    figures = overview(run.records)
    assert (figures.questions, figures.answered, figures.repeated, figures.unfinished) == (
        2,
        2,
        1,
        0,
    )


def test_missing_and_broken_cells_are_borne(tmp_path: Path) -> None:
    """Unknown, missing and unreadable cells become None; a row without time or status is left."""
    path = tmp_path / "some.csv"
    path.write_text(
        "time,status,total_s,other\n"
        "2026-01-31T14:25:01+09:00,200,nan,x\n"
        "2026-01-31 14:25:02,503\n"
        "yesterday,200,1\n"
        "2026-01-31T14:25:03+09:00,,1\n",
        encoding="utf-8",
    )
    run = read_run(path)
    assert run is not None
    assert [(r.status, r.outcome, r.total_s) for r in run.records] == [
        (200, "answered", None),
        (503, "refused", None),
    ]
    assert page([run])


def test_files_without_requests_are_named(tmp_path: Path) -> None:
    """A folder's page holds its runs by time and names the files that hold none."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    write(tmp_path / "d.csv", record(5))
    write(tmp_path / "c.csv", record(9))
    runs, skipped = read_runs(tmp_path)
    assert [run.name for run in runs] == ["d", "c"]
    assert skipped == ["a.csv", "b.csv"]


def waiter(at_s: float, **fields: Any) -> Record:
    return record(at_s, queue_position=2, **fields)


def test_no_wait_is_too_short_to_be_judged() -> None:
    """All that stood in the queue count, those that were served at once do not."""
    run = [
        waiter(0, queue_s=0.2, announced_wait_s=0.6),
        waiter(1, queue_s=2.0, announced_wait_s=2.0),
        record(2, queue_s=0.0001, announced_wait_s=0.0, queue_position=0),
    ]
    assert waits(run) == [(0.6, 0.2), (2.0, 2.0)]
    assert overview(run).wait_error == pytest.approx(1.0)


def test_figures_of_a_known_run() -> None:
    """Questions, success, rates and quantiles follow from the records alone."""
    run = [
        waiter(0, total_s=2.0, queue_s=1.0, first_token_s=1.5, announced_wait_s=1.2),
        waiter(1, total_s=4.0, queue_s=2.0, first_token_s=2.5, announced_wait_s=1.0),
        record(2, status=503, outcome="refused", cause="busy", total_s=0.01, is_final=False),
        record(3, status=503, outcome="refused", cause="busy", total_s=0.03, retries=1),
        record(4, status=503, outcome="refused", cause="busy", total_s=0.02, is_final=False),
        record(5, status=0, outcome="abandoned", cause="run_ended", total_s=5.0),
    ]
    figures = overview(run)
    assert (figures.requests, figures.questions, figures.answered, figures.refused) == (6, 3, 2, 3)
    assert (figures.repeated, figures.unfinished) == (1, 2)
    assert figures.success_percent == pytest.approx(200 / 3)
    assert figures.duration_s == pytest.approx(10.0)
    assert figures.answers_per_h == pytest.approx(720.0)
    assert (figures.mean_s, figures.p50_s, figures.refusal_s) == (3.0, 3.0, 0.02)
    assert figures.wait_error == pytest.approx((0.2 + 0.5) / 2)
    assert composition(run) == pytest.approx((1.5, 0.5, 1.0, 2))
    assert causes(run) == [
        ("answered", "", 2),
        ("refused", "busy", 3),
        ("abandoned", "run_ended", 1),
    ]


def test_concurrency_counts_what_is_under_way() -> None:
    """A request counts those that have begun and not ended when it is sent, and itself."""
    run = [record(0, total_s=10.0), record(1, total_s=1.0), record(3, total_s=1.0)]
    assert in_flight(run) == [1, 2, 2]
    bands = by_concurrency(list(zip(in_flight(run), run, strict=True)))
    assert [(b.low, b.high, b.answers) for b in bands] == [(1, 1, 1), (2, 2, 2)]


def test_nothing_is_drawn_from_nothing() -> None:
    """Figures of no records, or of refusals only, are zeros and None."""
    for run in ([], [record(outcome="refused", status=503, cause="busy")]):
        figures = overview(run)
        assert (figures.answered, figures.p50_s, figures.wait_error) == (0, None, None)
        assert composition(run) is None
        assert histogram(run)[1] == []
        assert over_time(run, BEGAN) == []


@given(st.lists(st.floats(0, 1e5), min_size=1))
def test_every_answer_has_one_place(totals: list[float]) -> None:
    """Histogram and bands count every answer once, and quantiles lie between the extremes."""
    run = [record(index * 0.7, total_s=total) for index, total in enumerate(totals)]
    width, counts = histogram(run)
    assert sum(counts) == len(totals)
    assert width * len(counts) >= max(totals) or counts[-1]
    assert sum(b.answers for b in over_time(run, BEGAN)) == len(totals)
    pairs = list(zip(in_flight(run), run, strict=True))
    assert sum(b.answers for b in by_concurrency(pairs)) == len(totals)
    low, middle, high = (quantile(totals, share) for share in (0, 0.5, 1))
    assert low is not None
    assert middle is not None
    assert high is not None
    assert (low, high) == (min(totals), max(totals))
    assert low * (1 - 1e-9) <= middle <= high * (1 + 1e-9)


@given(st.floats(0.001, 1e9))
def test_steps_are_round_and_large_enough(value: float) -> None:
    """A step is 1, 2, 2.5 or 5 times a power of ten, not below the value, at most twice it."""
    step = round_up(value)
    assert value * (1 - 1e-6) <= step <= value * 2.0001
    assert f"{step:.6e}".partition("e")[0].rstrip("0") in ("1.", "2.", "2.5", "5.")


@given(st.lists(st.integers()), st.integers(1, 50))
def test_thinning_keeps_order_and_ends(items: list[int], limit: int) -> None:
    """At most `limit` items remain, in order, and all of them when they are few."""
    indices = thin_out(range(len(items)), limit)
    assert len(indices) == min(limit, len(items))
    assert indices == sorted(set(indices))


def test_headers_are_read_as_the_standards_say() -> None:
    """Retry-After comes as seconds or a date; Server-Timing counts milliseconds."""
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert retry_after_s("7") == 7.0
    later = format_datetime(now + timedelta(seconds=30), usegmt=True)
    assert retry_after_s(later, now) == 30.0
    assert retry_after_s(format_datetime(now - timedelta(seconds=30), usegmt=True), now) == 0.0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
    value = 'queue;dur=12.5;desc="a, b; c", cache;desc=hit, total ; dur="900"'
    assert server_timing_s(value) == {"queue": 0.0125, "total": 0.9}


TROUBLE = '</script><img src=x onerror="alert(1)">&<!--\u2028@DATA@'


def test_text_from_files_stays_text(tmp_path: Path) -> None:
    """Labels, causes and file names cannot end the data's element, and come back unchanged."""
    name = "run <b>&.csv"
    write(tmp_path / name, record(label=TROUBLE), record(cause=TROUBLE, outcome="failed"))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert inside is not None
    data = json.loads(inside.group(1))
    assert data["runs"][0]["label"] == TROUBLE
    assert data["runs"][0]["name"] == "run <b>&"
    assert ["failed", TROUBLE, 1] in data["runs"][0]["views"]["all"]["causes"]
    assert text.count("<img") == 0


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    """The page names no other resource, and its policy forbids loading any."""
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert (tmp_path / PAGE_NAME).read_text(encoding="utf-8") == text
    assert "default-src 'none'" in text
    assert set(re.findall(r"https?://[^\s'\"]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|iframe|img|object)\b|\bsrc=|@import|\burl\(", text)


def test_a_new_run_joins_the_page(tmp_path: Path) -> None:
    """Writing the report again includes runs that have come since."""
    write(tmp_path / "a.csv", record())
    assert '"name":"a"' in write_report(tmp_path).read_text(encoding="utf-8")
    write(tmp_path / "b.csv", record(60))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert '"name":"a"' in text
    assert '"name":"b"' in text
    assert [p.name for p in tmp_path.iterdir() if p.suffix not in (".csv", ".html")] == []
