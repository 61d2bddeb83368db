"""`chatbot-ai chat`, the real command, against a real HTTP server that speaks the chat API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.scripted_gateway import DONE, Step, event, gateway, refusal, stream

END = {
    "finish_reason": "length",
    "model": "tiny",
    "backup": True,
    "context": {"turns_left_out": 3},
    "warnings": ["search_unavailable", "of_a_newer_service"],
    "sources": [{"n": 1, "title": "[red]제목[/nope]", "url": "https://example.com/"}],
}


def chat(*arguments: str, said: str = "안녕\n") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chatbot_ai.cli.main", "chat", *arguments, "--lang", "en"]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=120, check=False
    )


def answered(*events: bytes) -> subprocess.CompletedProcess[str]:
    with gateway(lambda _: stream(*events)) as server:
        return chat("office", "--url", server.url)


def test_an_answer_is_shown_with_what_it_rests_on() -> None:
    """Brackets are text, not markup; sources, warnings and the model that answered are told."""
    text = event("delta", {"text": "*[smiles]* [/x] 안녕"})
    done = answered(event("queued", {"position": 2, "wait_s": 4.5}), text, event("done", END))
    assert done.returncode == 0, done.stderr
    for shown in (
        "number 2 in the queue, expected wait about 4 s",
        "*[smiles]* [/x] 안녕",
        "[1] [red]제목[/nope] https://example.com/",
        "Web search is unavailable",
        "of_a_newer_service",
        "cut off at the maximum length",
        "oldest 3 turns were left out",
        "answered by a backup model: tiny",
    ):
        assert shown in done.stdout


def test_a_characters_own_words_are_text() -> None:
    """A name and a greeting with brackets are shown as they are."""
    with gateway(lambda _: stream(event("delta", {"text": "네"}), event("done", END))) as server:
        done = chat("character", "--url", server.url, "--name", "[/b]", "--greeting", "[waves]")
        assert server.asked[0].body["character_name"] == "[/b]"
        assert server.asked[0].path == "/character/Llama"
    assert "[/b]: [waves]" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (refusal(), "나중에"),
        (Step(502, {"Content-Type": "text/html"}, (b"<h1>Bad Gateway</h1>",)), "status 502"),
        (Step(200, {"Content-Type": "text/html"}, (b"<h1>Hello</h1>",)), "status 200"),
        (Step(500, {"Content-Type": "application/json"}, (b'["x"]',)), "status 500"),
        (stream(event("delta", {"text": "half"})), "connection was lost"),
        (stream(b"data: {nonsense\n\n"), "connection was lost"),
    ],
)
def test_what_goes_wrong_is_one_sentence(step: Step, shown: str) -> None:
    """Refusals, foreign pages and cut streams are told, without a traceback; the chat goes on."""
    with gateway(lambda _: step) as server:
        done = chat("office", "--url", server.url, said="하나\n둘\n")
        assert len(server.asked) == 2
    assert shown in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 0


def test_nobody_there() -> None:
    """Without a gateway the command says where it looked and what to do, and fails."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = chat("office", "--url", url)
    assert done.returncode == 1
    assert url in done.stdout
    assert "make run" in done.stdout


def test_only_the_two_assistants() -> None:
    """A misspelt assistant is refused before anything is sent."""
    with gateway(lambda _: stream(DONE)) as server:
        done = chat("offic", "--url", server.url)
        assert not server.asked
    assert done.returncode == 2


def test_nothing_that_comes_steers_the_terminal() -> None:
    """Neither an answer, cut anywhere, nor a source, a warning, a refusal, nor a name."""
    hostile = "\x1b[2J\x9b1m\u202ex\x07\r"
    end = END | {"warnings": [hostile], "sources": [{"n": 1, "title": hostile, "url": hostile}]}
    texts = [event("delta", {"text": part}) for part in ("\x1b", "]0;x\x07", hostile)]
    done = answered(*texts, event("done", end))
    with gateway(lambda _: refusal(503, message=hostile)) as server:
        refused = chat("character", "--url", server.url, "--name", hostile.replace("\r", ""))
    for output in (done.stdout, done.stderr, refused.stdout, refused.stderr):
        assert not set("\x1b\x9b\u202e\x07") & set(output)
    assert "x" in done.stdout
    assert "␛[2J" in refused.stdout


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "ftp://u:p@x:9"])
def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Words and keys for a gateway here go through nobody's proxy, usable or not."""
    for name in ("ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    done = answered(event("delta", {"text": "네"}), event("done", END))
    assert "네" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("command", [("chat", "--url", "http://gateway.example"), ("models",)])
def test_a_proxy_that_cannot_be_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """In one sentence, by every command that would need it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    arguments = ("models", "pull", "character") if command == ("models",) else command
    done = subprocess.run(
        [sys.executable, "-m", "chatbot_ai.cli.main", *arguments, "--lang", "en"],
        env=os.environ | {"MODEL_DIR": str(tmp_path)},
        input="hi\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "ALL_PROXY" in done.stderr
    assert "socksio" in done.stderr
