"""What an operator may decide about the gateway."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.limits import UPLOAD_BYTES

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_UPSTREAM = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_RESOLVER = re.compile(r"[A-Za-z0-9 .:=\[\]_-]+")
_PATH = re.compile(r'[^"\\$;{}\x00-\x1f]+')
_SERVICE_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]*(?: [a-z_][a-z0-9_-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """One gateway. Raises ConfigurationError, naming the option, for a value nginx cannot take.

    `run_folder` holds pid and temporary files, must exist and be the only place nginx writes to
    beside its logs. `page_folder` holds 404.html. `access_log` and `error_log` are files;
    `error_log` may be "stderr", `access_log` "/dev/stdout" or a name with "{day}" in it, which
    starts a new file every day (the worker processes then must be able to write to its folder).

    With `resolver` (its address and nginx's parameters of it) the upstream names are looked up
    again while nginx runs; without, once at its start. `upstream_resolve` keeps connections to a
    resolved name open and needs nginx 1.27.3; without a resolver they are always kept open.
    `upstream_idle_s` must stay below the time after which the services close an idle connection
    (uvicorn: 5 s), or a request may meet a connection that is just being closed.

    `reports_folder` holds load tests' CSV files and visualization.html, and need not exist; the
    dashboard shows them to those whom the office service takes for operators.

    `trusted_proxies` are the networks whose X-Forwarded-For and -Proto are believed.
    `allowed_origins` are those whose pages may read what nginx itself answers.

    With `settings_file` what the settings say is not in nginx.conf but included from that file.
    """

    office_upstream: str
    character_upstream: str
    run_folder: Path
    page_folder: Path
    access_log: str
    error_log: str = "stderr"
    listen_hosts: tuple[str, ...] = ("0.0.0.0",)  # noqa: S104
    port: int = 8001
    loopback_only: bool = False
    resolver: str | None = None
    upstream_resolve: bool = False
    upstream_idle_s: int = 4
    request_deadline_s: float = 300.0
    client_timeout_s: int = 15
    send_timeout_s: int = 60
    body_limit_bytes: int = 65_536
    upload_limit_bytes: int = UPLOAD_BYTES
    rate_per_s: int = 20
    rate_burst: int = 40
    hidden_paths: tuple[str, ...] = ("/metrics",)
    default_language: Literal["ko", "en"] = "ko"
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    settings_file: Path | None = None
    chat_folder: Path | None = None
    dashboard_folder: Path | None = None
    reports_folder: Path | None = None
    workers: int = 2
    worker_user: str | None = None

    def __post_init__(self) -> None:
        for name in ("office_upstream", "character_upstream"):
            self._require(name, _UPSTREAM.fullmatch(getattr(self, name)) is not None, "HOST:PORT")
        for name in (
            "run_folder", "page_folder", "chat_folder", "dashboard_folder", "reports_folder",
            "settings_file",
        ):  # fmt: skip
            folder: Path | None = getattr(self, name)
            if folder is not None:
                fits = folder.is_absolute() and _PATH.fullmatch(str(folder)) is not None
                self._require(name, fits, 'an absolute path without any of "\\$;{}')
        for name in ("access_log", "error_log"):
            path: str = getattr(self, name).replace("{day}", "", 1)
            self._require(name, _PATH.fullmatch(path) is not None, 'a path without any of "\\$;{}')
        self._require("error_log", "{day}" not in self.error_log, "one file")
        self._require("port", 1 <= self.port <= 65535, "1 to 65535")
        for name in (
            "request_deadline_s", "upstream_idle_s", "client_timeout_s", "send_timeout_s",
            "body_limit_bytes", "upload_limit_bytes", "rate_per_s", "workers",
        ):  # fmt: skip
            self._require(name, getattr(self, name) > 0, "more than 0")
        self._require("rate_burst", self.rate_burst >= 0, "0 or more")
        if self.resolver is not None:
            self._require("resolver", _RESOLVER.fullmatch(self.resolver) is not None, "an address")
        self._require(
            "upstream_resolve", self.resolver is not None or not self.upstream_resolve, "a resolver"
        )
        hidden = all(_SERVICE_PATH.fullmatch(path) for path in self.hidden_paths)
        self._require("hidden_paths", hidden, "paths that begin with /")
        origins = all(_ORIGIN.fullmatch(origin) for origin in self.allowed_origins)
        self._require("allowed_origins", origins, "origins like https://chat.example.com")
        self._require("default_language", self.default_language in ("ko", "en"), "ko or en")
        if self.worker_user is not None:
            self._require("worker_user", _USER.fullmatch(self.worker_user) is not None, "a user")
        self._check_addresses()

    def _check_addresses(self) -> None:
        self._require("listen_hosts", bool(self.listen_hosts), "at least one address")
        try:
            addresses = [ip_address(host) for host in self.effective_hosts]
        except ValueError as error:
            raise ConfigurationError(f"gateway option listen_hosts: {error}") from error
        loopback = all(address.is_loopback for address in addresses)
        self._require("listen_hosts", loopback or not self.loopback_only, "loopback addresses")
        try:
            for network in self.trusted_proxies:
                ip_network(network)
        except ValueError as error:
            raise ConfigurationError(f"gateway option trusted_proxies: {error}") from error

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            value = getattr(self, name)
            raise ConfigurationError(f"gateway option {name}: {value!r} is not {expected}")

    @property
    def effective_hosts(self) -> tuple[str, ...]:
        """The addresses to listen on: `loopback_only` narrows "all of them" to this machine."""
        if not self.loopback_only:
            return self.listen_hosts
        return tuple(_LOOPBACK_OF.get(host, host) for host in self.listen_hosts)

    @property
    def read_timeout_s(self) -> int:
        """Longer than any request may take, so that a service's own 503 comes first."""
        return int(self.request_deadline_s) + 30


def compose_options() -> GatewayOptions:
    """The gateway of docker-compose.yml: names, Docker's resolver, an unprivileged container."""
    return GatewayOptions(
        office_upstream="office:8002",
        character_upstream="character:8003",
        resolver="127.0.0.11 valid=1s ipv6=off",
        upstream_resolve=True,
        upstream_idle_s=60,
        run_folder=Path("/tmp"),  # noqa: S108 - the container's own tmpfs
        page_folder=Path("/usr/share/nginx/html"),
        chat_folder=Path("/usr/share/nginx/chat"),
        dashboard_folder=Path("/usr/share/nginx/dashboard"),
        reports_folder=Path("/usr/share/nginx/loadtest/results"),
        access_log="/dev/stdout",
        error_log="/dev/stderr",
        settings_file=Path("/etc/nginx/settings/gateway.conf"),
    )
