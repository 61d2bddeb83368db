"""`chatbot-ai doctor`: whether everything is there, and how to fix what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatbot_ai.cli.terminal import LanguageOption, parse_language
from chatbot_ai.messages import Language, get_message
from chatbot_ai.tools.doctor.finding import Finding, State
from chatbot_ai.tools.doctor.plan import Plan
from chatbot_ai.tools.doctor.runner import run_checks

_MARKS = {State.OK: ("✔", "green"), State.WARN: ("!", "yellow"), State.FAIL: ("✘", "red")}


def add_doctor(app: typer.Typer, plan: Callable[[bool], Plan]) -> None:
    """Add the command `doctor` to `app`; `plan` is called when it runs, with True for Compose."""

    @app.command(help="설치 점검과 해결 방법 · Check this machine and say what to fix")
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
        compose: Annotated[
            bool, typer.Option("--compose", help="Docker Compose로 실행할 컴퓨터 · For Compose")
        ] = False,
        time_limit_s: Annotated[float, typer.Option("--time-limit", min=1, help="s")] = 20.0,
        lang: LanguageOption = "ko",
    ) -> None:
        language = parse_language(lang)
        findings = run_checks(plan(compose).checks(), time_limit_s=time_limit_s)
        worst = find_worst(findings)
        if as_json:
            report = {"state": worst, "findings": [to_dict(one, language) for one in findings]}
            typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
        else:
            _print_findings(findings, worst, language)
        raise typer.Exit(1 if worst is State.FAIL else 0)


def find_worst(findings: Sequence[Finding]) -> State:
    states = {finding.state for finding in findings}
    return next((state for state in (State.FAIL, State.WARN) if state in states), State.OK)


def to_dict(finding: Finding, language: Language) -> dict[str, Any]:
    """Return a finding for machines: its keys and numbers, and the words for people."""
    what, _, remedy = get_message(
        f"doctor.finding.{finding.message}", language, **finding.facts
    ).partition("\n")
    return {
        "check": finding.check,
        "state": finding.state,
        "code": finding.message,
        "facts": dict(finding.facts),
        "message": what,
        "remedy": remedy or None,
    }


def _print_findings(findings: Sequence[Finding], worst: State, language: Language) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        entry = to_dict(finding, language)
        text = Text(entry["message"])
        if entry["remedy"]:
            text.append(f"\n→ {entry['remedy']}", style=colour)
        table.add_row(
            Text(mark, style=colour), get_message(f"doctor.check.{finding.check}", language), text
        )
    console = Console()
    console.print(table)
    failures = sum(finding.state is State.FAIL for finding in findings)
    warnings = sum(finding.state is State.WARN for finding in findings)
    summary = get_message(f"doctor.summary.{worst}", language, failures=failures, warnings=warnings)
    console.print(Text(summary, style=_MARKS[worst][1]))
