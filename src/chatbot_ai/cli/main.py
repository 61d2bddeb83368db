"""The command `chatbot-ai`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from chatbot_ai import __version__
from chatbot_ai.cli.late import LateCommands, uncollected
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import EXIT_CONFIGURATION, ChatbotError, ConfigurationError


class Commands(LateCommands):
    """Every command; `serve` and two small ones below are made at once."""


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="ChatBot AI: two assistants on your own machine.",
)


def _add_up(made: typer.Typer) -> None:
    from chatbot_ai.cli.up import up

    made.command()(up)


def _add_chat(made: typer.Typer) -> None:
    from chatbot_ai.cli.chat import chat

    made.command()(chat)


def _add_loadtest(made: typer.Typer) -> None:
    from chatbot_ai.cli.loadtest import loadtest

    made.command()(loadtest)


def _add_models(made: typer.Typer) -> None:
    from chatbot_ai.cli.models import ModelDefaults, build_models
    from chatbot_ai.server.checkup import hub_of
    from chatbot_ai.settings import load_config

    def defaults() -> ModelDefaults:
        config = load_config()
        return ModelDefaults(config.shared.model_dir, hub_of(config))

    made.add_typer(build_models(defaults), name="models")


def _add_doctor(made: typer.Typer) -> None:
    from chatbot_ai.cli.doctor import add_doctor
    from chatbot_ai.server.checkup import plan_checks
    from chatbot_ai.settings import load_config

    add_doctor(made, lambda compose: plan_checks(load_config(), compose=compose))


def _add_keys(made: typer.Typer) -> None:
    from chatbot_ai.cli.keys import KeyDefaults, build_keys
    from chatbot_ai.server.guard import keys_file
    from chatbot_ai.settings import load_config

    def defaults() -> KeyDefaults:
        shared = load_config().shared
        return KeyDefaults(keys_file(shared), shared.zone)

    made.add_typer(build_keys(defaults), name="keys")


def _add_history(made: typer.Typer) -> None:
    from chatbot_ai.cli.history import history_app
    from chatbot_ai.cli.history_places import DataFolder
    from chatbot_ai.server.stores import CHARACTERS_FILE, conversation_store
    from chatbot_ai.settings import load_config

    def folder() -> DataFolder:
        data_dir = load_config().shared.data_dir
        return DataFolder(data_dir, data_dir / CHARACTERS_FILE)

    made.add_typer(
        history_app(lambda: conversation_store(load_config().shared), folder), name="history"
    )


Commands.makers = {
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
    with uncollected():
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

    typer.echo(_as_json(redacted(load_config())))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _as_json(value: Any) -> str:
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
