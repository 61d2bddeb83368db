"""What an operator finds after the first `docker compose up --build` in a fresh clone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.conversation import ConversationKey
from support.compose_deployment import CLONE, GATEWAY_PORT, SERVICES, Deployment

MIB = 2**20
DEMO_MODEL = CLONE.joinpath("ai_model/demo/SmolLM2-135M-Instruct.Q4_1.gguf")
CHARACTER = {
    "character_name": "AI Assistant",
    "greeting": "안녕하세요! 반갑습니다.",
    "context": "친근한 AI 어시스턴트",
}


def test_the_office_call_of_the_documentation_is_answered(gateway: httpx2.Client) -> None:
    """The office call, exactly as documented, gives one JSON string."""
    answer = gateway.post(
        "/office/Llama", json={"input_data": "안녕하세요!", "user_id": "test_user"}
    )
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), str)
    assert answer.json().strip()


def test_the_character_call_of_the_documentation_is_answered(gateway: httpx2.Client) -> None:
    """The character call, exactly as documented, gives one JSON string."""
    body = {"input_data": "안녕하세요!", **CHARACTER, "db_id": "test-uuid", "user_id": "test_user"}
    answer = gateway.post("/character/Llama", json=body)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), str)
    assert answer.json().strip()


def test_a_streamed_answer_comes_through_the_gateway_in_pieces(gateway: httpx2.Client) -> None:
    """Deltas leave the gateway one by one; a buffering one would send a single block."""
    with gateway.stream(
        "POST",
        "/office/Llama",
        json={"input_data": "Tell me a story about the sea."},
        headers={"Accept": "text/event-stream"},
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = list(answer.iter_raw())
    events = [line[7:] for line in b"".join(pieces).decode().splitlines() if line[:7] == "event: "]
    assert events[-1] == "done"
    assert events.count("delta") > 4
    assert len(pieces) > 4


def test_a_conversation_with_both_ids_is_kept_in_mongodb(
    gateway: httpx2.Client, deployment: Deployment
) -> None:
    """Two answered calls are two turns in the database, in their order, with what was answered."""
    key = ConversationKey("office", "memory", str(uuid.uuid4()))
    said = ["My name is Mina.", "What is my name?"]
    answers = [
        gateway.post(
            "/office/Llama", json={"input_data": text, "user_id": key.user_id, "db_id": key.db_id}
        ).json()
        for text in said
    ]
    turns = deployment.turns(key)
    assert [turn["index"] for turn in turns] == [0, 1]
    assert [turn["input"] for turn in turns] == said
    assert [turn["output"] for turn in turns] == answers


def test_unknown_paths_get_the_projects_own_page(gateway: httpx2.Client) -> None:
    """`/` is a 404 with the mounted page."""
    answer = gateway.get("/")
    assert answer.status_code == 404
    assert answer.text == (CLONE / "nginx/404.html").read_text("utf-8")


def test_the_chat_page_is_served(gateway: httpx2.Client) -> None:
    """/chat/ is the mounted page and its script is found."""
    answer = gateway.get("/chat/")
    assert answer.status_code == 200
    assert answer.text == (CLONE / "web/index.html").read_text("utf-8")
    assert gateway.get("/chat/messages.js").status_code == 200


@pytest.mark.parametrize("assistant", ["office", "character"])
def test_documentation_works_behind_the_prefix(gateway: httpx2.Client, assistant: str) -> None:
    """/docs is a page and names an openapi.json that is found through the gateway."""
    assert "text/html" in gateway.get(f"/{assistant}/docs").headers["content-type"]
    described = gateway.get(f"/{assistant}/openapi.json").json()
    assert described["servers"][0]["url"] == f"/{assistant}"


@pytest.mark.parametrize("service", SERVICES)
def test_containers_have_no_rights_to_spare(deployment: Deployment, service: str) -> None:
    """No root, no capabilities, no writable root file system, a memory limit, a restart policy."""
    container = deployment.container(service)
    host = container["HostConfig"]
    assert int(container["Config"]["User"].partition(":")[0]) > 0
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


@pytest.mark.parametrize("service", ["office", "character"])
def test_services_cannot_change_libraries_models_and_personas(
    deployment: Deployment, service: str
) -> None:
    """Only logs and data are writable for a service."""
    mounts = {m["Destination"]: m["RW"] for m in deployment.container(service)["Mounts"]}
    assert mounts == {
        "/opt/python-libs": False,
        "/app/prompt": False,
        "/app/ai_model": False,
        "/app/data": True,
        "/app/logs": True,
    }


def test_only_the_gateway_is_published_and_on_this_machine(deployment: Deployment) -> None:
    """One port, on 127.0.0.1; the database has no way out and none in from outside."""
    published = {s: deployment.container(s)["HostConfig"]["PortBindings"] or {} for s in SERVICES}
    assert published.pop("nginx") == {
        "8001/tcp": [{"HostIp": "127.0.0.1", "HostPort": GATEWAY_PORT}]
    }
    assert not any(published.values())
    networks = deployment.container("mongo")["NetworkSettings"]["Networks"]
    assert [name.rpartition("_")[2] for name in networks] == ["back"]


def test_the_clones_owner_may_delete_what_the_services_wrote() -> None:
    """Folders that Docker and the services made belong to who made the clone."""
    owner = (CLONE / "prompt").stat().st_uid
    assert any((CLONE / "logs").glob("office_*.log"))
    assert DEMO_MODEL.is_file()
    for folder in (CLONE / "logs", CLONE / "ai_model", DEMO_MODEL.parent):
        assert folder.stat().st_uid == owner


@pytest.mark.parametrize("service", ["office", "character"])
def test_a_service_takes_less_than_2_gb_beside_its_model(
    deployment: Deployment, service: str, record_property: Callable[[str, object], None]
) -> None:
    """Engine caches and all, after answers were given."""
    used = deployment.memory_bytes(service) - DEMO_MODEL.stat().st_size
    record_property("memory_mib", used // MIB)
    assert used < 2048 * MIB


def test_the_gateway_takes_less_than_50_mb(
    deployment: Deployment, record_property: Callable[[str, object], None]
) -> None:
    """The specification's figure."""
    used = deployment.memory_bytes("nginx")
    record_property("memory_mib", used // MIB)
    assert used < 50_000_000


def test_the_gpu_file_reserves_one_gpu_for_each_assistant(deployment: Deployment) -> None:
    """By device id, and inside its container every assistant uses the one it sees."""
    described = json.loads(
        deployment.compose(
            *("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml"),
            *("config", "--format", "json"),
        )
    )["services"]
    for name, gpu in (("office", "1"), ("character", "0")):
        devices = described[name]["deploy"]["resources"]["reservations"]["devices"]
        assert [device["device_ids"] for device in devices] == [[gpu]]
        assert described[name]["environment"]["NVIDIA_VISIBLE_DEVICES"] == gpu
        assert described[name]["environment"][f"{name.upper()}_GPU"] == "0"
    assert described["python-libs-init"]["build"]["args"]["XLLAMACPP_INDEX"].endswith("/cu128")


@pytest.mark.parametrize(
    ("setting", "replaced"),
    [
        ("XLLAMACPP_INDEX=https://example.com/whl", {"office", "character"}),
        ("XLLAMACPP_SHA256=00", {"office", "character"}),
        ("GATEWAY_RATE_PER_S=5", {"nginx"}),
        ("CORS_ORIGINS=https://chat.example.com", {"nginx"}),
        ("MONGO_CONTAINERS=0", set()),
    ],
)
def test_up_replaces_whom_a_setting_concerns(
    deployment: Deployment, tmp_path: Path, setting: str, replaced: set[str]
) -> None:
    """By the hash with which Compose compares a running container with its files."""
    file = tmp_path / "env"

    def hashes(text: str) -> set[tuple[str, ...]]:
        file.write_text(text, "utf-8")
        said = deployment.compose("--env-file", str(file), "config", "--hash", ",".join(SERVICES))
        return {tuple(line.split()) for line in said.splitlines()}

    assert {name for name, _ in hashes("") - hashes(f"{setting}\n")} == replaced
