"""A download's progress for a terminal (a bar) or for a log (a line every tenth)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Report = Callable[[int, int | None], None]


@contextmanager
def byte_progress(console: Console, name: str) -> Iterator[Report]:
    """Yield a function to call with the bytes that are there and the total, None if unknown."""
    if not console.is_terminal:
        yield _lines(console, name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: list[TaskID] = []

        def report(have_bytes: int, total_bytes: int | None) -> None:
            if not tasks:  # begins where an earlier download ended, so that the speed is today's
                tasks.append(bar.add_task(name, completed=have_bytes, total=total_bytes))
            bar.update(tasks[0], completed=have_bytes, total=total_bytes)

        yield report


def _lines(console: Console, name: str) -> Report:
    said_tenth = -1

    def report(have_bytes: int, total_bytes: int | None) -> None:
        nonlocal said_tenth
        if not total_bytes:
            return
        tenth = have_bytes * 10 // total_bytes
        if tenth != said_tenth:
            said_tenth = tenth
            sizes = f"{decimal(have_bytes)} / {decimal(total_bytes)}"
            console.print(f"{name}  {tenth * 10} %  {sizes}", soft_wrap=True)

    return report
