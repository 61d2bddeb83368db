"""`chatbot-ai up`: everything on this machine, with one command."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from chatbot_ai.cli.terminal import Terminal, open_library, show_bytes
from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.messages import Language, get_message
from chatbot_ai.models.manifest import DEMO
from chatbot_ai.models.sidecar import Note
from chatbot_ai.server import group, logs
from chatbot_ai.server.engines import DEMO_MODEL, choose_model, read_model_languages
from chatbot_ai.server.listeners import open_listeners
from chatbot_ai.server.stores import store_name
from chatbot_ai.settings import Config, find_open_files, find_slips, load_config

app = typer.Typer(add_completion=False)


@app.command()
def up() -> None:
    """Start engine, office, character and gateway; Ctrl-C stops them."""
    config = load_config()
    console = Terminal(stderr=True, highlight=False)
    language = config.shared.terminal_language
    began = time.monotonic()
    logs.configure("group", config.shared, console_level="warning")
    group.check(config)
    for slip in (*find_slips(config), *find_open_files(config)):
        problem = get_message(f"doctor.finding.{slip.code}", language, **slip.facts)
        console.print(Text.assemble(("! ", "bold yellow"), problem.replace("\n", "\n  → ")))
    with open_listeners(config) as listeners:
        own = [
            config.assistant(name) for name in ASSISTANTS if not config.assistant(name).engine_url
        ]
        choices = [choose_model(settings, config) for settings in own]
        if any(choice.demo and not is_whole_demo(choice.path) for choice in choices):
            console.print(get_message("cli.up.fetching", language))
            fetch_demo(config, console)
        planned = group.plan(config, listeners)
        console.print(get_message("cli.up.starting", language))

        def announce(store_is_unreachable: bool) -> None:
            _print_addresses(config, planned, console, language, time.monotonic() - began)
            if store_is_unreachable:
                problem = get_message(
                    "cli.up.store_unreachable", language, store=store_name(config.shared)
                )
                remedy = get_message("cli.up.store_remedy", language)
                console.print(f"[bold yellow]![/] {problem}\n  {remedy}\n", soft_wrap=True)

        asyncio.run(
            group.run(
                planned, announce, lambda: console.print(get_message("cli.up.stopping", language))
            )
        )
    console.print(get_message("cli.up.stopped", language))


def is_whole_demo(path: Path) -> bool:
    """Whether the demo model was checked once and has not been touched since; costs no reading."""
    note = Note.read(path)
    return note is not None and note.sha256 == DEMO.sha256 and path.is_file() and note.holds(path)


def fetch_demo(config: Config, console: Console) -> None:
    """Bring the demo model, with a progress bar; goes on where an earlier try was cut.

    Raises ModelFileError where it cannot be had or the file that is there is another.
    """
    with show_bytes(console, "SmolLM2-135M") as progress:
        open_library(config.shared).ensure(DEMO_MODEL, progress)


def _model_names(config: Config, planned: group.Group) -> list[str]:
    """The files that are served here, and where the engines of others are."""
    here = {model.name for model in planned.models.values()}
    urls = (config.assistant(name).engine_url for name in ASSISTANTS if name not in planned.models)
    return sorted(here) + sorted({url for url in urls if url})


def explain_model_language(model: Path, language: Language) -> str:
    """What it means that the model does not speak the reader's language, and what to do about it;
    "" where it does or nothing is known."""
    spoken = read_model_languages(model)
    if not spoken or language in spoken:
        return ""
    return get_message(
        f"cli.up.{'english_alone' if set(spoken) == {'en'} else 'other_language'}",
        language,
        model=model.name.removesuffix(".gguf"),
        command=sys.argv[0],
    )


def _print_addresses(
    config: Config, planned: group.Group, console: Console, language: Language, seconds: float
) -> None:
    url = planned.gateway_url
    ready = get_message("cli.up.ready", language, seconds=seconds)
    rows = [
        (get_message("cli.up.chat", language), f"[bold]{url}/chat/[/]"),
        (get_message("cli.up.dashboard", language), f"{url}/dashboard/"),
        (get_message("cli.up.docs", language), f"{url}/office/docs  {url}/character/docs"),
        (get_message("cli.up.model", language), ", ".join(_model_names(config, planned))),
        (get_message("cli.up.data", language), str(config.shared.data_dir.absolute())),
        (get_message("cli.up.logs", language), str(config.shared.log_dir.absolute())),
    ]
    console.print(f"\n[bold green]✔[/] [bold]{ready}[/]")
    for name, value in rows:
        console.print(f"  {name}: {value}", soft_wrap=True)
    console.print(f"\n  {get_message('cli.up.try', language)}:", soft_wrap=True)
    console.print(
        f"""  curl -X POST {url}/office/Llama -H "Content-Type: application/json" \\
    -d '{{"input_data": "안녕하세요!", "user_id": "test_user"}}'""",
        soft_wrap=True,
        markup=False,
    )
    for model in sorted({m.path for m in planned.models.values()}):
        notice = explain_model_language(model, language)
        if notice:
            console.print(f"\n  [bold yellow]![/] {notice}", soft_wrap=True)
    console.print(f"  {get_message('cli.up.stop', language)}\n")
