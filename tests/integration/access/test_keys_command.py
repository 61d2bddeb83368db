"""The `keys` commands, and a real service that follows what they do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.access.key import KEY_PATTERN
from chatbot_ai.access.ledger import FILE, KeyLedger
from chatbot_ai.domain.errors import EXIT_CONFIGURATION
from chatbot_ai.messages import read_table
from support.waiting import HANG_S

ROOT = Path(__file__).resolve().parents[3]
START_S = HANG_S
COMMAND = (sys.executable, "-m", "chatbot_ai.cli.main")


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "DATA_DIR": str(folder / "data"),
        "LOG_DIR": str(folder / "logs"),
        "MODEL_DIR": str(folder / "models"),
        "PROMPT_DIR": str(ROOT / "prompt"),
        **more,
    }


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment(folder, **more),
        timeout=HANG_S,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(folder: Path, **more: str) -> Iterator[str]:
    """`chatbot-ai serve office` whose engine is away; its address."""
    port = free_port()
    settings = {
        "OFFICE_PORT": str(port),
        "OFFICE_ENGINE_URL": f"http://127.0.0.1:{free_port()}",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "console",
        **more,
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(
            [*COMMAND, "serve", "office"],
            env=environment(folder, **settings),
            stdout=console,
            stderr=console,
        )
        try:
            limit = time.monotonic() + START_S
            while not answers(url):
                assert process.poll() is None, (folder / "console").read_text()
                assert time.monotonic() < limit
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(HANG_S)


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", trust_env=False, timeout=HANG_S).status_code == 200
    except httpx2.HTTPError:
        return False


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{url}/performance", headers=headers, trust_env=False, timeout=HANG_S)


def test_create_list_revoke_delete(tmp_path: Path) -> None:
    """A key is shown once, listed without it, refused after its revocation, and forgotten."""
    done = run(tmp_path, "keys", "create", "--name", "웹", "--rpm", "9", "--concurrent", "2")
    secret = done.stdout.strip()
    assert KEY_PATTERN.fullmatch(secret), done.stderr
    user = run(
        tmp_path, "keys", "create", "--kind", "user", "--user", "앨리스", "--tokens-per-day", "5",
        "--json",
    )  # fmt: skip
    listed = run(tmp_path, "keys", "list", "--json").stdout
    assert secret[12:] not in listed
    first, second = json.loads(listed)
    assert (first["id"], first["name"], first["kind"]) == (secret[:12], "웹", "backend")
    assert (first["requests_per_minute"], first["concurrent"]) == (9, 2)
    assert (second["user_id"], second["tokens_per_day"]) == ("앨리스", 5)
    assert second["id"] == json.loads(user.stdout)["id"]
    for language in ("ko", "en"):
        table = run(tmp_path, "keys", "list", "--lang", language).stdout
        assert secret[:12] in table
        assert secret[12:] not in table
        assert read_table("cli")["keys.state"][language] in table
    assert run(tmp_path, "keys", "revoke", secret[:12]).returncode == 0
    with KeyLedger(tmp_path / "data" / FILE) as ledger:
        assert [key.revoked_at is not None for key in ledger.list_keys()] == [True, False]
    for key in (first["id"], second["id"]):
        assert run(tmp_path, "keys", "delete", "--yes", key).returncode == 0
    assert run(tmp_path, "keys", "list", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "--kind", "user"), 2),
        (("create", "--kind", "user", "--user", " "), 2),
        (("create", "--kind", "user", "--user", "u" * 51), 2),
        (("create", "--user", "alice"), 2),
        (("create", "--rpm", "0"), 2),
        (("create", "--kind", "admin"), 2),
        (("revoke", "cbk_nothere1"), 1),
        (("delete", "--yes", "cbk_nothere1"), 1),
    ],
)
def test_mistakes_make_no_key(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """What does not go together is said in a sentence and changes nothing."""
    done = run(tmp_path, "keys", *arguments)
    assert done.returncode == code
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(run(tmp_path, "keys", "list", "--json").stdout) == []


def test_a_users_name_is_the_one_that_requests_have(tmp_path: Path) -> None:
    """A name typed on a Mac, in separate letters and with blanks, is the user's of the API."""
    typed = unicodedata.normalize("NFD", " 민아\t")
    assert run(tmp_path, "keys", "create", "--kind", "user", "--user", typed).returncode == 0
    listed = json.loads(run(tmp_path, "keys", "list", "--json").stdout)
    assert (listed[0]["user_id"], listed[0]["name"]) == ("민아", "민아")
    fifty = unicodedata.normalize("NFD", "가" * 50)
    assert run(tmp_path, "keys", "create", "--kind", "user", "--user", fifty).returncode == 0
    long = run(tmp_path, "keys", "create", "--kind", "user", "--user", "가" * 51)
    assert long.returncode == 2


@pytest.mark.parametrize("command", [("up",), ("serve", "office")])
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104
def test_published_without_a_key_is_refused(
    tmp_path: Path, command: tuple[str, ...], host: str
) -> None:
    """An address that others can reach and no key: one sentence, and no start."""
    done = run(tmp_path, *command, GATEWAY_HOST=host, TRUST_UNKEYED_CALLERS="true")
    assert done.returncode == EXIT_CONFIGURATION
    assert "GATEWAY_HOST" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_running_service_follows_the_commands(tmp_path: Path) -> None:
    """Keys that are created, revoked and deleted count in a service that runs."""
    with service(tmp_path) as url:
        assert get(url).status_code == 200
        secret = run(tmp_path, "keys", "create", "--rpm", "100").stdout.strip()
        answer = get(url, Authorization=f"Bearer {secret}")
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Remaining-Requests"] == "99"
        assert get(url).status_code == 401
        run(tmp_path, "keys", "revoke", secret[:12])
        wait_for(lambda: get(url, Authorization=f"Bearer {secret}").status_code == 401)
        run(tmp_path, "keys", "delete", "--yes", secret[:12])
        wait_for(lambda: get(url).status_code == 200)


def test_with_a_key_it_may_be_published(tmp_path: Path) -> None:
    """Once a key exists the service starts for everybody, and asks everybody for it."""
    secret = run(tmp_path, "keys", "create").stdout.strip()
    with service(tmp_path, GATEWAY_HOST="0.0.0.0", TRUST_UNKEYED_CALLERS="true") as url:  # noqa: S104
        assert get(url).status_code == 401
        assert get(url, **{"X-Real-IP": "203.0.113.9", "X-API-Key": secret}).status_code == 200
        run(tmp_path, "keys", "delete", "--yes", secret[:12])
        # published and left without keys: this machine only, whatever the settings trust
        wait_for(lambda: get(url).status_code == 200)
        assert get(url, **{"X-Real-IP": "203.0.113.9"}).status_code == 401


def test_no_key_is_ever_written_down(tmp_path: Path) -> None:
    """Keys that callers send, right, wrong or in the wrong place, and the operator's own secrets
    are in no log, no error, no metric."""
    engine_key, openai_key = "enginesecret-4711", "sk-operator-4711"
    good = run(tmp_path, "keys", "create", "--rpm", "3").stdout.strip()
    wrong = "cbk_" + "k" * 40
    settings = {"OFFICE_ENGINE_API_KEY": engine_key, "OPENAI_API_KEY": openai_key}
    texts = []
    with service(tmp_path, **settings) as url, httpx2.Client(base_url=url, timeout=HANG_S) as http:
        for key in (good, wrong):
            headers = {"Authorization": f"Bearer {key}"}
            calls = [
                http.post("/Llama", json={"input_data": "hello"}, headers=headers),
                http.post("/Llama", json={"input_data": key, "db_id": key}, headers=headers),
                http.get(f"/performance?api_key={key}", headers={"X-API-Key": key}),
                http.get("/performance", headers={"X-API-Key": key}),
            ]
            # the path is the caller's own mistake, and only the logs can help it
            in_path = http.post(f"/{key}", json={"input_data": "hello"}, headers=headers)
            texts += [a.text + str(a.headers) for a in calls]
            assert {a.status_code for a in (*calls, in_path)} <= {200, 401, 422, 429, 503}
        texts += [http.get(path).text for path in ("/metrics", "/openapi.json", "/readyz")]
    logs = [path for path in (tmp_path / "logs").iterdir() if path.stat().st_size]
    assert logs
    texts += [path.read_text() for path in (*logs, tmp_path / "console")]
    written = "\n".join(texts)
    assert f'"key": "{good[:12]}"' in written
    for secret in (good, wrong, good[12:], engine_key, openai_key):
        assert secret not in written


def wait_for(condition: object) -> None:
    limit = time.monotonic() + HANG_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit
        time.sleep(0.05)
