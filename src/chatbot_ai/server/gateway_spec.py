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
from chatbot_ai.gateway.nginx import (
    check_config,
    choose_worker_user,
    find_nginx,
    find_worker_uid,
    nginx_command,
)
from chatbot_ai.server.listeners import Listeners
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
    listen_hosts: tuple[str, ...],
    listen_port: int,
    site_folder: Path = SITE_FOLDER,
    reports_folder: Path,
    resolver: str | None = None,
) -> GatewayOptions:
    """The options of a gateway: its fields that are named like a setting are that setting."""
    own = {
        "office": office,
        "character": character,
        "listen_hosts": listen_hosts,
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
        listen_hosts=("0.0.0.0",),  # noqa: S104 - of the container: Compose publishes GATEWAY_HOST
        listen_port=8001,
        site_folder=COMPOSE_SITE_FOLDER,
        reports_folder=COMPOSE_SITE_FOLDER / REPORTS_FOLDER,
        resolver="127.0.0.11 valid=1s ipv6=off",
    )


def gateway_spec(
    config: Config, listeners: Listeners, on_line: Callable[[str], None]
) -> tuple[ProcessSpec, int]:
    """Write the gateway's configuration into the run folder; return how it is started, and the
    user (a number) who must be able to connect to the services' socket files.

    Raises ConfigurationError for what nginx cannot take, or where there is no nginx.
    """
    shared = config.shared
    reports = REPORTS_FOLDER.absolute()
    addresses = [held.getsockname()[0] for held in listeners.gateway]
    options = gateway_options(
        shared,
        office=f"unix:{listeners.file('office')}",
        character=f"unix:{listeners.file('character')}",
        listen_hosts=tuple(addresses),
        listen_port=shared.gateway_port,
        reports_folder=reports,
    )
    conf = install_config(options, shared.run_dir)
    binary = find_nginx(shared.nginx_binary)
    check_config(binary, conf)
    pages = [SITE_FOLDER / name for name in ("nginx", "web", "dashboard")]
    existing_reports = next(path for path in (reports, *reports.parents) if path.is_dir())
    user = choose_worker_user(*pages, shared.run_dir, existing_reports)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(addresses[0], addresses[0])  # noqa: S104
    spec = ProcessSpec(
        name="gateway",
        command=nginx_command(binary, conf, user),
        ready=lambda: answers((host, shared.gateway_port), "/healthz"),
        # nginx takes the sockets that this variable names instead of opening its own
        environment={"NGINX": "".join(f"{held.fileno()};" for held in listeners.gateway)},
        sockets=listeners.gateway,
        on_line=on_line,
        start_timeout_s=20,
    )
    return spec, find_worker_uid(binary, user)


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
