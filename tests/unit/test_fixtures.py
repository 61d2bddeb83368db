"""The fixtures that keep tests apart from this machine do what they promise."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from blockbuster import BlockingError

from chatbot_ai.llm.engine import may_lock_memory
from support.isolation import OutgoingConnection, is_loopback, own_variables


def test_only_loopback_answers() -> None:
    """A connection or a look-up beyond this machine is refused before it leaves."""
    with socket.socket() as outgoing, pytest.raises(OutgoingConnection):
        outgoing.connect(("192.0.2.1", 9))
    with pytest.raises(OutgoingConnection):
        socket.getaddrinfo("chatbot.example", 80)
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", None, "10.0.0.1")] == [True] * 3 + [False]


def test_the_environment_holds_no_setting() -> None:
    """No variable of ours and no proxy is left; home is an empty folder."""
    assert own_variables(iter(os.environ)) == []
    assert own_variables(iter(["OFFICE_PORT", "LOG_DIR", "https_proxy", "PATH"])) == [
        "OFFICE_PORT",
        "LOG_DIR",
        "https_proxy",
    ]
    assert list(Path.home().iterdir()) == []


async def test_a_blocking_call_of_ours_is_caught(tmp_path: Path) -> None:
    """Code of the package that touches the disk inside the event loop fails where it does."""
    with pytest.raises(BlockingError):
        may_lock_memory(tmp_path)
    assert await asyncio.to_thread(may_lock_memory, tmp_path) in (True, False)
