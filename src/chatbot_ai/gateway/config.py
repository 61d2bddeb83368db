"""GatewayOptions turned into an nginx configuration."""

from __future__ import annotations

from pathlib import Path
from string import Template

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.operator_settings import render_settings
from chatbot_ai.gateway.options import GatewayOptions
from chatbot_ai.messages import get_message

TEMPLATE = Path(__file__).resolve().parents[3] / "nginx" / "nginx.conf.template"

#: Retry-After of what nginx itself refuses: a burst ends within a second or two; a service that
#: is being restarted takes a few.
LIMITED_RETRY_AFTER_S = 2
UNAVAILABLE_RETRY_AFTER_S = 5

#: Above the longest deadline that the settings allow, with what the gateway adds to it.
LONGEST_READ_S = 3630

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

#: In the run folder: what `chatbot-ai up` tells of its processes.
PROCESSES_FILE = "processes.json"

_UPLOADS = "/character/characters"
#: The chat builds every element itself: no text may become script, style or markup.
_CHAT_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: The dashboard has no inline script or style and talks to nobody but this gateway.
_DASHBOARD_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A load-test report carries everything inline; its own policy narrows this to hashes of it.
_REPORT_CSP = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _ConfigTemplate(Template):
    """string.Template whose mark is % because $ is nginx's own."""

    delimiter = "%"


def render(options: GatewayOptions, template: Path = TEMPLATE) -> str:
    """The complete nginx.conf. Raises ConfigurationError when the template cannot be read."""
    try:
        text = template.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"gateway template {template}: {error.strerror}") from error
    run = options.run_folder
    return _ConfigTemplate(text).substitute(
        generated="Rendered: change nginx.conf.template or the settings, never this copy.",
        user=f"user {options.worker_user};" if options.worker_user else "",
        workers=options.workers,
        shutdown_timeout_s=_shutdown_timeout_s(options),
        pid=_quoted(run / "nginx.pid"),
        error_log=_quoted(options.error_log) if options.error_log != "stderr" else "stderr",
        client_body_temp=_quoted(run / "client_body"),
        proxy_temp=_quoted(run / "proxy"),
        fastcgi_temp=_quoted(run / "fastcgi"),
        uwsgi_temp=_quoted(run / "uwsgi"),
        scgi_temp=_quoted(run / "scgi"),
        resolver=_resolver(options),
        settings=_settings(options),
        error_codes=_error_codes(),
        openai_codes=_openai_codes(),
        error_messages=_error_messages(),
        limited_retry_after_s=LIMITED_RETRY_AFTER_S,
        unavailable_retry_after_s=UNAVAILABLE_RETRY_AFTER_S,
        access_log=_quoted(options.access_log.replace("{day}", "${gateway_day}")),
        client_timeout_s=options.client_timeout_s,
        send_timeout_s=options.send_timeout_s,
        upstreams=_upstreams(options),
        listen=_listen(options),
        page_folder=_quoted(options.page_folder),
        services=_services(options),
        static=_static(options),
    )


def _quoted(path: Path | str) -> str:
    return f'"{path}"'


def _resolver(options: GatewayOptions) -> str:
    if options.resolver is None:
        return ""
    return f"resolver {options.resolver};\n    resolver_timeout 2s;\n"


def _settings(options: GatewayOptions) -> str:
    """What the operator decides: here, or in a file of its own beside a fixed nginx.conf."""
    if options.settings_file is not None:
        return f"    include {_quoted(options.settings_file)};"
    return render_settings(options).rstrip()


def _shutdown_timeout_s(options: GatewayOptions) -> int:
    """As long as a request may take; a fixed nginx.conf does not know the deadline."""
    return LONGEST_READ_S if options.settings_file is not None else options.read_timeout_s


def _error_codes() -> str:
    rows = [f"        {status} {code};" for status, code in ERROR_CODES.items()]
    return "\n".join([*rows, f"        default {OTHER_CODE};"])


def _openai_codes() -> str:
    return "\n".join(f"        openai:{ours} {theirs};" for ours, theirs in OPENAI_CODES.items())


def _error_messages() -> str:
    rows = []
    for status, code in ERROR_CODES.items():
        key = f"gateway.{code}"
        rows.append(f'        ko:{status} "{get_message(key, "ko")}";')
        rows.append(f'        en:{status} "{get_message(key, "en")}";')
    rows.append(f'        "~^en:" "{get_message(OTHER_KEY, "en")}";')
    return "\n".join([*rows, f'        default "{get_message(OTHER_KEY, "ko")}";'])


def _keeps_connections(options: GatewayOptions) -> bool:
    return options.resolver is None or options.upstream_resolve


def _upstreams(options: GatewayOptions) -> str:
    """Groups that keep connections open; with a resolver alone, names go into proxy_pass."""
    if not _keeps_connections(options):
        return ""
    resolve = " resolve" if options.upstream_resolve else ""
    return "".join(
        f"\n    upstream {name}_service {{\n"
        f"        zone {name}_service 128k;\n"
        f"        server {address}{resolve};\n"
        f"        keepalive 32;\n"
        f"        keepalive_timeout {options.upstream_idle_s}s;\n"
        f"    }}\n"
        for name, address in _addresses(options)
    )


def _addresses(options: GatewayOptions) -> tuple[tuple[str, str], ...]:
    return ("office", options.office_upstream), ("character", options.character_upstream)


def _listen(options: GatewayOptions) -> str:
    hosts = (f"[{host}]" if ":" in host else host for host in options.effective_hosts)
    return "\n".join(f"        listen {host}:{options.port};" for host in hosts)


def _services(options: GatewayOptions) -> str:
    blocks: list[str] = []
    for name, address in _addresses(options):
        target = f"{name}_service" if _keeps_connections(options) else address
        blocks.append(_block(f"= /{name}", "return 404;"))
        blocks.append(_proxy_block(name, f"/{name}/", target))
        if _UPLOADS.startswith(f"/{name}/"):
            limit_bytes = max(options.upload_limit_bytes, options.body_limit_bytes)
            limit = f"client_max_body_size {limit_bytes};"
            blocks.append(_proxy_block(name, _UPLOADS, target, limit))
        blocks += [
            _block(f"^~ /{name}{path}", "error_page 404 413 /.gateway/error;", "return 404;")
            for path in options.hidden_paths
        ]
    return "".join(blocks)


def _proxy_block(name: str, prefix: str, target: str, *extra: str) -> str:
    return _block(
        f"^~ {prefix}",
        *extra,
        f"set $gateway_prefix /{name};",
        f"set $gateway_upstream {target};",
        f"rewrite (?s)^/{name}(/.*)$ $1 break;",
        "proxy_pass http://$gateway_upstream;",
    )


def _static(options: GatewayOptions) -> str:
    blocks: list[str] = []
    pages = (
        ("chat", options.chat_folder, _CHAT_CSP),
        ("dashboard", options.dashboard_folder, _DASHBOARD_CSP),
    )
    for name, folder, policy in pages:
        if folder is None:
            continue
        blocks.append(_block(f"= /{name}", f"return 308 /{name}/;"))
        blocks.append(
            _block(
                f"^~ /{name}/",
                f'alias "{folder}/";',
                "index index.html;",
                "charset utf-8;",
                "expires -1;",
                f'set $gateway_csp "{policy}";',
            )
        )
    if options.dashboard_folder is not None:
        blocks += _for_operators(options)
    return "".join(blocks)


def _for_operators(options: GatewayOptions) -> list[str]:
    """Files for callers that the office service lets see its status, and the asking for that."""
    target = "office_service" if _keeps_connections(options) else options.office_upstream
    headers = (
        "Host $gateway_host", 'Connection ""', "X-Real-IP $remote_addr",
        "X-Forwarded-For $remote_addr", "X-Request-ID $gateway_request_id",
        'X-Forwarded-Prefix ""', 'Forwarded ""', 'Content-Length ""',
    )  # fmt: skip
    guarded = (
        "auth_request /.gateway/operator;",
        "error_page 401 403 405 /.gateway/error;",
        "error_page 404 /404.html;",
        "error_page 500 502 503 504 =503 /.gateway/error;",
        "charset utf-8;",
        "expires -1;",
    )
    processes = f'alias "{options.run_folder / PROCESSES_FILE}";'
    blocks = [
        _block(f"= /dashboard/{PROCESSES_FILE}", *guarded, "access_log off;", processes),
        _block(
            "= /.gateway/operator",
            "internal;",
            "access_log off;",
            "proxy_method GET;",
            "proxy_pass_request_body off;",
            *(f"proxy_set_header {header};" for header in headers),
            "proxy_read_timeout 5s;",
            f"set $gateway_upstream {target};",
            "proxy_pass http://$gateway_upstream/status/access;",
        ),
    ]
    if options.reports_folder is not None:
        report = (
            *guarded,
            f'alias "{options.reports_folder}/$1";',
            # a plain `set` would be undone by the server's own, which the asking runs again
            f'auth_request_set $gateway_csp "{_REPORT_CSP}";',
        )
        blocks.append(
            _block(
                "^~ /dashboard/reports/",
                'location ~ "^/dashboard/reports/(visualization[.]html|[A-Za-z0-9_-]+[.]csv)$" {',
                *(f"    {line}" for line in report),
                "}",
                "return 404;",
            )
        )
    return blocks


def _block(match: str, *lines: str) -> str:
    body = "".join(f"            {line}\n" for line in lines)
    return f"\n        location {match} {{\n{body}        }}\n"
