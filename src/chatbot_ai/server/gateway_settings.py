"""The gateway's options that the settings decide.

`python -m chatbot_ai.server.gateway_settings FILE` writes them for Compose, whose nginx.conf is
fixed and includes FILE.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.operator_settings import render_settings
from chatbot_ai.gateway.options import GatewayOptions, compose_options
from chatbot_ai.settings import Settings, load_config


def with_settings(options: GatewayOptions, shared: Settings) -> GatewayOptions:
    """The same gateway as the operator wants it. Raises ConfigurationError for what nginx cannot
    take."""
    return replace(
        options,
        request_deadline_s=shared.request_deadline_s,
        body_limit_bytes=shared.max_body_bytes,
        rate_per_s=shared.gateway_rate_per_s,
        rate_burst=shared.gateway_rate_burst,
        trusted_proxies=shared.trusted_proxies,
        allowed_origins=shared.allowed_origins,
        default_language=shared.default_language,
    )


def main(arguments: list[str]) -> int:
    """Write the file whole or not at all; readable for nginx's user, who is another one."""
    target = Path(arguments[0])
    try:
        text = render_settings(with_settings(compose_options(), load_config().shared))
    except ConfigurationError as error:
        sys.stderr.write(f"gateway settings: {error}\n")
        return 1
    written = target.with_suffix(".new")
    written.write_text(text, encoding="utf-8")
    written.chmod(0o644)
    written.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
