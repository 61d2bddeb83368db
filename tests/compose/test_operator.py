"""What an operator does with the deployment: settings, keys, backup and restore."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.conversation import ConversationKey
from support.compose_deployment import CLONE, Deployment

ENV_FILE = CLONE / ".env"
SETTINGS = """\
GATEWAY_RATE_PER_S=1
GATEWAY_RATE_BURST=2
MAX_BODY_BYTES=2048
DEFAULT_LANGUAGE=en
CORS_ORIGINS=https://chat.example.com
MONGO_CONTAINERS=0
MONGO_HOST=
"""
MONGODB = "mongodb://mongo:27017"
SQLITE = "sqlite:/app/data/chatbot.sqlite3"


def ask(gateway: httpx2.Client, key: ConversationKey, text: str) -> str:
    """One more turn of that conversation."""
    body = {"input_data": text, "user_id": key.user_id, "db_id": key.db_id}
    answer = gateway.post("/office/Llama", json=body)
    assert answer.status_code == 200, answer.text
    said: str = answer.json()
    return said


def test_conversations_are_backed_up_and_restored(
    gateway: httpx2.Client, deployment: Deployment
) -> None:
    """`history` within the running service writes, deletes and restores what MongoDB holds."""
    key = ConversationKey("office", "backup", str(uuid.uuid4()))
    ask(gateway, key, "Hello.")
    ask(gateway, key, "And again.")
    before = deployment.turns(key)
    assert len(before) == 2
    deployment.command("history", "export", "/app/data/backup.jsonl")
    deployment.command("history", "delete", "backup", "--yes")
    assert deployment.turns(key) == []
    deployment.command("history", "import", "/app/data/backup.jsonl")
    assert deployment.turns(key) == before


def test_a_backup_brings_everything_back(
    gateway: httpx2.Client, deployment: Deployment, tmp_path: Path
) -> None:
    """scripts/backup.sh while services write, and scripts/restore.sh into a deployment that has
    lost a conversation and a key since."""
    key = ConversationKey("office", "scripted", str(uuid.uuid4()))
    ask(gateway, key, "Hello.")
    before = deployment.turns(key)
    made = json.loads(deployment.command("keys", "create", "--name", "kept", "--json"))
    try:
        folder = deployment.script("backup.sh", str(tmp_path / "backup")).strip()
        deployment.command("history", "delete", "scripted", "--yes")
        deployment.command("keys", "delete", made["id"], "--yes")
        deployment.script("restore.sh", folder)
        assert deployment.turns(key) == before
        kept = json.loads(deployment.command("keys", "list", "--json"))
        assert made["id"] in {one["id"] for one in kept}
    finally:
        deployment.command("keys", "delete", made["id"], "--yes")


def test_monitoring_leaves_the_gpus_to_their_services(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Compose itself merges the files that the guide's command writes to .env."""
    for file in CLONE.glob("docker-compose*.yml"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    files = "docker-compose.yml:docker-compose.gpu.yml:docker-compose.monitoring.yml"
    (tmp_path / ".env").write_text(
        f"COMPOSE_FILE={files}\nCOMPOSE_PROFILES=monitoring\nGRAFANA_ADMIN_PASSWORD=x\n"
        "COMPOSE_PROJECT_NAME=other\nOFFICE_GPU=0\nCHARACTER_GPU=1\n",
        "utf-8",
    )
    merged = deployment.merged_configuration(tmp_path)
    assert merged["name"] == "other"
    assert {"prometheus", "grafana"} < merged["services"].keys()
    for name, gpu in (("office", "0"), ("character", "1")):
        (device,) = merged["services"][name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [gpu]


@pytest.fixture(scope="class")
def other_settings(gateway: httpx2.Client, deployment: Deployment) -> Iterator[None]:
    """Another .env, then the one before; each counts after `up` alone. With a key, as nobody is
    served without one behind a trusted proxy."""
    before = ENV_FILE.read_text("utf-8")
    ENV_FILE.write_text(
        f"{SETTINGS}GATEWAY_TRUSTED_PROXIES={deployment.gateway_of('front')}\n", "utf-8"
    )
    deployment.compose("up", "--detach", "--wait")
    assert gateway.get("/office/performance").status_code == 401
    made = json.loads(deployment.command("keys", "create", "--name", "test", "--json"))
    gateway.headers["Authorization"] = f"Bearer {made['key']}"
    deployment.poll(lambda: gateway.get("/office/performance").status_code == 200, "a key to count")
    yield
    del gateway.headers["Authorization"]
    deployment.command("keys", "delete", made["id"], "--yes")
    ENV_FILE.write_text(before, "utf-8")
    deployment.compose("up", "--detach", "--wait")


@pytest.mark.usefixtures("other_settings")
class TestOtherSettings:
    """`up` with another .env: everything that it names has changed, and nothing else did."""

    def test_the_gateway_has_its_settings(self, gateway: httpx2.Client) -> None:
        """Body limit, language and origins are those of .env, in answers of nginx itself."""
        headers = {"Accept-Language": "fr", "Origin": "https://chat.example.com"}
        answer = gateway.post("/office/v1/models", content=b"x" * 4096, headers=headers)
        assert answer.status_code == 413
        error = answer.json()["error"]
        assert error["message"].isascii()
        assert error["type"] == "invalid_request_error"
        assert answer.headers["access-control-allow-origin"] == "https://chat.example.com"

    def test_a_proxy_on_this_machine_is_believed(
        self, gateway: httpx2.Client, deployment: Deployment
    ) -> None:
        """It comes from Docker's address, and the caller that it names is the one in the log."""
        mark = uuid.uuid4().hex
        headers = {"X-Forwarded-For": "198.51.100.7", "X-Request-ID": mark}
        assert gateway.get("/office/readyz", headers=headers).status_code == 200
        log = deployment.compose("logs", "--no-log-prefix", "--no-color", "--tail", "50", "nginx")
        lines = [json.loads(line[line.index("{") :]) for line in log.splitlines() if "{" in line]
        assert [one["client"] for one in lines if one["request_id"] == mark] == ["198.51.100.7"]

    def test_the_gateway_has_its_rate(self, gateway: httpx2.Client) -> None:
        """More than one call a second, and two at once, is 429."""
        statuses = [gateway.post("/office/Llama", content=b"").status_code for _ in range(12)]
        assert set(statuses) == {400, 429}

    def test_there_is_no_mongodb(self, deployment: Deployment) -> None:
        """No container runs for it, and its volume stays."""
        assert deployment.compose("ps", "--quiet", "mongo").split() == []

    def test_conversations_live_in_the_volume(
        self, gateway: httpx2.Client, deployment: Deployment
    ) -> None:
        """The embedded file takes turns, and moves them to a store of another kind."""
        key = ConversationKey("office", "embedded", str(uuid.uuid4()))

        def answered() -> bool:
            body = {"input_data": "Hello.", "user_id": key.user_id, "db_id": key.db_id}
            answer = gateway.post("/office/Llama", json=body)
            assert answer.status_code in {200, 429}
            return answer.status_code == 200

        deployment.poll(answered, "an answer within the rate")
        assert len(deployment.turns(key)) == 1
        said = deployment.command(
            *("history", "migrate", "--from", SQLITE),
            *("--to", "sqlite:/app/data/moved.sqlite3", "--apply", "--lang", "en"),
        )
        assert said.strip()


def test_the_first_key_closes_the_installation(
    gateway: httpx2.Client, deployment: Deployment
) -> None:
    """Made as the documentation says, before the gateway is published; revoked at the end."""
    made = json.loads(
        deployment.compose(
            *("run", "--rm", "--no-deps", "-T", "office", "keys", "create"),
            *("--name", "test", "--json"),
        )
    )
    body = {"input_data": "Hello."}
    try:
        deployment.poll(
            lambda: gateway.post("/office/Llama", json=body).status_code == 401, "a key to count"
        )
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert gateway.post("/office/Llama", json=body, headers=headers).status_code == 200
    finally:
        deployment.command("keys", "delete", made["id"], "--yes")
