"""What logs leave out: texts of exceptions, keys of every kind, passwords."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from chatbot_ai.access.key import new_secret
from chatbot_ai.server.logs import configure, format_frames, hide_keys, log_loop_error, write_frames
from chatbot_ai.settings import Settings

SECRET = "planted-7d1e text of a user"


def fail(how: str) -> None:
    """Raise an exception that quotes the secret, in one of the ways exceptions are linked."""
    try:
        int(SECRET)
    except ValueError as error:
        if how == "cause":
            raise RuntimeError(f"wrapped {SECRET}") from error
        if how == "context":
            raise KeyError(SECRET)  # noqa: B904 - the link without `from` is what is tested
        if how == "group":
            raise ExceptionGroup(SECRET, [error, TypeError(SECRET)]) from None
        error.add_note(SECRET)
        raise


@pytest.mark.parametrize(
    ("how", "types"),
    [
        ("plain", ["builtins.ValueError"]),
        ("cause", ["builtins.ValueError", "builtins.RuntimeError"]),
        ("context", ["builtins.ValueError", "builtins.KeyError"]),
        ("group", ["builtins.ValueError", "builtins.TypeError", "builtins.ExceptionGroup"]),
    ],
)
def test_exceptions_are_told_without_their_texts(how: str, types: list[str]) -> None:
    """Every type of the chain and the frames it came through; no text, no note, no source line."""
    try:
        fail(how)
    except Exception:
        info = sys.exc_info()
    assert info[0] is not None
    assert info[1] is not None
    told = format_frames((info[0], info[1], info[2]))
    assert SECRET not in told
    assert "raise" not in told
    assert sorted(line for line in told.splitlines() if not line.startswith(" ")) == sorted(types)
    assert f"{__file__}:" in told
    assert " in fail" in told
    terminal = io.StringIO()
    write_frames(terminal, (info[0], info[1], info[2]))
    assert terminal.getvalue() == f"\n{told}"


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Exceptions that name each other as causes are told once."""
    one, two = ValueError("a"), TypeError("b")
    one.__cause__, two.__cause__ = two, one
    assert format_frames((ValueError, one, None)).count("Error") == 2


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-Abc123_def456-GHI789jkl012",
        "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        pytest.param(new_secret(), id="ours"),
    ],
)
def test_keys_are_shortened(key: str) -> None:
    """Whoever's key it is and wherever it stands, its secret part is gone."""
    line = hide_keys(f'{{"path": "/office/{key}", "detail": "Bearer {key}."}}')
    assert key not in line
    assert key[-10:] not in line
    assert json.loads(line)["path"].endswith("…")


@pytest.mark.parametrize("password", ["s3cret", "p%40ss%2Fword", "a@b", "한글"])
def test_passwords_of_urls_are_hidden(password: str) -> None:
    """User and host stay readable, the password does not."""
    line = hide_keys(f"cannot reach mongodb://root:{password}@db.example:27017/chat?x=1 now")
    assert line == "cannot reach mongodb://root:…@db.example:27017/chat?x=1 now"


@pytest.mark.parametrize(
    "line",
    ["risk-averse-but-long-enough-word", "http://127.0.0.1:8001/office/", "a: b@c", "task-1"],
)
def test_other_text_stays(line: str) -> None:
    """Nothing is taken for a secret that is none."""
    assert hide_keys(line) == line


@pytest.fixture
def log_folder(tmp_path: Path) -> Iterator[Path]:
    """The process's logging, configured as a service does, and put back."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, before = list(root.handlers), structlog.get_config()
    # cached loggers would keep this configuration for the tests after this one
    settings = Settings(log_dir=tmp_path, log_format="none")
    daily = configure("office", settings)
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield tmp_path
    finally:
        daily.close()
        root.handlers, root.level = handlers, level
        structlog.configure(**before)


def only_file(folder: Path) -> str:
    (file,) = folder.glob("office_*.log")
    return file.read_text("utf-8")


async def test_a_crash_in_the_file(log_folder: Path) -> None:
    """Neither our own tracebacks, nor a library's, nor asyncio's complaint of a lost task hold what
    the exception said."""
    log = structlog.get_logger()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    try:
        fail("cause")
    except RuntimeError as error:
        log.exception("ours.crashed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        loop.call_exception_handler({"message": "Task exception was never retrieved",
                                     "exception": error, "future": repr(error)})  # fmt: skip
    text = await asyncio.to_thread(only_file, log_folder)
    assert SECRET not in text
    events = [json.loads(line) for line in text.splitlines()]
    assert [e["event"] for e in events] == [
        "ours.crashed",
        "Exception in ASGI application",
        "loop.error",
    ]
    assert all("builtins.RuntimeError" in e["exception"] for e in events)
