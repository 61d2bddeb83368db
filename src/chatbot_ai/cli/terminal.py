"""What commands share: --lang, output of foreign text, the models folder, a download's progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.filesize import decimal
from rich.segment import Segment

from chatbot_ai.domain.text import show_controls
from chatbot_ai.messages import Language, get_message

if TYPE_CHECKING:
    from chatbot_ai.models.library import ModelLibrary
    from chatbot_ai.settings import Settings

Report = Callable[[int, int | None], None]


def parse_language(value: str) -> Language:
    """Read `--lang` or LANG: English for en, en_US.UTF-8 and the like, Korean for the rest."""
    return "en" if value.lower().startswith("en") else "ko"


LanguageOption = Annotated[
    Language,
    typer.Option(
        "--lang",
        envvar="LANG",
        parser=parse_language,
        help="ko | en",
        show_default="ko",
        metavar="LANG",
    ),
]


class Terminal(Console):
    """A console for foreign text: only this program's own styles steer the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(show_controls(text), style)


def echo(text: str, *, err: bool = False) -> None:
    """Print foreign text without what would steer the terminal."""
    typer.echo(show_controls(text), err=err)


def say(key: str, language: Language, *, err: bool = False, **values: object) -> None:
    """Print the message of `key`, on standard error with `err`."""
    echo(get_message(key, language, **values), err=err)


def open_library(
    shared: Settings,
    folder: Path | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> ModelLibrary:
    """The models folder of the settings, and the hub that files come from, each unless given."""
    from chatbot_ai.models.hub import Hub
    from chatbot_ai.models.library import ModelLibrary
    from chatbot_ai.settings.kinds import reveal

    hub = Hub(endpoint or shared.hf_endpoint, token or reveal(shared.hf_token))
    return ModelLibrary(folder or shared.model_dir, hub=hub)


@contextmanager
def show_bytes(console: Console, name: str) -> Iterator[Report]:
    """Yield a function to call with the bytes that are there and the total, None if unknown.

    On a terminal it draws a bar, in a log it prints a line every tenth.
    """
    if not console.is_terminal:
        yield _print_tenths(console, name)
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        tasks: list[progress.TaskID] = []

        def report(have_bytes: int, total_bytes: int | None) -> None:
            if not tasks:  # begins where an earlier download ended, so that the speed is today's
                tasks.append(bar.add_task(name, completed=have_bytes, total=total_bytes))
            bar.update(tasks[0], completed=have_bytes, total=total_bytes)

        yield report


def _print_tenths(console: Console, name: str) -> Report:
    last_tenth = -1

    def report(have_bytes: int, total_bytes: int | None) -> None:
        nonlocal last_tenth
        if not total_bytes:
            return
        tenth = have_bytes * 10 // total_bytes
        if tenth != last_tenth:
            last_tenth = tenth
            sizes = f"{decimal(have_bytes)} / {decimal(total_bytes)}"
            console.print(f"{name}  {tenth * 10} %  {sizes}", soft_wrap=True)

    return report
