"""The gateway of these settings: as a process of the group, and as Compose's container.

`python -m chatbot_ai.server.gateway_spec FOLDER` writes what Compose's nginx.conf includes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.config import NGINX_FOLDER, GatewayOptions, install_config, write_settings
from chatbot_ai.gateway.nginx import check_config, choose_worker_user, find_nginx, nginx_command
from chatbot_ai.server.probe import answers
from chatbot_ai.server.supervisor import ProcessSpec
from chatbot_ai.settings import Config, Settings, load_config

#: The source tree, with the pages that nginx serves.
SITE_FOLDER = NGINX_FOLDER.parent
#: Where `chatbot-ai loadtest` writes, seen from where it and this are started.
REPORTS_FOLDER = Path("loadtest/results")
#: docker-compose.yml mounts the pages there.
COMPOSE_SITE_FOLDER = Path("/srv/chatbot-ai")


def gateway_options(
    shared: Settings,
    *,
    office: str,
    character: str,
    listen_host: str,
    listen_port: int,
    site_folder: Path = SITE_FOLDER,
    reports_folder: Path,
    resolver: str | None = None,
) -> GatewayOptions:
    """The options of a gateway: its fields that are named like a setting are that setting."""
    own = {
        "office": office,
        "character": character,
        "listen_host": listen_host,
        "listen_port": listen_port,
        "site_folder": site_folder,
        "reports_folder": reports_folder,
        "resolver": resolver,
    }
    names = {field.name for field in fields(GatewayOptions)} - own.keys()
    return GatewayOptions(**own, **{name: getattr(shared, name) for name in names})  # type: ignore[arg-type]


def compose_options(shared: Settings) -> GatewayOptions:
    """The gateway of docker-compose.yml: its names of the services, and Docker's resolver."""
    return gateway_options(
        shared,
        office="office:8002",
        character="character:8003",
        listen_host="0.0.0.0",  # noqa: S104 - of the container: Compose publishes GATEWAY_HOST
        listen_port=8001,
        site_folder=COMPOSE_SITE_FOLDER,
        reports_folder=COMPOSE_SITE_FOLDER / REPORTS_FOLDER,
        resolver="127.0.0.11 valid=1s ipv6=off",
    )


def gateway_spec(config: Config, run_folder: Path, on_line: Callable[[str], None]) -> ProcessSpec:
    """Write the gateway's configuration into its run folder; return how it is started.

    Raises ConfigurationError for what nginx cannot take, or where there is no nginx.
    """
    shared = config.shared
    reports = REPORTS_FOLDER.absolute()
    options = gateway_options(
        shared,
        office=f"127.0.0.1:{config.office.service_port}",
        character=f"127.0.0.1:{config.character.service_port}",
        listen_host=shared.gateway_host,
        listen_port=shared.gateway_port,
        reports_folder=reports,
    )
    conf = install_config(options, run_folder)
    binary = find_nginx(shared.nginx_binary)
    check_config(binary, conf)
    pages = [SITE_FOLDER / name for name in ("nginx", "web", "dashboard")]
    existing_reports = next(path for path in (reports, *reports.parents) if path.is_dir())
    user = choose_worker_user(*pages, run_folder, existing_reports)
    host = "127.0.0.1" if shared.gateway_host == "0.0.0.0" else shared.gateway_host  # noqa: S104
    return ProcessSpec(
        name="gateway",
        command=nginx_command(binary, conf, user),
        ready=lambda: answers(host, shared.gateway_port, "/healthz"),
        on_line=on_line,
        start_timeout_s=20,
    )


def main(arguments: list[str]) -> int:
    """Write the settings of Compose's gateway, or nothing where one of them is wrong."""
    try:
        write_settings(compose_options(load_config().shared), Path(arguments[0]))
    except ConfigurationError as error:
        sys.stderr.write(f"gateway settings: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
