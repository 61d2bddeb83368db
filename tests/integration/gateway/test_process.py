"""nginx as a process: found, checked, started without privileges, healed after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.gateway.nginx import (
    check_config,
    choose_worker_user,
    find_nginx,
    find_wheel_nginx,
    nginx_command,
    read_nginx_version,
)
from chatbot_ai.server.gateway_spec import compose_options
from chatbot_ai.settings import Settings
from support.gateway_lab import PAGE, eventually, install_faster_config, lab_options, running
from support.gateway_upstream import Upstream
from support.waiting import HANG_S

NOBODY = 65534


def test_configured_binary_comes_first(binary: Path) -> None:
    """A configured nginx is taken as it is, and every candidate says its version."""
    assert find_nginx(str(binary)) == binary
    assert read_nginx_version(binary) >= (1, 20)


def test_missing_binary_is_a_configuration_error() -> None:
    """A configured program that is not there, or is not nginx, is the operator's to mend."""
    with pytest.raises(ConfigurationError):
        find_nginx("/nowhere/nginx")
    with pytest.raises(ConfigurationError):
        read_nginx_version(find_nginx(shutil.which("true")))


def test_wheel_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a system nginx the package's own is used."""
    monkeypatch.setattr("chatbot_ai.gateway.nginx.shutil.which", lambda *_, **__: None)
    assert find_nginx() == find_wheel_nginx()


def test_compose_configuration_is_accepted(binary: Path, tmp_path: Path) -> None:
    """nginx accepts nginx.conf with what python-libs-init writes beside it, and takes no address
    of a service at its start."""
    if read_nginx_version(binary) >= (1, 27, 3):
        options = compose_options(Settings(_env_file=None))
        check_config(binary, install_faster_config(options, tmp_path / "run"))


def test_bad_configuration_names_its_line(binary: Path, tmp_path: Path) -> None:
    """nginx's complaint, with file and line, is what the operator gets to read."""
    conf = tmp_path / "nginx.conf"
    conf.write_text("events {}\nnonsense on;\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        check_config(binary, conf)
    assert f"{conf}:2" in str(caught.value)


def test_killed_master_heals(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """After kill -9 of the master its workers are ended too, and the port is free again."""
    with running(binary, lab_options(tmp_path, upstream.address)) as gateway:
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
        assert httpx2.get(f"{gateway.url}/healthz").status_code == 200, "orphans still serve"
        gateway.stop()
        gateway.start()
        assert httpx2.get(f"{gateway.url}/office/x").status_code == 200


def test_killed_worker_is_replaced(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """nginx itself starts a new worker for one that dies."""
    with running(binary, lab_options(tmp_path, upstream.address)) as gateway:
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        worker = int(eventually(children.read_text).split()[0])
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: str(worker) not in children.read_text().split())
        eventually(lambda: children.read_text().split())
        assert httpx2.get(f"{gateway.url}/office/x").status_code == 200


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_folders_decide_the_workers_user(tmp_path: Path, open_folder: Path) -> None:
    """Root's workers stay root only for folders that nobody else can read."""
    root = "root" if os.geteuid() == 0 else None
    tmp_path.chmod(0o700)
    assert choose_worker_user(open_folder) is None
    assert choose_worker_user(open_folder, tmp_path) == root


def test_runs_without_privileges(binary: Path, open_folder: Path, upstream: Upstream) -> None:
    """An ordinary user's nginx needs to write to its run folder and nowhere else."""
    options = lab_options(open_folder, upstream.address)
    run = open_folder / "run"
    conf = install_faster_config(options, run)
    log = run / "access.log"
    log.touch()
    user: dict[str, int] = {}
    if os.geteuid() == 0:
        user = {"user": NOBODY, "group": NOBODY}
        os.chown(run, NOBODY, NOBODY)
        os.chown(log, NOBODY, NOBODY)
    else:
        for folder in (open_folder, open_folder / "nginx"):
            folder.chmod(0o555)
    with log.open("ab") as output:
        process = subprocess.Popen(
            nginx_command(binary, conf, None),
            start_new_session=True,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            **user,  # type: ignore[call-overload]
        )
    try:
        url = f"http://127.0.0.1:{options.listen_port}"
        pid_file = run / "nginx.pid"
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
        for folder in (open_folder, open_folder / "nginx"):
            folder.chmod(stat.S_IRWXU)
    assert complaints == ""
