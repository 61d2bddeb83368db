"""`chatbot-ai doctor`: whether everything is there, and how to fix what is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from chatbot_ai.cli.terminal import LanguageOption, Terminal, echo, open_library
from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.nginx import find_nginx
from chatbot_ai.messages import Language, get_message
from chatbot_ai.server.engine_plan import plan_engines
from chatbot_ai.server.guard import is_published
from chatbot_ai.server.stores import mongodb_address
from chatbot_ai.settings import ComposeSettings, Config, find_open_files, find_slips, load_config
from chatbot_ai.tools.doctor.check import Finding, State, run_checks, warn
from chatbot_ai.tools.doctor.plan import Plan

#: The version that docker-compose.yml pins.
COMPOSE_MONGODB_VERSION = "7.0"
_MARKS = {State.OK: ("✔", "green"), State.WARN: ("!", "yellow"), State.FAIL: ("✘", "red")}


app = typer.Typer(add_completion=False)


@app.command(help="설치 점검과 해결 방법 · Check this machine and say what to fix")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
    compose: Annotated[
        bool, typer.Option("--compose", help="Docker Compose로 실행할 컴퓨터 · For Compose")
    ] = False,
    time_limit_s: Annotated[float, typer.Option("--time-limit", min=1, help="s")] = 20.0,
    language: LanguageOption = "ko",
) -> None:
    checks = plan_checks(load_config(), compose=compose).checks()
    findings = run_checks(checks, time_limit_s=time_limit_s)
    worst = find_worst(findings)
    if as_json:
        report = {"state": worst, "findings": [to_dict(one, language) for one in findings]}
        echo(json.dumps(report, ensure_ascii=False, indent=2))
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
    console = Terminal()
    console.print(table)
    failures = sum(finding.state is State.FAIL for finding in findings)
    warnings = sum(finding.state is State.WARN for finding in findings)
    summary = get_message(f"doctor.summary.{worst}", language, failures=failures, warnings=warnings)
    console.print(Text(summary, style=_MARKS[worst][1]))


def plan_checks(config: Config, *, compose: bool = False) -> Plan:
    """Everything this configuration needs from the machine, as processes or as containers."""
    shared = config.shared
    models: dict[str, str] = {}
    gpus: dict[str, int] = {}
    caches: dict[str, int] = {}
    sharers: set[str] = set()
    spread: set[str] = set()
    for engine in plan_engines(config, say=False):
        for name in engine.assistants:
            models[name] = str(engine.model.path.relative_to(shared.model_dir))
            caches[name] = engine.need.slot_bytes * engine.slots[name]
            if engine.gpu is not None:
                gpus[name] = engine.gpu
                if engine.options.split_mode != "none":
                    spread.add(name)
        if not compose:
            # containers have an engine each
            sharers.update(engine.assistants[1:])
    return Plan(
        library=open_library(shared),
        data_dir=shared.data_dir,
        log_dir=shared.log_dir,
        ports={
            "gateway": shared.gateway_port,
            **({} if compose else {n: config.assistant(n).service_port for n in ASSISTANTS}),
        },
        compose=compose,
        host=shared.gateway_hosts[0],
        gateway_hosts=() if compose else shared.gateway_hosts[1:],
        models=models,
        gpus=gpus,
        wanted_gpus=_find_wanted_gpus(config),
        sharers=frozenset(sharers),
        spread=frozenset(spread),
        cache_bytes=caches,
        wants_mlock=config.office.mlock or config.character.mlock,
        nginx_binary=_find_nginx(shared.nginx_binary),
        mongodb_url=mongodb_address(shared),
        mongodb_version=_mongodb_version(config, compose),
        has_google_key=shared.google_api_key is not None,
        has_search_engine_id=shared.search_engine_id is not None,
        slips=[
            warn("settings", slip.code, **slip.facts)
            for slip in (*find_slips(config), *find_open_files(config))
        ],
        has_openai_key=shared.openai_api_key is not None,
        is_published=is_published(shared),
        has_ai_notice=shared.ai_notice,
    )


def _mongodb_version(config: Config, compose: bool) -> str | None:
    """Which MongoDB starts on this machine. Compose brings one unless it is told to bring none."""
    if compose:
        return COMPOSE_MONGODB_VERSION if ComposeSettings().mongo_containers else None
    return COMPOSE_MONGODB_VERSION if mongodb_address(config.shared) else None


def _find_wanted_gpus(config: Config) -> frozenset[int]:
    """The GPUs that the settings name, there or not; none on a machine that has no NVIDIA one."""
    if shutil.which("nvidia-smi") is None:
        return frozenset()
    own = [config.assistant(name) for name in ASSISTANTS if not config.assistant(name).engine_url]
    return frozenset(settings.gpu_index for settings in own if settings.layers_on_gpu != 0)


def _find_nginx(configured: str | None) -> str | None:
    try:
        return str(find_nginx(configured))
    except ConfigurationError:
        return configured
