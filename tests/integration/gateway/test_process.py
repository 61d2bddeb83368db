"""nginx as a process: found, checked, started without privileges, healed after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.config import render
from chatbot_ai.gateway.operator_settings import render_settings
from chatbot_ai.gateway.options import compose_options
from chatbot_ai.gateway.process import (
    check_config,
    command,
    nginx_binary,
    nginx_version,
    wheel_binary,
    worker_user,
)
from support.gateway_lab import PAGE, eventually, gateway_options, running
from support.gateway_upstream import Upstream
from support.waiting import HANG_S

NOBODY = 65534


def test_configured_binary_comes_first(binary: Path) -> None:
    """A configured nginx is taken as it is, and every candidate says its version."""
    assert nginx_binary(str(binary)) == binary
    assert nginx_version(binary) >= (1, 20)


def test_missing_binary_is_a_configuration_error() -> None:
    """A configured program that is not there, or is not nginx, is the operator's to mend."""
    with pytest.raises(ConfigurationError):
        nginx_binary("/nowhere/nginx")
    with pytest.raises(ConfigurationError):
        nginx_version(nginx_binary(shutil.which("true")))


def test_wheel_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a system nginx the package's own is used."""
    monkeypatch.setattr("chatbot_ai.gateway.process.shutil.which", lambda *_, **__: None)
    assert nginx_binary() == wheel_binary()


def test_committed_compose_file_is_accepted(binary: Path, tmp_path: Path) -> None:
    """nginx accepts the configuration that docker-compose.yml mounts."""
    conf, settings = tmp_path / "nginx.conf", tmp_path / "gateway.conf"
    settings.write_text(render_settings(compose_options()), encoding="utf-8")
    options = replace(compose_options(), run_folder=tmp_path, settings_file=settings)
    conf.write_text(render(options).replace("/dev/std", f"{tmp_path}/std"), encoding="utf-8")
    check_config(binary, conf)


def test_bad_configuration_names_its_line(binary: Path, tmp_path: Path) -> None:
    """nginx's complaint, with file and line, is what the operator gets to read."""
    conf = tmp_path / "nginx.conf"
    conf.write_text("events {}\nnonsense on;\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        check_config(binary, conf)
    assert f"{conf}:2" in str(caught.value)


def test_killed_master_heals(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """After kill -9 of the master its workers are ended too, and the port is free again."""
    with running(binary, gateway_options(tmp_path, upstream.address)) as gateway:
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
        assert httpx2.get(f"{gateway.url}/healthz").status_code == 200, "orphans still serve"
        gateway.stop()
        gateway.start()
        assert httpx2.get(f"{gateway.url}/office/x").status_code == 200


def test_killed_worker_is_replaced(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """nginx itself starts a new worker for one that dies."""
    with running(binary, gateway_options(tmp_path, upstream.address, workers=1)) as gateway:
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        worker = int(eventually(children.read_text).split()[0])
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: str(worker) not in children.read_text().split())
        eventually(lambda: children.read_text().split())
        assert httpx2.get(f"{gateway.url}/office/x").status_code == 200


def test_daily_log(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """With {day} in its name the access log is one file a day."""
    log = str(tmp_path / "gateway-{day}.log")
    options = gateway_options(tmp_path, upstream.address, access_log=log)
    with running(binary, options) as gateway:
        httpx2.get(f"{gateway.url}/office/x")
        (file,) = eventually(lambda: list(tmp_path.glob("gateway-20[0-9][0-9]-[01]?-[0-3]?.log")))
        assert eventually(file.read_text)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_folders_decide_the_workers_user(tmp_path: Path, open_folder: Path) -> None:
    """Root's workers stay root only for folders that nobody else can read, or write a log to."""
    root = "root" if os.geteuid() == 0 else None
    tmp_path.chmod(0o700)
    assert worker_user(open_folder) is None
    assert worker_user(open_folder, tmp_path) == root
    assert worker_user(open_folder, written=(open_folder,)) == root
    open_folder.chmod(0o1777)
    assert worker_user(open_folder, written=(open_folder,)) is None


def test_daily_log_of_unprivileged_workers(
    binary: Path, open_folder: Path, upstream: Upstream
) -> None:
    """The user that `worker_user` picks can write the daily log, whoever starts nginx."""
    for mode in (0o755, 0o1777):
        logs = open_folder / f"logs-{mode:o}"
        logs.mkdir()
        logs.chmod(mode)
        options = gateway_options(
            open_folder,
            upstream.address,
            access_log=str(logs / "gateway_{day}.log"),
            worker_user=worker_user(open_folder, written=(logs,)),
        )
        with running(binary, options) as gateway:
            httpx2.get(f"{gateway.url}/office/x")
            (file,) = eventually(lambda: list(logs.iterdir()))  # noqa: B023
            assert eventually(file.read_text)


def test_runs_without_privileges(binary: Path, open_folder: Path, upstream: Upstream) -> None:
    """An ordinary user's nginx needs to write to its run folder and nowhere else."""
    log = str(open_folder / "run" / "access.log")
    options = gateway_options(open_folder, upstream.address, access_log=log)
    conf = open_folder / "nginx.conf"
    conf.write_text(render(options), encoding="utf-8")
    user: dict[str, int] = {}
    if os.geteuid() == 0:
        user = {"user": NOBODY, "group": NOBODY}
        os.chown(options.run_folder, NOBODY, NOBODY)
    else:
        for folder in (open_folder, options.page_folder):
            folder.chmod(0o555)
    process = subprocess.Popen(
        command(binary, conf),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        **user,  # type: ignore[call-overload]
    )
    try:
        url = f"http://127.0.0.1:{options.port}"
        pid_file = options.run_folder / "nginx.pid"
        eventually(
            lambda: process.poll() is not None or (pid_file.exists() and pid_file.read_text())
        )
        body = b"x" * 1_000_000
        assert httpx2.post(f"{url}/character/characters", content=body).status_code == 200
        assert httpx2.get(f"{url}/").text == PAGE
        owner = Path(f"/proc/{process.pid}").stat().st_uid
        assert owner != 0
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=HANG_S)
        for folder in (open_folder, options.page_folder):
            folder.chmod(stat.S_IRWXU)
    assert complaints == ""
