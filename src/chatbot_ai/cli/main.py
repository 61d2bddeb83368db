"""The command `chatbot-ai`."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from chatbot_ai import __version__
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import EXIT_CONFIGURATION, ChatbotError, ConfigurationError
from chatbot_ai.domain.text import show_controls

#: Each is the Typer app of the module of that name.
COMMANDS = ("up", "chat", "models", "doctor", "keys", "history", "loadtest")


class LazyCommands(TyperGroup):
    """A group that imports of COMMANDS only the one that is called; the help, and a misspelt name,
    import all."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*super().list_commands(ctx), *COMMANDS]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            with without_garbage_collection():
                module = import_module(f"chatbot_ai.cli.{cmd_name}")
            command = get_command(module.app)
            command.name = cmd_name
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.list_commands(ctx):
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Import faster: what an import makes stays, so looking for garbage meanwhile is in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="ChatBot AI: two assistants on your own machine.",
)


@app.command()
def serve(
    assistant: Annotated[str, typer.Argument(help="office or character; default: APP_MODE.")] = "",
    port_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    socket: Annotated[Path | None, typer.Option(hidden=True)] = None,
    socket_user: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve one assistant (what a container runs).

    `up` gives the port as a socket that it holds, and a socket file for the gateway's user.
    """
    with without_garbage_collection():
        from chatbot_ai.server.service import serve as run_service
        from chatbot_ai.settings import load_config

    config = load_config()
    name = assistant or config.shared.app_mode or ""
    if name not in ASSISTANTS:
        raise ConfigurationError("say which assistant: `chatbot-ai serve office`, or APP_MODE")
    chosen: Assistant = "office" if name == "office" else "character"
    run_service(chosen, config, port_fd, socket, socket_user)


@app.command()
def settings() -> None:
    """Print the effective settings; secrets are hidden."""
    from chatbot_ai.settings import load_config, redact

    typer.echo(json.dumps(redact(load_config()), indent=2, ensure_ascii=False))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command; an error made on purpose is one line, not a traceback."""
    try:
        app()
    except ChatbotError as error:
        sys.stderr.write(f"chatbot-ai: {show_controls(str(error))}\n")
        sys.exit(EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
