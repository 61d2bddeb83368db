"""What a service says and does where something in its set-up is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.server.gateway_spec import SITE_FOLDER
from support.operator_services import answers, free_port, until
from support.waiting import HANG_S

SERVE = (sys.executable, "-m", "chatbot_ai.cli.main", "serve", "office")


def environment(folder: Path, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SITE_FOLDER / "src"),
        "DATA_DIR": str(folder),
        "LOG_DIR": str(folder / "logs"),
        "LOG_FORMAT": "none",
        "PROMPT_DIR": str(SITE_FOLDER / "prompt"),
        "OFFICE_PORT": str(free_port()),
        "OFFICE_ENGINE_URL": f"http://127.0.0.1:{free_port()}",
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("all_proxy", "socks5h://me:planted@127.0.0.1:9"),
        ("HTTPS_PROXY", "ftp://me:planted@127.0.0.1:9"),
        ("SSL_CERT_FILE", "/nowhere/planted.pem"),
    ],
)
@pytest.mark.parametrize(
    "openai", [{"OPENAI_API_KEY": "sk-x"}, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}]
)
def test_a_proxy_that_cannot_be_used_turns_off_openai_alone(
    tmp_path: Path, name: str, value: str, openai: dict[str, str]
) -> None:
    """The service serves, /readyz says what is off and what to do, its models are 503."""
    settings = environment(tmp_path, **openai, **{name: value})
    process = subprocess.Popen(SERVE, cwd=tmp_path, env=settings)
    url = f"http://127.0.0.1:{settings['OFFICE_PORT']}"
    try:
        until(lambda: process.poll() is not None or answers(f"{url}/healthz"))
        assert process.poll() is None
        ready = httpx2.get(f"{url}/readyz", trust_env=False, timeout=HANG_S).json()
        assert ready["store"] == "ok"
        if name == "SSL_CERT_FILE" and "openai" not in ready:
            return  # the library does not look before it connects
        assert name.upper() in ready["openai"]
        assert "planted" not in str(ready)
        body = {"input_data": "안녕"}
        answer = httpx2.post(f"{url}/gpt4.1", json=body, trust_env=False, timeout=HANG_S)
        assert answer.status_code == 503
        listed = httpx2.get(f"{url}/v1/models", trust_env=False, timeout=HANG_S).json()["data"]
        assert [model["id"] for model in listed] == ["Llama"]
    finally:
        process.terminate()
        process.wait(HANG_S)
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "logs").iterdir())
    assert "openai.off" in written
    assert ":planted" not in written


#: A fault that nobody foresaw, where the application is built or where it starts.
FAULTS = {
    "build_app": "chatbot_ai.server.service.build_app = fail",
    "open_engine": "chatbot_ai.server.compose.open_engine = fail",
}


@pytest.mark.parametrize("place", FAULTS)
@pytest.mark.parametrize(
    ("lang", "words"), [("ko", "시작할 수 없습니다"), ("en", "it cannot start")]
)
def test_every_end_at_the_start_has_a_reason(
    tmp_path: Path, place: str, lang: str, words: str
) -> None:
    """One sentence in the operator's language, an exit code, and the places in the log."""
    code = f"""
import chatbot_ai.server.compose, chatbot_ai.server.service, sys
from chatbot_ai.cli.main import main
def fail(*_):
    raise RuntimeError("no such \\x1b thing at http://me:planted@host/")
{FAULTS[place]}
sys.argv = ["chatbot-ai", "serve", "office"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path, DEFAULT_LANGUAGE=lang),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("chatbot-ai: ")
    assert words in line
    assert "RuntimeError: no such" in line
    assert "planted" not in line
    assert "\x1b" not in line
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "logs").iterdir())
    assert "service.crashed_at_start" in written
