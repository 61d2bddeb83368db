"""`chatbot-ai loadtest`: simulated people against a running gateway, CSV and report."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from chatbot_ai.cli.terminal import Terminal
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings import process_environment
from chatbot_ai.tools.loadtest.figures import Overview, causes, overview
from chatbot_ai.tools.loadtest.record import Run, read_run
from chatbot_ai.tools.loadtest.report import write_report
from chatbot_ai.tools.loadtest.run import KEY_VARIABLE, LoadPlan, LoadRunFailed, run

_REPOSITORY = Path(__file__).resolve().parents[3]
_INSTALL_BY_HAND = (
    "Locust is not installed; install it with: "
    "pip install --require-hashes --no-deps -r requirements/loadtest.lock"
)


def run_load_test(plan: LoadPlan, console: Console) -> tuple[Path, Path, Run | None]:
    """Runs the plan, showing how it goes, and writes the report.

    Returns the CSV file, the page, and the run (None when no request was sent). Raises as
    `chatbot_ai.tools.loadtest.run.run`; what was recorded until then is in the CSV file.
    """
    with console.status("") as status:
        path = run(plan, lambda elapsed_s, counts: _update_status(status, plan, elapsed_s, counts))
    return path, write_report(plan.out), read_run(path)


app = typer.Typer(add_completion=False)


@app.command()
def loadtest(
    scenario: Annotated[Assistant, typer.Argument(help="Whom the simulated people visit.")],
    users: Annotated[int, typer.Option(min=1, help="Simulated people.")] = 15,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long they keep asking.")] = 5.0,
    spawn_rate: Annotated[float, typer.Option(help="People who arrive each second.")] = 1.0,
    stream_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of streamed requests; the rest is JSON.")
    ] = 0.5,
    think_s: Annotated[
        float, typer.Option("--think", min=0.0, help="Mean pause between questions, seconds.")
    ] = 1.0,
    max_retries: Annotated[int, typer.Option(min=0, help="Repetitions of a refused question.")] = 3,
    host: Annotated[str, typer.Option(help="The gateway.")] = "http://localhost:8001",
    out: Annotated[Path, typer.Option(help="Folder of the CSV files and the page.")] = Path(
        "loadtest/results"
    ),
    label: Annotated[str, typer.Option(help="A name for this run in the report.")] = "",
    grace_s: Annotated[
        float, typer.Option("--grace", min=0.0, help="Seconds that open requests get at the end.")
    ] = 60.0,
    key: Annotated[
        str,
        typer.Option(envvar=KEY_VARIABLE, help="API key to send; better set in the environment."),
    ] = "",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Test a host that is not this machine.")
    ] = False,
) -> None:
    """Let simulated people ask questions, record every request, and draw the report."""
    console = Terminal()
    plan = LoadPlan(
        assistant=scenario,
        out=out,
        host=host,
        users=users,
        duration_s=minutes * 60,
        spawn_rate=spawn_rate,
        stream_share=stream_share,
        think_s=think_s,
        max_retries=max_retries,
        grace_s=grace_s,
        label=label,
        allow_remote=allow_remote,
        environment=process_environment() | {KEY_VARIABLE: key},
    )
    try:
        ensure_locust(console.print)
        path, page, recorded = run_load_test(plan, console)
    except LoadRunFailed as error:
        console.print(error.log, markup=False, highlight=False)
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    except ConfigurationError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error
    if recorded is not None:
        console.print(build_summary(recorded))
        console.print(build_cause_table(recorded))
    console.print(Text(f"CSV     {path}\nReport  {page}"), soft_wrap=True)


def build_summary(recorded: Run) -> Table:
    """The run's key figures; seconds unless a unit is given."""
    figures = overview(recorded.records)
    table = Table(
        title=Text(recorded.label or recorded.name), show_header=False, title_justify="left"
    )
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in _list_figures(figures):
        table.add_row(name, value)
    return table


def build_cause_table(recorded: Run) -> Table:
    """How often each outcome and cause came."""
    table = Table("Outcome", "Cause", title_justify="left")
    table.add_column("Requests", justify="right")
    for outcome, cause, count in causes(recorded.records):
        table.add_row(outcome, Text(cause), f"{count:,}")
    return table


def _list_figures(figures: Overview) -> list[tuple[str, str]]:
    success = "-" if figures.success_percent is None else f"{figures.success_percent:.1f} %"
    rate = "-" if figures.answers_per_h is None else f"{figures.answers_per_h:,.0f}"
    error = "-" if figures.wait_error is None else f"±{100 * figures.wait_error:.0f} %"
    return [
        ("Questions answered", f"{figures.answered:,} of {figures.questions:,} ({success})"),
        ("Unfinished at the end", f"{figures.unfinished:,}"),
        ("Requests, repeated ones", f"{figures.requests:,}, {figures.repeated:,}"),
        ("Answers an hour", rate),
        ("Response mean", _format_seconds(figures.mean_s)),
        (
            "Response p50 / p95 / p99",
            " / ".join(_format_seconds(v) for v in (figures.p50_s, figures.p95_s, figures.p99_s)),
        ),
        (
            "First text p50 / p95",
            " / ".join(
                _format_seconds(v) for v in (figures.first_token_p50_s, figures.first_token_p95_s)
            ),
        ),
        (
            "Queue p50 / p95",
            f"{_format_seconds(figures.queue_p50_s)} / {_format_seconds(figures.queue_p95_s)}",
        ),
        ("Refused, after (median)", f"{figures.refused:,}, {_format_seconds(figures.refusal_s)}"),
        ("Error of expected waits", f"{error} of {figures.waits:,} waits"),
    ]


def _format_seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 0.1 else f"{value:.2f} s"


def _update_status(status: Status, plan: LoadPlan, elapsed_s: float, counts: Counter[str]) -> None:
    counted = " ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "starting"
    status.update(f"{plan.users} users, {elapsed_s:.0f} of {plan.duration_s:.0f} s · {counted}")


def ensure_locust(say: Callable[[str], None], repository: Path = _REPOSITORY) -> None:
    """Install Locust from its hashed lock into this environment, unless it is there.

    Only an environment of its own is touched, from a checkout that has the lock; anywhere else,
    and when pip fails, ConfigurationError says what to do.
    """
    if is_locust_installed():
        return
    script = repository / "scripts" / "setup.sh"
    if sys.prefix == sys.base_prefix or not script.is_file() or not os.access(sys.prefix, os.W_OK):
        raise ConfigurationError(_INSTALL_BY_HAND)
    say("Installing Locust from requirements/loadtest.lock, once")
    done = subprocess.run(
        [str(script), "loadtest"],
        env=process_environment() | {"VENV": sys.prefix, "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    importlib.invalidate_caches()
    if done.returncode != 0 or not is_locust_installed():
        raise ConfigurationError(f"{done.stderr.strip()}\n{_INSTALL_BY_HAND}")


def is_locust_installed() -> bool:
    return find_spec("locust") is not None
