"""The command `chatbot-ai`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group

from chatbot_ai import __version__
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import EXIT_CONFIGURATION, ChatbotError, ConfigurationError


class LazyCommands(TyperGroup):
    """A group whose commands come from `adders`: name -> a function that adds it to a Typer app.

    Only the command that is called is imported; the help, and a misspelt name, import all.
    """

    adders: ClassVar[Mapping[str, Callable[[typer.Typer], object]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*super().list_commands(ctx), *self.adders]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in self.adders:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            with without_garbage_collection():
                self.adders[cmd_name](app)
            self.add_command(get_group(app).commands[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.list_commands(ctx):
            for name in self.adders:
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


def _add_up(app: typer.Typer) -> None:
    from chatbot_ai.cli.up import up

    app.command()(up)


def _add_chat(app: typer.Typer) -> None:
    from chatbot_ai.cli.chat import chat

    app.command()(chat)


def _add_loadtest(app: typer.Typer) -> None:
    from chatbot_ai.cli.loadtest import loadtest

    app.command()(loadtest)


def _add_models(app: typer.Typer) -> None:
    from chatbot_ai.cli.models import ModelDefaults, build_models
    from chatbot_ai.server.checkup import hub_of
    from chatbot_ai.settings import load_config

    def defaults() -> ModelDefaults:
        config = load_config()
        return ModelDefaults(config.shared.model_dir, hub_of(config))

    app.add_typer(build_models(defaults), name="models")


def _add_doctor(app: typer.Typer) -> None:
    from chatbot_ai.cli.doctor import add_doctor
    from chatbot_ai.server.checkup import plan_checks
    from chatbot_ai.settings import load_config

    add_doctor(app, lambda compose: plan_checks(load_config(), compose=compose))


def _add_keys(app: typer.Typer) -> None:
    from chatbot_ai.cli.keys import KeyDefaults, build_keys
    from chatbot_ai.server.guard import keys_file
    from chatbot_ai.settings import load_config

    def defaults() -> KeyDefaults:
        shared = load_config().shared
        return KeyDefaults(keys_file(shared), shared.zone)

    app.add_typer(build_keys(defaults), name="keys")


def _add_history(app: typer.Typer) -> None:
    from chatbot_ai.cli.history import DataFolder, build_history
    from chatbot_ai.server.stores import CHARACTERS_FILE, conversation_store
    from chatbot_ai.settings import load_config

    def folder() -> DataFolder:
        data_dir = load_config().shared.data_dir
        return DataFolder(data_dir, data_dir / CHARACTERS_FILE)

    app.add_typer(
        build_history(lambda: conversation_store(load_config().shared), folder), name="history"
    )


LazyCommands.adders = {
    "up": _add_up,
    "chat": _add_chat,
    "models": _add_models,
    "doctor": _add_doctor,
    "keys": _add_keys,
    "history": _add_history,
    "loadtest": _add_loadtest,
}


@app.command()
def serve(
    assistant: Annotated[str, typer.Argument(help="office or character; default: APP_MODE.")] = "",
) -> None:
    """Serve one assistant (what a container runs)."""
    with without_garbage_collection():
        from chatbot_ai.server.service import serve as run_service
        from chatbot_ai.settings import load_config

    config = load_config()
    name = assistant or config.shared.app_mode or ""
    if name not in ASSISTANTS:
        raise ConfigurationError("say which assistant: `chatbot-ai serve office`, or APP_MODE")
    chosen: Assistant = "office" if name == "office" else "character"
    run_service(chosen, config)


@app.command()
def settings() -> None:
    """Print the effective settings; secrets are hidden."""
    from chatbot_ai.settings import load_config, redacted

    typer.echo(_to_json(redacted(load_config())))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _to_json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def main() -> None:
    """Run the command; an error made on purpose is one line, not a traceback."""
    try:
        app()
    except ConfigurationError as error:
        sys.stderr.write(f"chatbot-ai: {error}\n")
        sys.exit(EXIT_CONFIGURATION)
    except ChatbotError as error:
        sys.stderr.write(f"chatbot-ai: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
