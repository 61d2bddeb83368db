"""The `models` commands as processes, against a real hub server."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot_ai import models
from chatbot_ai.cli.terminal import parse_language
from chatbot_ai.messages import Language, get_message, read_table
from chatbot_ai.models.manifest import ModelFileError
from support.gguf_files import random_gguf
from support.model_hub import Fault, ModelHub, model_hub
from support.waiting import HANG_S

CONTENT = random_gguf(3, 400_000)
NAME = "maker/Model-GGUF/Model.gguf"


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as served:
        served.files["maker/Model-GGUF", "main", "Model.gguf"] = CONTENT
        yield served


def start(hub: ModelHub, folder: Path, *arguments: str, token: str = "") -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / ".env").write_text(f"HF_ENDPOINT={hub.endpoint}\nHF_TOKEN={token}\n")
    return subprocess.Popen(
        [sys.executable, "-m", "chatbot_ai.cli.main", "models", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "MODEL_DIR": str(folder),
        },
        cwd=folder,
    )


def run(hub: ModelHub, folder: Path, *arguments: str, token: str = "") -> tuple[int, str, str]:
    with start(hub, folder, *arguments, token=token) as child:
        out, err = child.communicate(timeout=HANG_S)
        return child.returncode, out, err


def test_a_file_is_pulled_listed_verified_and_removed(hub: ModelHub, tmp_path: Path) -> None:
    """The whole life of a model file through the commands."""
    code, out, err = run(hub, tmp_path, "pull", NAME)
    assert (code, str(tmp_path / NAME) in out, "100 %" in err) == (0, True, True)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    code, out, _ = run(hub, tmp_path, "list", "--lang", "en")
    states = {line.split()[0]: line.split()[1] for line in out.splitlines()[2:]}
    assert states == {
        "character": "missing",
        "office": "missing",
        "demo": "missing",
        NAME: "present",
    }
    code, out, _ = run(hub, tmp_path, "verify")
    assert code == 0
    assert re.search(r"\b[0-9a-f]{64}\b", out)
    assert run(hub, tmp_path, "remove", NAME, "--yes")[0] == 0
    assert not (tmp_path / NAME).exists()


def test_an_interrupted_pull_says_that_it_can_go_on(hub: ModelHub, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and keeps the part; the next pull asks only for the rest."""
    hub.faults.append(Fault(stall_after_bytes=300_000))
    child = start(hub, tmp_path, "pull", NAME, "--lang", "en")
    part = tmp_path / f"{NAME}.part"
    deadline = time.monotonic() + HANG_S
    while not part.exists() or part.stat().st_size < 300_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=HANG_S)
    assert child.returncode == 130
    assert get_message("cli.models.interrupted", "en", name=NAME) in err
    assert run(hub, tmp_path, "pull", NAME)[0] == 0
    assert hub.asked("/cdn/")[-1].headers["range"] == "bytes=300000-"
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_token_opens_a_gated_file_and_is_never_shown(hub: ModelHub, tmp_path: Path) -> None:
    """Without the token the command fails with a sentence, with it the file arrives."""
    hub.token = "hf-secret"
    code, out, err = run(hub, tmp_path, "pull", NAME)
    refusal = ModelFileError("unauthorized", host="127.0.0.1", name=NAME, status=401)
    assert (code, refusal.explain("ko") in err) == (1, True)
    code, out, err = run(hub, tmp_path, "pull", NAME, "--token", "hf-secret")
    assert (code, "hf-secret" in out + err) == (0, False)
    assert run(hub, tmp_path / "other", "pull", NAME, token="hf-secret")[0] == 0


def test_a_mirror_is_used(hub: ModelHub, tmp_path: Path) -> None:
    """`--endpoint` goes before the configured hub."""
    with model_hub() as mirror:
        mirror.files = hub.files
        assert run(hub, tmp_path, "pull", NAME, "--endpoint", mirror.endpoint)[0] == 0
    assert hub.seen == []


def test_a_corrupt_file_fails_verification(hub: ModelHub, tmp_path: Path) -> None:
    """A file that changed since it arrived makes `verify` end with 1."""
    assert run(hub, tmp_path, "pull", NAME)[0] == 0
    (tmp_path / NAME).write_bytes(CONTENT[::-1])
    assert run(hub, tmp_path, "verify")[0] == 1


@pytest.mark.parametrize(
    ("value", "language"),
    [("ko", "ko"), ("en", "en"), ("en_US.UTF-8", "en"), ("C.UTF-8", "ko"), ("", "ko")],
)
def test_korean_is_the_default_language(value: str, language: Language) -> None:
    """LANG and --lang choose English only where they say so."""
    assert parse_language(value) == language


def test_every_reason_is_explained() -> None:
    """What the source raises a ModelFileError for is in the table, and nothing else is."""
    raised = set()
    for path in Path(models.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                raised.add(node.value)
    assert set(read_table("models")) <= raised
