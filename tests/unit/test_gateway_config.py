"""The rendered gateway configuration, without starting nginx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.__main__ import COMPOSE_CONF, main
from chatbot_ai.gateway.config import render
from chatbot_ai.gateway.operator_settings import render_settings
from chatbot_ai.gateway.options import GatewayOptions, compose_options
from chatbot_ai.server.gateway_settings import main as write_settings

EVERYWHERE = "0.0.0.0"  # noqa: S104
LOCAL = GatewayOptions(
    office_upstream="127.0.0.1:8002",
    character_upstream="[::1]:8003",
    run_folder=Path("/run/한글 폴더"),
    page_folder=Path("/srv/page"),
    access_log="/var/log/access.log",
)


def test_committed_compose_file_is_current(tmp_path: Path) -> None:
    """nginx/nginx.conf is what the template and the defaults give today."""
    written = tmp_path / "nginx.conf"
    main(["render", "--compose", "--output", str(written)])
    assert written.read_text(encoding="utf-8") == COMPOSE_CONF.read_text(encoding="utf-8")


def _directives(options: GatewayOptions, name: str) -> list[str]:
    lines = (line.strip() for line in render(options).splitlines())
    return [line.removeprefix(name).strip(" ;") for line in lines if line.startswith(f"{name} ")]


def test_read_timeout_outlasts_the_deadline() -> None:
    """nginx waits 30 s longer than the services may take, so that they speak first."""
    options = replace(LOCAL, request_deadline_s=120.5)
    assert _directives(options, "proxy_read_timeout") == ["150s"]


@pytest.mark.parametrize(
    ("hosts", "loopback_only", "listens"),
    [
        ((EVERYWHERE,), False, [f"{EVERYWHERE}:8001"]),
        ((EVERYWHERE, "::"), False, [f"{EVERYWHERE}:8001", "[::]:8001"]),
        ((EVERYWHERE, "::"), True, ["127.0.0.1:8001", "[::1]:8001"]),
        (("127.0.0.5",), True, ["127.0.0.5:8001"]),
    ],
)
def test_loopback_only_narrows_the_listeners(
    hosts: tuple[str, ...], loopback_only: bool, listens: list[str]
) -> None:
    """The switch turns "every address" into "this machine" and refuses any other."""
    options = replace(LOCAL, listen_hosts=hosts, loopback_only=loopback_only)
    assert _directives(options, "listen") == listens


@pytest.mark.parametrize(
    ("changes", "upstream", "server"),
    [
        ({}, "office_service", ["127.0.0.1:8002", "[::1]:8003"]),
        ({"resolver": "10.0.0.1"}, "127.0.0.1:8002", []),
        (
            {"resolver": "10.0.0.1", "upstream_resolve": True},
            "office_service",
            ["127.0.0.1:8002 resolve", "[::1]:8003 resolve"],
        ),
    ],
)
def test_every_proxy_pass_is_a_variable(
    changes: dict[str, Any], upstream: str, server: list[str]
) -> None:
    """A service is an upstream with kept connections, or with a resolver alone its name."""
    options = replace(LOCAL, **changes)
    assert set(_directives(options, "proxy_pass")) == {"http://$gateway_upstream"}
    assert upstream in _directives(options, "set $gateway_upstream")
    assert _directives(options, "server")[:-1] == server


@pytest.mark.parametrize(
    "changes",
    [
        {"office_upstream": "office"},
        {"character_upstream": "a:1; return 200"},
        {"run_folder": Path("relative")},
        {"page_folder": Path("/srv/$host")},
        {"chat_folder": Path('/srv/"')},
        {"access_log": "/log;\n"},
        {"error_log": "/log-{day}"},
        {"port": 0},
        {"port": 65_536},
        {"request_deadline_s": 0.0},
        {"body_limit_bytes": -1},
        {"rate_per_s": 0},
        {"rate_burst": -1},
        {"workers": 0},
        {"listen_hosts": ()},
        {"listen_hosts": ("localhost",)},
        {"listen_hosts": ("192.0.2.1",), "loopback_only": True},
        {"resolver": "1.1.1.1; include /etc/passwd"},
        {"upstream_resolve": True},
        {"default_language": "fr"},
        {"hidden_paths": ("metrics",)},
        {"trusted_proxies": ("everyone",)},
        {"allowed_origins": ("*",)},
        {"allowed_origins": ('https://a"; }',)},
        {"settings_file": Path("gateway.conf")},
        {"worker_user": "root; daemon on"},
    ],
    ids="-".join,
)
def test_impossible_option_is_refused(changes: dict[str, Any]) -> None:
    """A value that nginx could not take, or that would add directives, names its option."""
    with pytest.raises(ConfigurationError) as caught:
        replace(LOCAL, **changes)
    assert next(iter(changes)) in str(caught.value)


def test_what_the_operator_decides_is_in_a_file_of_its_own() -> None:
    """Compose's fixed nginx.conf includes what the other world has within: the same lines."""
    apart = replace(LOCAL, settings_file=Path("/etc/gateway.conf"))
    line = '    include "/etc/gateway.conf";\n'
    assert line in render(apart)
    timeout = f"worker_shutdown_timeout {LOCAL.read_timeout_s}s"
    fixed = render(apart).replace("worker_shutdown_timeout 3630s", timeout)
    assert fixed.replace(line, render_settings(LOCAL)) == render(LOCAL)


def test_settings_reach_the_gateways_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What python-libs-init writes carries every setting of the gateway, or nothing and why."""
    for name, value in {
        "GATEWAY_RATE_PER_S": "7",
        "GATEWAY_RATE_BURST": "9",
        "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,192.168.7.1",
        "REQUEST_DEADLINE_S": "600",
        "MAX_BODY_BYTES": "4096",
        "DEFAULT_LANGUAGE": "en",
        "CORS_ORIGINS": "https://chat.example.com",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "gateway.conf"
    assert write_settings([str(target)]) == 0
    written = target.read_text("utf-8")
    for line in (
        "rate=7r/s;",
        "rate=70r/s;",
        "burst=9 nodelay;",
        "set_real_ip_from 10.0.0.0/8;",
        "set_real_ip_from 192.168.7.1;",
        "proxy_read_timeout 630s;",
        "client_max_body_size 4096;",
        "default en;",
        '"https://chat.example.com" $http_origin;',
    ):
        assert line in written
    monkeypatch.setenv("GATEWAY_TRUSTED_PROXIES", "everybody")
    assert write_settings([str(target)]) == 1
    assert "trusted_proxies" in capsys.readouterr().err
    assert target.read_text("utf-8") == written


def test_missing_template_is_a_configuration_error(tmp_path: Path) -> None:
    """A clone without the template is the operator's to mend."""
    with pytest.raises(ConfigurationError):
        render(compose_options(), tmp_path / "nowhere")
