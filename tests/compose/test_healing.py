"""What happens when parts of the deployment die, stop or start over."""

from __future__ import annotations

import uuid

import httpx2
import pytest

from chatbot_ai.domain.conversation import ConversationKey
from support.compose_deployment import SERVICES, Deployment

KEY = ConversationKey("office", "healing", str(uuid.uuid4()))


def ask(gateway: httpx2.Client) -> httpx2.Response:
    """One more turn of the conversation KEY."""
    body = {"input_data": "What is next?", "user_id": KEY.user_id, "db_id": KEY.db_id}
    return gateway.post("/office/Llama", json=body)


@pytest.fixture(scope="module")
def answers(gateway: httpx2.Client, deployment: Deployment) -> list[str]:
    """Every answer that KEY was given, from before the first kill on."""
    given: list[str] = []
    answered(gateway, deployment, given)
    return given


def answered(gateway: httpx2.Client, deployment: Deployment, answers: list[str]) -> None:
    """Ask until there is an answer; meanwhile nothing but 503 with Retry-After is allowed."""

    def tried() -> bool:
        try:
            answer = ask(gateway)
        except httpx2.TransportError:
            return False  # the gateway itself is starting
        if answer.status_code == 200:
            answers.append(answer.json())
            return True
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        return False

    deployment.poll(tried, "an answer")


def test_a_stopped_service_is_a_503_in_json(gateway: httpx2.Client, deployment: Deployment) -> None:
    """While office is down its callers learn so at once; character goes on."""
    deployment.compose("stop", "office")
    try:
        answer = ask(gateway)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"]["code"]
        assert gateway.get("/character/readyz").status_code == 200
    finally:
        deployment.compose("start", "office")
        deployment.wait_healthy("office")


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_heals(
    gateway: httpx2.Client, deployment: Deployment, answers: list[str], service: str
) -> None:
    """Its main process dies; it is started again, healthy, and no turn was lost or doubled."""
    deployment.kill_main_process(service)
    answered(gateway, deployment, answers)
    deployment.wait_healthy(service)
    assert [turn["output"] for turn in deployment.turns(KEY)] == answers


def test_a_killed_engine_is_started_again_within_its_container(
    gateway: httpx2.Client, deployment: Deployment, answers: list[str]
) -> None:
    """The service outlives its engine and gives it a new process."""
    before = deployment.container("office")["State"]["StartedAt"]
    deployment.signal_engine("office", "KILL")
    answered(gateway, deployment, answers)
    assert deployment.container("office")["State"]["StartedAt"] == before
    assert gateway.get("/office/performance").json()["engine"]["restarts"] >= 1


def test_every_turn_is_there_after_everything_was_removed_and_started_anew(
    gateway: httpx2.Client, deployment: Deployment, answers: list[str]
) -> None:
    """`down` and `up` keep the volumes, and install nothing a second time."""
    installed = libraries(deployment)
    deployment.compose("down", "--timeout", "10")
    deployment.compose("up", "--detach", "--wait")
    assert libraries(deployment) == installed
    assert [turn["output"] for turn in deployment.turns(KEY)] == answers
    answered(gateway, deployment, answers)
    assert [turn["index"] for turn in deployment.turns(KEY)] == list(range(len(answers)))


def libraries(deployment: Deployment) -> str:
    """Which folder of libraries is current, and that it is the same folder."""
    where = "stat -L -c '%n %i %W' /opt/python-libs/current; readlink /opt/python-libs/current"
    return deployment.compose("exec", "-T", "office", "sh", "-c", where)
