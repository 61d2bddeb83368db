"""The doctor's checks of ports, files, programs and databases, on real ones."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.models.manifest import ModelFile
from chatbot_ai.tools.doctor.check import Finding, State
from chatbot_ai.tools.doctor.services import (
    check_ai_notice,
    check_database,
    check_folders,
    check_keys,
    check_models,
    check_nginx,
    check_ports,
)
from support.gguf_files import small_gguf
from support.mongodb_process import MongodbProcess


def codes(findings: list[Finding]) -> list[str]:
    return [finding.message for finding in findings]


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("is_published", "ai_notice", "state"),
    [
        (True, True, State.OK),
        (False, True, State.OK),
        (False, False, State.OK),
        (True, False, State.WARN),
    ],
)
def test_a_published_service_tells_of_its_ai(
    is_published: bool, ai_notice: bool, state: State
) -> None:
    """Only within the team may the notice be off."""
    (found,) = check_ai_notice(is_published=is_published, ai_notice=ai_notice)
    assert found.state is state


def test_a_taken_port_names_its_holder(listener: int) -> None:
    """The finding carries the pid and the program that listens."""
    (found,) = check_ports({"office": listener}, "127.0.0.1")
    assert (found.message, found.state) == ("port_taken_by", State.FAIL)
    assert found.facts["pid"] == os.getpid()
    assert found.facts["port"] == listener


def test_a_free_port_is_free(listener: int) -> None:
    """After its listener is gone a port is free; a foreign address is said."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert codes(check_ports({"office": port}, "127.0.0.1")) == ["port_free"]
    assert codes(check_ports({"office": port}, "192.0.2.1")) == ["port_address"]


@pytest.mark.parametrize(
    ("name", "code"), [("chatbot-ai", "port_ours"), ("other", "port_taken_by")]
)
def test_a_port_of_this_system_is_no_problem(tmp_path: Path, name: str, code: str) -> None:
    """A port held by a child of `chatbot-ai` is in order, by whatever name the child runs."""
    script = tmp_path / name
    script.write_text(
        "import subprocess, sys\n"
        "code = 'import socket; s = socket.create_server((\"127.0.0.1\", 0));'\n"
        "code += 'print(s.getsockname()[1], flush=True); input()'\n"
        "subprocess.run([sys.executable, '-c', code])\n"
    )
    child = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        port = int(child.stdout.readline())
        found = check_ports({"gateway": port}, "127.0.0.1")
        child.stdin.write("\n")
    assert codes(found) == [code]


def test_model_files_are_looked_at(tmp_path: Path) -> None:
    """Present, partial, missing, broken and unknown files each have their finding."""
    known = tuple(
        ModelFile(name, PurePosixPath("a", f"{name}.gguf"), None)
        for name in ("good", "half", "none", "bad")
    )
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "good.gguf").write_bytes(small_gguf())
    (folder / "bad.gguf").write_bytes(b"<html>")
    (folder / "half.gguf.part").write_bytes(b"GGUF")
    library = ModelLibrary(tmp_path, known=known)
    found = check_models(library, ["good", "half", "none", "bad", "what", "good"])
    assert codes(found) == [
        "model_ok",
        "model_partial",
        "model_missing",
        "model_broken",
        "model_unknown",
    ]
    assert {one.state for one in found[1:]} == {State.FAIL}


def test_folders_must_be_writable(tmp_path: Path) -> None:
    """A folder that can be made is fine and is not made; a path through a file fails."""
    (tmp_path / "file").write_text("")
    found = check_folders({"logs": tmp_path / "new" / "logs", "data": tmp_path / "file"})
    assert codes(found) == ["folder_ok", "folder_is_file"]
    assert not (tmp_path / "new").exists()
    assert codes(check_folders({"logs": Path("/proc/none")})) == ["folder_closed"]


def test_nginx_must_start(tmp_path: Path) -> None:
    """A binary that tells its version is fine; one that fails or is not there is not."""
    binary = tmp_path / "nginx"
    binary.write_text("#!/bin/sh\necho 'nginx version: nginx/1.28.0' >&2\n")
    binary.chmod(0o755)
    (found,) = check_nginx(str(binary))
    assert (found.message, found.facts["version"]) == ("nginx_ok", "1.28.0")
    binary.write_text("#!/bin/sh\necho 'error while loading shared libraries' >&2\nexit 127\n")
    assert codes(check_nginx(str(binary))) == ["nginx_broken"]
    assert codes(check_nginx(str(tmp_path / "no-nginx"))) == ["nginx_missing"]
    assert codes(check_nginx(None)) == ["nginx_missing"]


def test_sqlite_is_tried_where_the_data_will_be(tmp_path: Path) -> None:
    """Without MongoDB the data folder's disk must carry SQLite's WAL; nothing is left there."""
    (found,) = check_database(None, tmp_path / "data")
    assert (found.message, found.state) == ("sqlite_ok", State.OK)
    assert list(tmp_path.iterdir()) == []
    assert codes(check_database(None, Path("/proc/none"))) == ["sqlite_broken"]


def test_an_unreachable_mongodb_fails(listener: int, tmp_path: Path) -> None:
    """A server that is not there and one that never answers are both unreachable."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    for port in (closed, listener):
        (found,) = check_database(f"mongodb://user:hidden@127.0.0.1:{port}", tmp_path)
        assert (found.message, found.state) == ("mongodb_unreachable", State.FAIL)
        assert "hidden" not in repr(found)
    assert codes(check_database("nonsense://", tmp_path)) == ["mongodb_url"]
    assert codes(check_database("mongodb://user:p@ss:word@host", tmp_path)) == ["mongodb_url"]


def test_a_reachable_mongodb_is_fine(tmp_path: Path) -> None:
    """A server that speaks MongoDB's protocol is asked for its version."""
    server = MongodbProcess(tmp_path / "server")
    server.start()
    try:
        found = check_database(server.url, tmp_path)
    finally:
        server.stop()
    assert codes(found) == ["mongodb_ok"]
    assert re.match(r"\d+\.\d+", str(found[0].facts["version"]))


@pytest.mark.parametrize(
    ("google", "engine", "openai", "expected"),
    [
        (True, True, True, ["search_google", "openai_key"]),
        (False, False, False, ["search_duckduckgo", "openai_none"]),
        (True, False, False, ["search_half", "openai_none"]),
        (False, True, False, ["search_half", "openai_none"]),
    ],
)
def test_half_a_search_key_is_noticed(
    google: bool, engine: bool, openai: bool, expected: list[str]
) -> None:
    """Both Google settings or none; no key is ever an argument."""
    found = check_keys(has_google_key=google, has_search_engine_id=engine, has_openai_key=openai)
    assert codes(found) == expected
