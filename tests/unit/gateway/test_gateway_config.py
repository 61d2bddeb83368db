"""The gateway's configuration, without starting nginx."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.limits import UPLOAD_BYTES
from chatbot_ai.gateway.config import NGINX_FOLDER, GatewayOptions, install_config, write_settings
from chatbot_ai.server import service
from chatbot_ai.server.gateway_spec import compose_options, gateway_options
from chatbot_ai.server.gateway_spec import main as write_compose_settings
from chatbot_ai.settings import Settings, load_config

EVERYWHERE = "0.0.0.0"  # noqa: S104
NGINX_CONF = (NGINX_FOLDER / "nginx.conf").read_text(encoding="utf-8")
LOCAL = gateway_options(
    Settings(_env_file=None),
    office="127.0.0.1:8002",
    character="[::1]:8003",
    listen_hosts=("127.0.0.1",),
    listen_port=8001,
    site_folder=Path("/srv/한글 폴더"),
    reports_folder=Path("/srv/reports"),
)


def _directives(options: GatewayOptions, folder: Path, name: str) -> list[str]:
    """Values of every directive `name` in what is written for `options`."""
    write_settings(options, folder)
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.iterdir()))
    lines = (line.strip() for line in text.splitlines())
    return [line.removeprefix(name).strip(" ;") for line in lines if line.startswith(f"{name} ")]


def test_read_timeout_outlasts_the_deadline(tmp_path: Path) -> None:
    """nginx waits 30 s longer than the services may take, so that they speak first."""
    options = replace(LOCAL, request_deadline_s=120.5)
    assert _directives(options, tmp_path, "proxy_read_timeout") == ["150s"]


def test_a_worker_that_shuts_down_outlasts_every_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixed limit of nginx.conf is at least what the longest deadline gives an answer."""
    monkeypatch.setenv("REQUEST_DEADLINE_S", "3600")
    options = compose_options(load_config(None).shared)
    (longest,) = _directives(options, tmp_path, "proxy_read_timeout")
    found = re.search(r"^worker_shutdown_timeout (\d+s);", NGINX_CONF, re.MULTILINE)
    assert found is not None
    assert int(found[1][:-1]) >= int(longest[:-1])


def test_services_keep_connections_longer_than_the_gateway(tmp_path: Path) -> None:
    """Else a request may meet a connection that its service is just closing."""
    for kept in _directives(LOCAL, tmp_path, "keepalive_timeout"):
        assert int(kept[:-1]) < service.KEEP_ALIVE_S


@pytest.mark.parametrize(
    ("host", "listens"),
    [(EVERYWHERE, f"{EVERYWHERE}:8001"), ("::", "[::]:8001"), ("127.0.0.5", "127.0.0.5:8001")],
)
def test_where_the_gateway_listens(tmp_path: Path, host: str, listens: str) -> None:
    """nginx wants brackets around an IPv6 address."""
    assert _directives(replace(LOCAL, listen_hosts=(host,)), tmp_path, "listen") == [listens]


@pytest.mark.parametrize(("resolver", "suffix"), [(None, ""), ("10.0.0.1", " resolve")])
def test_every_service_is_an_upstream(tmp_path: Path, resolver: str | None, suffix: str) -> None:
    """With kept connections, and looked up again where there is a resolver."""
    options = replace(LOCAL, resolver=resolver)
    servers = [f"127.0.0.1:8002{suffix}", f"[::1]:8003{suffix}"]
    assert _directives(options, tmp_path, "server") == servers
    assert _directives(options, tmp_path, "resolver") == ([resolver] if resolver else [])
    passes = set(re.findall(r"proxy_pass (\S+);", NGINX_CONF))
    assert {address.split("/")[2] for address in passes} == {"office_service", "character_service"}


@pytest.mark.parametrize(("body", "upload"), [(4096, UPLOAD_BYTES), (99_999_999, 99_999_999)])
def test_uploads_may_be_larger_than_other_requests(tmp_path: Path, body: int, upload: int) -> None:
    """The limit of uploads is the one of domain/limits, or the operator's larger one."""
    options = replace(LOCAL, max_body_bytes=body)
    assert _directives(options, tmp_path, "client_max_body_size") == [str(body), str(upload)]


@pytest.mark.parametrize(
    "changes",
    [
        {"office": "office"},
        {"character": "a:1; return 200"},
        {"site_folder": Path("relative")},
        {"site_folder": Path("/srv/$host")},
        {"reports_folder": Path('/srv/"')},
        {"listen_hosts": ("localhost",)},
        {"listen_hosts": ("127.0.0.1", "")},
    ],
    ids="-".join,
)
def test_impossible_option_is_refused(changes: dict[str, Any]) -> None:
    """A value that nginx could not take, or that would add directives, names its option."""
    with pytest.raises(ConfigurationError) as caught:
        replace(LOCAL, **changes)
    assert next(iter(changes)) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "0"),
        ("GATEWAY_PORT", "65536"),
        ("REQUEST_DEADLINE_S", "0"),
        ("MAX_BODY_BYTES", "-1"),
        ("GATEWAY_RATE_PER_S", "0"),
        ("GATEWAY_RATE_BURST", "-1"),
        ("DEFAULT_LANGUAGE", "fr"),
        ("GATEWAY_TRUSTED_PROXIES", "everyone"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", 'https://a"; }'),
    ],
)
def test_impossible_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """What nginx could not take, or would add directives, names its setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_config(None)


def test_nginx_conf_is_one_file_for_all(tmp_path: Path) -> None:
    """It is used as it stands in the repository, and includes all that is written beside it."""
    conf = install_config(LOCAL, tmp_path)
    assert conf.read_text(encoding="utf-8") == NGINX_CONF
    included = set(re.findall(r"include (\S+);", NGINX_CONF))
    assert included == {f"settings/{file.name}" for file in (tmp_path / "settings").iterdir()}


def test_settings_reach_the_gateways_files(
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
    target = tmp_path / "http.conf"
    assert write_compose_settings([str(tmp_path)]) == 0
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
    assert write_compose_settings([str(tmp_path)]) == 1
    assert "TRUSTED_PROXIES" in capsys.readouterr().err
    assert target.read_text("utf-8") == written


def test_missing_nginx_conf_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone without the file is the operator's to complete."""
    monkeypatch.setattr("chatbot_ai.gateway.config.NGINX_FOLDER", tmp_path / "nowhere")
    with pytest.raises(ConfigurationError):
        install_config(LOCAL, tmp_path)
