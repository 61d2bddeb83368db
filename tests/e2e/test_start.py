"""What is in the way of a start is said in one sentence, and nothing is left running."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.process_group import (
    REPOSITORY,
    START_S,
    Group,
    Refused,
    environment,
    eventually,
    free_ports,
    refused,
)

DEMO = "demo/SmolLM2-135M-Instruct.Q4_1.gguf"
#: Exit codes: EX_CONFIG where the operator's set-up is wrong, 1 where something else is in the way.
WRONG_SETUP, OTHER = 78, 1


@pytest.fixture
def settings(tmp_path: Path, model_file: Path) -> dict[str, str]:
    """The environment of a group that would start."""
    assert model_file.is_file()
    return environment(tmp_path)


def _sentence(ended: Refused, code: int, *named: str) -> str:
    """The one line of the error; it names what is wrong."""
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output
    lines = [line for line in ended.output.splitlines() if line.startswith("chatbot-ai: ")]
    assert len(lines) == 1, ended.output
    for name in named:
        assert name in lines[0]
    return lines[0]


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "OFFICE_PORT", "CHARACTER_PORT"])
def test_a_taken_port_is_named(settings: dict[str, str], name: str) -> None:
    """The port that is taken and the setting that changes it are said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings[name])))
        taken.listen()
        _sentence(refused(settings), WRONG_SETUP, settings[name], name)


def test_the_gateways_port_taken_for_ipv6_is_named(settings: dict[str, str]) -> None:
    """`localhost` may mean ::1: another program there would get what is meant for us."""
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", int(settings["GATEWAY_PORT"])))
        taken.listen()
        _sentence(refused(settings), WRONG_SETUP, settings["GATEWAY_PORT"], "::1", "GATEWAY_PORT")


@pytest.mark.parametrize("name", ["DATA_DIR", "LOG_DIR"])
def test_a_folder_that_cannot_be_made_is_named(
    settings: dict[str, str], tmp_path: Path, name: str
) -> None:
    """A file where a folder should be is said with its path."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    _sentence(refused(settings | {name: str(in_the_way)}), WRONG_SETUP, str(in_the_way))


@pytest.fixture
def in_own_mounts() -> tuple[str, ...]:
    """A command prefix that gives the rest of the line mounts of its own.

    As root, or where the kernel lets users make namespaces; elsewhere the disk tests say that
    they are skipped, and fail in CI.
    """
    unshare = shutil.which("unshare")
    flags = "-m" if os.geteuid() == 0 else "-Urm"
    if unshare is None or subprocess.call([unshare, flags, "true"]) != 0:
        reason = "needs `unshare` with mount namespaces, to fill a disk without filling this one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return (unshare, flags)


@pytest.mark.parametrize("options", ["ro", "size=2m"])
@pytest.mark.parametrize("name", ["DATA_DIR", "LOG_DIR"])
def test_a_disk_that_takes_nothing_is_named(
    settings: dict[str, str],
    tmp_path: Path,
    in_own_mounts: tuple[str, ...],
    name: str,
    options: str,
) -> None:
    """A folder on a read-only disk or on a full one is said with its path."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o {options} tmpfs "{disk}" && exec "$@"'
    ended = refused(
        settings | {name: str(disk / "folder")}, prefix=(*in_own_mounts, "sh", "-c", mount, "sh")
    )
    _sentence(ended, WRONG_SETUP, str(disk))


def test_a_missing_model_file_is_named(settings: dict[str, str]) -> None:
    """A configured model file that is not there is said with its setting and path."""
    changed = settings | {"OFFICE_MODEL_FILE": "mine/model.gguf"}
    _sentence(refused(changed), WRONG_SETUP, "OFFICE_MODEL_FILE", "mine/model.gguf")


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("CHATBOT_CONTXT_TOKENS", "2048", "CHATBOT_CONTEXT_TOKENS"),
        ("GATEWAY_PORT", "80001", "GATEWAY_PORT"),
        ("OFFICE_THREADS", "many", "OFFICE_THREADS"),
        ("TIMEZONE", "Asia/Soul", "TIMEZONE"),
    ],
)
def test_a_wrong_setting_is_named(
    settings: dict[str, str], name: str, value: str, named: str
) -> None:
    """A misspelt name or a value that cannot be is said with the name that was meant."""
    _sentence(refused(settings | {name: value}), WRONG_SETUP, named)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The personas' folder, to break."""
    return Path(shutil.copytree(REPOSITORY / "prompt", tmp_path / "prompt"))


@pytest.mark.parametrize("file", ["config-Llama.json", "config-OpenAI.json"])
def test_a_broken_persona_is_named_with_its_line(
    settings: dict[str, str], prompts: Path, file: str
) -> None:
    """A persona file that is no JSON is said with its path and line."""
    broken = prompts / file
    lines = broken.read_text("utf-8").splitlines()
    broken.write_text("\n".join([*lines[:3], "oops", *lines[3:]]), "utf-8")
    said = _sentence(refused(settings | {"PROMPT_DIR": str(prompts)}), WRONG_SETUP, str(broken))
    assert re.search(r"line \d+", said)


@pytest.fixture
def models(tmp_path: Path, model_file: Path) -> Iterator[Path]:
    """A models folder with a demo model of its own, to break."""
    folder = tmp_path / "models"
    (folder / "demo").mkdir(parents=True)
    shutil.copy(model_file, folder / DEMO)
    yield folder
    shutil.rmtree(folder)


def test_a_cut_model_is_named(settings: dict[str, str], models: Path) -> None:
    """A model file that is shorter than it should be is said with its path."""
    with (models / DEMO).open("r+b") as file:
        file.truncate(50_000_000)
    _sentence(
        refused(settings | {"MODEL_DIR": str(models), "CHATBOT_MODEL_FILE": ""}),
        OTHER,
        str(models / DEMO),
    )


def test_a_corrupt_model_is_named(settings: dict[str, str], models: Path) -> None:
    """A model file with other bytes than it should have is said with its path."""
    with (models / DEMO).open("r+b") as file:
        file.seek(60_000_000)
        file.write(b"not what was here")
    _sentence(
        refused(settings | {"MODEL_DIR": str(models), "CHATBOT_MODEL_FILE": ""}),
        OTHER,
        str(models / DEMO),
    )


def test_a_model_that_the_engine_cannot_load_is_named(
    settings: dict[str, str], models: Path
) -> None:
    """Where the engine itself refuses an operator's own file, the start ends and names it."""
    own = models / "own.gguf"
    own.write_bytes(b"GGUF" + b"\0" * 10_000)
    changed = settings | {"MODEL_DIR": str(models), "CHATBOT_MODEL_FILE": "own.gguf"}
    _sentence(refused(changed), WRONG_SETUP, "engine", str(own))


def test_a_damaged_conversation_file_is_named(settings: dict[str, str]) -> None:
    """A file of conversations that is no database is said with its path."""
    data = Path(settings["DATA_DIR"])
    data.mkdir()
    (data / "chatbot.sqlite3").write_bytes(b"this is no database" * 1000)
    _sentence(refused(settings), WRONG_SETUP, str(data / "chatbot.sqlite3"))


def test_engines_elsewhere_need_no_model_here(tmp_path: Path) -> None:
    """With ENGINE_URL for both, no file is fetched or announced, and a server that is away at the
    start stops nothing."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    models = tmp_path / "models"
    changes = {"CHATBOT_ENGINE_URL": url, "MODEL_DIR": str(models)}
    group = Group(tmp_path, environment(tmp_path, **changes))
    group.start()
    try:
        announced = eventually(
            lambda: re.search(rf"{url}\b", group.output), START_S, "announcement"
        )
        assert announced
        assert "SmolLM2" not in group.output
        assert not models.exists()
        assert not group.is_ready()
    finally:
        group.discard()
