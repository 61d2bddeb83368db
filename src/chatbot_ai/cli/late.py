"""Commands that are made when they are asked for, so that none pays for another's imports."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group


class LateCommands(TyperGroup):
    """A group whose commands come from `makers`: name -> a function that adds it to a Typer app.

    An ordinary call makes one command; the help, and a misspelt name, make all.
    """

    makers: ClassVar[Mapping[str, Callable[[typer.Typer], object]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*super().list_commands(ctx), *self.makers]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in self.makers:
            made = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            with uncollected():
                self.makers[cmd_name](made)
            self.add_command(get_group(made).commands[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.list_commands(ctx):
            for name in self.makers:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


@contextmanager
def uncollected() -> Iterator[None]:
    """For imports: what they make stays, so no garbage is looked for meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
