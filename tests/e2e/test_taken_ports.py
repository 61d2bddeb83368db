"""Another user of this machine who waits for a part to die gets nothing in its place."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from support.http_calls import body
from support.load import Load
from support.process_group import HEAL_S, Group, Part, brief, started

#: Listens wherever it can, until its input ends; then says where it did, and what files it could
#: reach or make.
INTRUDER = """
import json, os, select, socket, sys
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
places, folders = json.loads(sys.argv[1]), json.loads(sys.argv[2])
taken, reached = [], []
print("trying", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for host, port in places:
        other = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            other.bind((host, port))
            other.listen()
            taken.append((host, port))
        except OSError:
            pass
        other.close()
    for folder in folders:
        for name in ("office", "character", "engine"):
            path = f"{folder}/{name}.sock"
            other = socket.socket(socket.AF_UNIX)
            try:
                other.connect(path)
                reached.append(path)
            except OSError:
                pass
            other.close()
            try:
                os.rename(path, path + ".away")
                reached.append(path)
            except OSError:
                pass
        try:
            os.unlink(f"{folder}/{name}.sock")
            reached.append(folder)
        except OSError:
            pass
print(json.dumps([taken, reached]))
"""


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """A group to attack."""
    folder = tmp_path_factory.mktemp("taken")
    with started(folder, **brief(folder)) as running:
        yield running
        assert running.interrupt() == 0


def socket_files(group: Group) -> list[Path]:
    """The files that this group's processes listen on."""
    pids = {str(group.pid(part)) for part in ("engine", "office", "character")}
    lines = subprocess.run(
        ["cat", "/proc/net/unix"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    inodes = {line.split()[6]: line.split()[7] for line in lines if line.endswith(".sock")}
    found = set()
    for pid in pids:
        for opened in Path(f"/proc/{pid}/fd").iterdir():
            inode = str(opened.readlink()).removeprefix("socket:[").rstrip("]")
            if inode in inodes:
                found.add(Path(inodes[inode]))
    return sorted(found)


@contextmanager
def intruder(group: Group, files: list[Path]) -> Iterator[list[object]]:
    """Somebody else's process; the list that is yielded gets what it could take in the end."""
    ports = [int(group.environment[f"{n}_PORT"]) for n in ("GATEWAY", "OFFICE", "CHARACTER")]
    places = [("127.0.0.1", port) for port in ports] + [("::1", ports[0])]
    folders = sorted({str(file.parent) for file in files})
    # files are tried only where there is another user to be: the owner may do as he likes
    is_root = os.geteuid() == 0
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            INTRUDER,
            json.dumps(places),
            json.dumps(folders if is_root else []),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "trying\n"
    gained: list[object] = []
    yield gained
    output, _ = process.communicate("stop\n")
    gained += json.loads(output)


@pytest.mark.parametrize("part", ["engine", "office", "character", "gateway"])
def test_nothing_is_free_while_a_part_restarts(group: Group, part: Part) -> None:
    """No port can be taken and no socket file reached, replaced or removed."""
    files = socket_files(group)
    assert {file.name for file in files} == {"engine.sock", "office.sock", "character.sock"}
    with intruder(group, files) as gained, Load(group, part) as load:
        load.wait_for_answers(HEAL_S)
        group.wait_healed(group.kill(part), part)
        load.wait_for_answers(HEAL_S)
    assert gained == [[], []]


def test_what_is_printed_is_served(group: Group) -> None:
    """`localhost` means either address."""
    port = int(group.environment["GATEWAY_PORT"])
    assert f"http://localhost:{port}" in group.output
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port), 10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 200 " in connection.recv(1000)


def test_a_direct_caller_is_served(group: Group) -> None:
    """The services' own ports stay open for monitoring and for those who call them directly."""
    url = f"http://127.0.0.1:{group.environment['OFFICE_PORT']}"
    assert httpx2.post(f"{url}/Llama", json=body("office"), timeout=HEAL_S).status_code == 200
