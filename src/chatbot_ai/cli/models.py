"""`chatbot-ai models`: list, pull, verify and remove model files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from chatbot_ai.cli.terminal import LanguageOption, Terminal, echo, open_library, say, show_bytes
from chatbot_ai.messages import Language, get_message
from chatbot_ai.models.library import FileState, FileStatus
from chatbot_ai.models.manifest import ModelFileError
from chatbot_ai.settings import load_config

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


Names = Annotated[
    list[str], typer.Argument(help="demo | character | office | owner/repo/file.gguf")
]
OptionalNames = Annotated[
    list[str] | None, typer.Argument(help="demo | character | office | path in the folder")
]
Folder = Annotated[Path | None, typer.Option("--folder", help="Models folder [MODEL_DIR]")]
Token = Annotated[str | None, typer.Option("--token", help="Hub token [HF_TOKEN]")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Hub or mirror [HF_ENDPOINT]")]


app = typer.Typer(no_args_is_help=True, add_completion=False, help="모델 파일 · Model files")


@app.command("list", help="모델 파일 목록 · List the model files")
def list_files(folder: Folder = None, language: LanguageOption = "ko") -> None:
    models = open_library(load_config().shared, folder)
    console = Terminal()
    console.print(get_message("cli.models.folder", language, folder=models.folder), soft_wrap=True)
    console.print(_build_table(models.list(), language))


@app.command(help="모델 파일 받기(이어받기) · Fetch model files, resuming")
def pull(
    names: Names,
    folder: Folder = None,
    token: Token = None,
    endpoint: Endpoint = None,
    language: LanguageOption = "ko",
) -> None:
    models = open_library(load_config().shared, folder, token, endpoint)
    for name in names:
        with _exit_on_error(name, language), show_bytes(Terminal(stderr=True), name) as report:
            path = models.pull(name, report)
        say("cli.models.ready", language, name=name, path=path)


@app.command(help="모델 파일 검사(SHA-256) · Verify model files")
def verify(
    names: OptionalNames = None, folder: Folder = None, language: LanguageOption = "ko"
) -> None:
    models = open_library(load_config().shared, folder)
    there = (FileState.PRESENT, FileState.BROKEN)
    present = [status.file.name for status in models.list() if status.state in there]
    for name in names or present:
        with _exit_on_error(name, language), show_bytes(Terminal(stderr=True), name) as report:
            found = models.verify(name, report)
        against = get_message(f"cli.models.against_{found.against}", language)
        say("cli.models.verified", language, name=name, sha256=found.sha256, against=against)
    if not names and not present:
        say("cli.models.nothing", language)


@app.command(help="모델 파일 삭제 · Delete a model file")
def remove(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    folder: Folder = None,
    language: LanguageOption = "ko",
) -> None:
    if not yes:
        typer.confirm(get_message("cli.models.confirm", language, name=name), abort=True)
    with _exit_on_error(name, language):
        freed_bytes = open_library(load_config().shared, folder).remove(name)
    say("cli.models.removed", language, name=name, size=decimal(freed_bytes))


@contextmanager
def _exit_on_error(name: str, language: Language) -> Iterator[None]:
    """Say an error or an interruption in one sentence and end with its exit code."""
    try:
        yield
    except ModelFileError as error:
        echo(error.explain(language), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        say("cli.models.interrupted", language, name=name, err=True)
        sys.exit(EXIT_INTERRUPTED)


def _build_table(statuses: list[FileStatus], language: Language) -> Table:
    table = Table(box=None)
    for heading in ("name", "state", "size", "place"):
        table.add_column(get_message(f"cli.models.{heading}", language), overflow="fold")
    for status in statuses:
        size = decimal(status.size_bytes)
        if status.state is FileState.MISSING:
            planned = decimal(status.file.planned_bytes)
            size = (
                planned
                if status.file.size_bytes
                else get_message("cli.models.about", language, size=planned)
            )
        name = status.file.alias or status.file.name
        state = get_message(f"cli.models.{status.state.value}", language)
        table.add_row(name, state, size, str(status.file.path))
    return table
