"""What an operator decides about the gateway, as the part of nginx.conf that says it.

In Compose nginx.conf is a fixed file and this part a file of its own, written anew at every start.
"""

from __future__ import annotations

from chatbot_ai.gateway.options import GatewayOptions

#: Requests of any kind that one address may make for each answer it may ask for: a chat page is
#: some twenty files, a dashboard asks every few seconds, and a whole office may be one address.
CALLS_PER_ANSWER = 10


def render_settings(options: GatewayOptions) -> str:
    """Directives of nginx's `http` block; the rest of the file uses the variables made here."""
    rate, burst = options.rate_per_s, options.rate_burst
    wide_rate, wide_burst = rate * CALLS_PER_ANSWER, max(1, burst) * CALLS_PER_ANSWER
    directives = (
        f"client_max_body_size {options.body_limit_bytes}",
        f"client_body_buffer_size {options.body_limit_bytes}",
        f"proxy_read_timeout {options.read_timeout_s}s",
        f"limit_req_zone $gateway_answers_key zone=answers:4m rate={rate}r/s",
        f"limit_req_zone $gateway_callers_key zone=callers:4m rate={wide_rate}r/s",
        # nginx takes no burst of 0
        f"limit_req zone=answers burst={burst} nodelay" if burst else "limit_req zone=answers",
        f"limit_req zone=callers burst={wide_burst} nodelay",
    )
    return "".join(
        (
            *(f"    {directive};\n" for directive in directives),
            _map("$host", "$gateway_default_language", (), options.default_language),
            _forwarded_proto(options),
            _allowed_origin(options),
        )
    )


def _map(source: str, name: str, rows: tuple[tuple[str, str], ...], default: str) -> str:
    lines = "".join(f"        {match} {value};\n" for match, value in rows)
    return f"    map {source} {name} {{\n{lines}        default {default};\n    }}\n"


def _forwarded_proto(options: GatewayOptions) -> str:
    """The caller's scheme and address: of the connection, or as a trusted proxy in front says."""
    if not options.trusted_proxies:
        return _map("$scheme", "$gateway_proto", (), "$scheme")
    trusted = "".join(f"        {network} 1;\n" for network in options.trusted_proxies)
    said = (("1:https", "https"), ("1:http", "http"))
    return "".join(
        (
            "    geo $realip_remote_addr $gateway_trusted {\n        default 0;\n",
            f"{trusted}    }}\n",
            _map("$gateway_trusted:$http_x_forwarded_proto", "$gateway_proto", said, "$scheme"),
            *(f"    set_real_ip_from {network};\n" for network in options.trusted_proxies),
            "    real_ip_header X-Forwarded-For;\n    real_ip_recursive on;\n",
        )
    )


def _allowed_origin(options: GatewayOptions) -> str:
    rows = tuple((f'"{origin}"', "$http_origin") for origin in options.allowed_origins)
    return _map("$http_origin", "$gateway_allowed_origin", rows, '""')
