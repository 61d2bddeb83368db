"""The files beside nginx/nginx.conf: what the settings decide and what deployments differ in."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from chatbot_ai.domain.access import GATEWAY_SIGNS, HOP_SIGNS, VOUCHED
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.limits import UPLOAD_BYTES
from chatbot_ai.messages import get_message

#: nginx.conf and 404.html in the source tree.
NGINX_FOLDER = Path(__file__).resolve().parents[3] / "nginx"
#: Requests of any kind that one address may make for each answer it may ask for: a chat page is
#: some twenty files, a dashboard asks every few seconds, and a whole office may be one address.
CALLS_PER_ANSWER = 10
#: Seconds that nginx waits beyond the deadline, so that a service's own 503 comes first.
READ_MARGIN_S = 30
#: What nginx itself answers: status -> code, a key of messages/gateway.toml.
ERROR_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    411: "length_required",
    413: "payload_too_large",
    414: "uri_too_long",
    429: "rate_limited",
    431: "headers_too_large",
    500: "internal_error",
    503: "service_unavailable",
}
#: For a status that nginx may invent and that has no row of its own.
OTHER_CODE, OTHER_KEY = "bad_request", "gateway.unhandled"
#: Our codes that OpenAI's clients know by another name.
OPENAI_CODES = {"rate_limited": "rate_limit_exceeded"}

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}|unix:/[A-Za-z0-9._/-]+")
_PATH = re.compile(r'/[^"\\$;{}\x00-\x1f]*')


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """One gateway. Raises ConfigurationError, naming the option, for a value nginx cannot take.

    office, character  where the services are, as HOST:PORT or unix:/path of a socket file
    resolver           name server that looks their names up again while nginx runs, with nginx's
                       parameters (needs nginx 1.27.3); None for addresses
    listen_hosts       the addresses that it listens on
    site_folder        holds nginx/404.html, web/ and dashboard/
    reports_folder     holds load tests' CSV files and visualization.html; need not exist

    The other fields are the settings of the same names.
    """

    office: str
    character: str
    resolver: str | None
    listen_hosts: tuple[str, ...]
    listen_port: int
    site_folder: Path
    reports_folder: Path
    request_deadline_s: float
    max_body_bytes: int
    gateway_rate_per_s: int
    gateway_rate_burst: int
    gateway_connections: int
    trusted_proxies: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    default_language: Literal["ko", "en"]

    def __post_init__(self) -> None:
        for name in ("office", "character"):
            self._require(name, _ADDRESS.fullmatch(getattr(self, name)) is not None, "an address")
        for name in ("site_folder", "reports_folder"):
            fits = _PATH.fullmatch(str(getattr(self, name))) is not None
            self._require(name, fits, 'an absolute path without any of "\\$;{}')
        try:
            for host in self.listen_hosts:
                ip_address(host)
        except ValueError as error:
            raise ConfigurationError(f"gateway option listen_hosts: {error}") from error

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            value = str(getattr(self, name))
            raise ConfigurationError(f"gateway option {name}: {value!r} is not {expected}")


def install_config(options: GatewayOptions, folder: Path) -> Path:
    """Put nginx.conf and its settings into `folder`; return the path of nginx.conf.

    Raises ConfigurationError when nginx.conf cannot be read.
    """
    conf = folder / "nginx.conf"
    try:
        shutil.copyfile(NGINX_FOLDER / "nginx.conf", conf)
    except OSError as error:
        raise ConfigurationError(f"{NGINX_FOLDER / 'nginx.conf'}: {error.strerror}") from error
    write_settings(options, folder / "settings")
    return conf


def write_settings(options: GatewayOptions, folder: Path) -> None:
    """Write the files that nginx.conf includes; readable for nginx's user, who is another one."""
    hosts = [f"[{host}]" if ":" in host else host for host in options.listen_hosts]
    upload_bytes = max(UPLOAD_BYTES, options.max_body_bytes)
    files = {
        "http.conf": _http_settings(options),
        "messages.conf": _messages(),
        "listen.conf": "".join(f"listen {host}:{options.listen_port};\n" for host in hosts),
        "forwarding.conf": _forwarding(),
        "uploads.conf": f"client_max_body_size {upload_bytes};\n",
    }
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        written = folder / f"{name}.new"
        written.write_text(text, encoding="utf-8")
        written.chmod(0o644)
        written.replace(folder / name)


def _http_settings(options: GatewayOptions) -> str:
    rate, burst = options.gateway_rate_per_s, options.gateway_rate_burst
    wide_rate, wide_burst = rate * CALLS_PER_ANSWER, max(1, burst) * CALLS_PER_ANSWER
    origins = {f'"{origin}"': "$http_origin" for origin in options.allowed_origins}
    lines = [
        f"client_max_body_size {options.max_body_bytes};",
        f"proxy_read_timeout {int(options.request_deadline_s) + READ_MARGIN_S}s;",
        "geo $gateway_local { default 0; 127.0.0.0/8 1; ::1 1; }",
        "limit_conn_zone $gateway_connections_key zone=connections:4m;",
        f"limit_conn connections {options.gateway_connections};",
        f"limit_req_zone $gateway_answers_key zone=answers:4m rate={rate}r/s;",
        f"limit_req_zone $gateway_callers_key zone=callers:4m rate={wide_rate}r/s;",
        # nginx takes no burst of 0
        f"limit_req zone=answers burst={burst} nodelay;" if burst else "limit_req zone=answers;",
        f"limit_req zone=callers burst={wide_burst} nodelay;",
        *_map("$host", "$gateway_default_language", {"default": options.default_language}),
        *_map("$host", "$gateway_site", {"default": f'"{options.site_folder}"'}),
        *_map("$host", "$gateway_reports", {"default": f'"{options.reports_folder}"'}),
        *_map("$http_origin", "$gateway_allowed_origin", {**origins, "default": '""'}),
        *_proxies(options.trusted_proxies),
        *_upstream("office", options.office, options.resolver),
        *_upstream("character", options.character, options.resolver),
    ]
    if options.resolver:
        lines += [f"resolver {options.resolver};", "resolver_timeout 2s;"]
    return "\n".join(lines) + "\n"


def _map(source: str, variable: str, values: dict[str, str]) -> list[str]:
    return [f"map {source} {variable} {{", *(f"    {k} {v};" for k, v in values.items()), "}"]


def _forwarding() -> str:
    """What is passed on of other hops: that there is one. The rest is ours to tell."""
    lines = dict.fromkeys(HOP_SIGNS, '""') | {"via": "$gateway_hop", VOUCHED[0]: "$gateway_trusted"}
    return "".join(f"proxy_set_header {name} {value};\n" for name, value in lines.items())


def _proxies(trusted: tuple[str, ...]) -> list[str]:
    """The caller's scheme and address: of the connection, or as a trusted proxy in front says; and
    whether another proxy, which is not trusted, has passed the request on: one that says nothing of
    itself may still speak HTTP/1.0, as nginx does by default before 1.29.7."""
    vouch = VOUCHED[1]
    schemes = {f"{vouch}:https": "https", f"{vouch}:http": "http", "default": "$scheme"}
    told = "".join(f"$http_{h.replace('-', '_')}" for h in (*HOP_SIGNS, *GATEWAY_SIGNS))
    return [
        *_map(
            f'"$gateway_trusted:$server_protocol:{told}"',
            "$gateway_hop",
            {
                '":HTTP/1.1:"': '""',
                f'"~^{vouch}:"': '""',
                "default": '"1.1 unknown"',
            },
        ),
        "geo $realip_remote_addr $gateway_trusted {",
        '    default "";',
        *(f"    {network} {vouch};" for network in trusted),
        "}",
        *_map("$gateway_trusted:$http_x_forwarded_proto", "$gateway_proto", schemes),
        # where a trusted proxy in front serves this installation
        *_map(
            '"$gateway_trusted:$http_x_forwarded_prefix"',
            "$gateway_outer",
            {
                f'"~^{vouch}:(?<gateway_told>(?:/[A-Za-z0-9._~-]+)+)/?$"': "$gateway_told",
                "default": '""',
            },
        ),
        *(f"set_real_ip_from {network};" for network in trusted),
        *(["real_ip_header X-Forwarded-For;", "real_ip_recursive on;"] if trusted else []),
    ]


def _upstream(name: str, address: str, resolver: str | None) -> list[str]:
    """A service, with connections that stay open: for less time than the service keeps them
    (server/service.py), or a request may meet one that is just being closed."""
    return [
        f"upstream {name}_service {{",
        f"    zone {name}_service 128k;",
        f"    server {address}{' resolve' if resolver else ''};",
        "    keepalive 32;",
        "    keepalive_timeout 60s;",
        "}",
    ]


def _messages() -> str:
    codes = {str(status): code for status, code in ERROR_CODES.items()}
    shown = {f"openai:{ours}": theirs for ours, theirs in OPENAI_CODES.items()}
    sentences = {}
    for status, code in ERROR_CODES.items():
        key = f"gateway.{code}"
        sentences[f"ko:{status}"] = f'"{get_message(key, "ko")}"'
        sentences[f"en:{status}"] = f'"{get_message(key, "en")}"'
    for language in ("ko", "en"):
        sentences[f"{language}:forwarded"] = f'"{get_message("gateway.forwarded", language)}"'
    sentences['"~^en:"'] = f'"{get_message(OTHER_KEY, "en")}"'
    sentences["default"] = f'"{get_message(OTHER_KEY, "ko")}"'
    lines = [
        *_map("$status", "$gateway_error_code", {**codes, "default": OTHER_CODE}),
        *_map(
            "$gateway_openai:$gateway_error_code",
            "$gateway_shown_code",
            {**shown, "default": "$gateway_error_code"},
        ),
        *_map(
            "$status:$gateway_hop",
            "$gateway_sentence",
            {'"~^401:."': "forwarded", "default": "$status"},
        ),
        *_map("$gateway_language:$gateway_sentence", "$gateway_error_message", sentences),
    ]
    return "\n".join(lines) + "\n"
