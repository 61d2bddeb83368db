"""Ports that are held and socket files in a folder of ours."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.server import listeners
from chatbot_ai.server.listeners import bind_file, open_listeners, open_port, socket_folder
from chatbot_ai.settings import Config, load_config
from support.process_group import free_ports

Configure = Callable[..., Config]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    def configured(**changes: str) -> Config:
        ports = dict(
            zip(("GATEWAY_PORT", "OFFICE_PORT", "CHARACTER_PORT"), free_ports(3), strict=True)
        )
        values = {name: str(port) for name, port in ports.items()} | changes
        for name, value in (values | {"DATA_DIR": str(tmp_path / "data")}).items():
            monkeypatch.setenv(name, value)
        return load_config(None)

    return configured


def may_be_taken(host: str, port: int) -> bool:
    """Whether another program can listen there, with every permission to share that there is."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            other.bind((host, port))
            other.listen()
        except OSError:
            return False
        return True


def test_every_port_is_held(configure: Configure) -> None:
    """The gateway's for all that `localhost` may mean, and each service's."""
    config = configure()
    port = config.shared.gateway_port
    places = [("127.0.0.1", port), ("::1", port)]
    places += [("127.0.0.1", own.service_port) for own in (config.office, config.character)]
    with open_listeners(config):
        assert not any(may_be_taken(*place) for place in places)
    assert all(may_be_taken(*place) for place in places)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1"])  # noqa: S104
def test_an_address_that_localhost_may_mean_and_is_taken(configure: Configure, host: str) -> None:
    """It is said with the setting, whichever of the two was asked for."""
    config = configure(GATEWAY_HOST=host)
    other = "127.0.0.1" if host == "::1" else "::1"
    with (
        open_port(other, config.shared.gateway_port, "X", listen=True),
        pytest.raises(ConfigurationError, match=rf"{other} cannot be used.*GATEWAY_PORT"),
        open_listeners(config),
    ):
        pass


def test_a_machine_without_ipv6(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the address that was asked for must be there."""

    def open_without_ipv6(host: str, port: int, setting: str, *, listen: bool) -> socket.socket:
        return open_port("192.0.2.1" if ":" in host else host, port, setting, listen=listen)

    monkeypatch.setattr(listeners, "open_port", open_without_ipv6)
    with open_listeners(configure()) as opened:
        assert [held.getsockname()[0] for held in opened.gateway] == ["127.0.0.1"]
    with (
        pytest.raises(ConfigurationError, match="GATEWAY_HOST"),
        open_listeners(configure(GATEWAY_HOST="::1")),
    ):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_an_address_that_is_not_this_machines(configure: Configure, host: str) -> None:
    """The remedy is another address, not another port."""
    with (
        pytest.raises(ConfigurationError, match="set GATEWAY_HOST to"),
        open_listeners(configure(GATEWAY_HOST=host)),
    ):
        pass


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


def test_nobody_else_may_write_to_the_folder(short: Path) -> None:
    """Nor connect to a file in it; the folder is gone in the end."""
    with socket_folder(short) as folder:
        assert folder.parent == short
        assert folder.stat().st_uid == os.geteuid()
        assert stat.S_IMODE(folder.stat().st_mode) in (0o700, 0o711)
        (folder / "a.sock").touch()  # of a service that was killed
        with bind_file(folder / "a.sock", os.geteuid()):
            found = (folder / "a.sock").stat()
            assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o600)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["n" * 90, "대화 자료", 'with "quotes"', "with blanks", "a$b;{}"])
def test_a_path_that_sockets_or_nginx_cannot_take(tmp_path: Path, name: str) -> None:
    """The folder is made elsewhere, with a path that fits."""
    (tmp_path / name).mkdir()
    with (
        socket_folder(tmp_path / name) as folder,
        bind_file(folder / "engine-character.sock", os.geteuid()),
    ):
        assert folder.parent != tmp_path / name
        assert folder.stat().st_mode & 0o022 == 0


def test_what_a_killed_group_left_is_removed(short: Path) -> None:
    """A folder that nobody holds; not one that is new or in use."""
    abandoned, held, new = (short / f"chatbot-ai-{n}2345678" for n in (1, 2, 3))
    for folder in (abandoned, held, new):
        folder.mkdir()
        (folder / "engine.sock").touch()
    for folder in (abandoned, held):
        os.utime(folder, (0, 0))
    handle = os.open(held, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with socket_folder(short):
            assert [f.exists() for f in (abandoned, held, new)] == [False, True, True]
    finally:
        os.close(handle)
