"""`python -m chatbot_ai.gateway render --compose` writes the gateway of docker-compose.yml."""

from __future__ import annotations

import argparse
from pathlib import Path

from chatbot_ai.gateway.config import TEMPLATE, render
from chatbot_ai.gateway.options import compose_options

COMPOSE_CONF = TEMPLATE.with_name("nginx.conf")


def main(arguments: list[str] | None = None) -> None:
    """Write the rendered configuration to `--output`."""
    parser = argparse.ArgumentParser(prog="chatbot_ai.gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    rendering = commands.add_parser("render", help="write the gateway's configuration")
    rendering.add_argument("--compose", action="store_true", required=True)
    rendering.add_argument("--output", type=Path, default=COMPOSE_CONF)
    chosen = parser.parse_args(arguments)
    output: Path = chosen.output
    output.write_text(render(compose_options()), encoding="utf-8")


if __name__ == "__main__":
    main()
