"""MongoDB goes away between a question and its answer, in containers."""

from __future__ import annotations

import threading
import uuid

import httpx2
import pytest

from chatbot_ai.domain.conversation import ConversationKey
from support.compose_deployment import Deployment

KEY = ConversationKey("office", "outage", str(uuid.uuid4()))
#: So long that no other request to the engine looks like the one that carries it.
LONG_QUESTION = "Tell me about the sea. " * 21


def ask(gateway: httpx2.Client, text: str) -> httpx2.Response:
    """One turn of the conversation KEY."""
    body = {"input_data": text, "user_id": KEY.user_id, "db_id": KEY.db_id}
    return gateway.post("/office/Llama", json=body)


def waiting_turns(gateway: httpx2.Client) -> int | None:
    """How many answered turns of office wait for the database; None while it does not answer."""
    try:
        answer = gateway.get("/office/status")
    except httpx2.TransportError:
        return None
    found: int | None = answer.json()["outbox_turns"] if answer.status_code == 200 else None
    return found


@pytest.fixture
def mongo_comes_back(deployment: Deployment) -> object:
    """Whatever happens, the next test finds the database up and the engine running."""
    yield
    deployment.signal_engine("office", "CONT")
    deployment.compose("start", "mongo")
    deployment.wait_healthy("mongo")


@pytest.mark.usefixtures("mongo_comes_back")
def test_a_turn_answered_without_the_database_is_stored_once_it_is_back(
    gateway: httpx2.Client, deployment: Deployment
) -> None:
    """The answer is given, waits through a crash of its service, and is stored once, in order.

    The engine is halted until the database is gone: so the question has met it, the answer not.
    """
    answers = [ask(gateway, "Hello.").json()]
    deployment.signal_engine("office", "STOP")
    given: list[httpx2.Response] = []
    caller = threading.Thread(target=lambda: given.append(ask(gateway, LONG_QUESTION)))
    caller.start()
    deployment.poll(
        lambda: deployment.unread_bytes("office") >= len(LONG_QUESTION),
        "the question to reach the engine",
    )
    deployment.compose("kill", "mongo")
    deployment.signal_engine("office", "CONT")
    caller.join(180)
    assert [answer.status_code for answer in given] == [200]
    answers.append(given[0].json())
    assert waiting_turns(gateway) == 1

    refused = ask(gateway, "And now?")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "store_unavailable"
    assert int(refused.headers["retry-after"]) > 0

    deployment.kill_main_process("office")
    deployment.poll(lambda: waiting_turns(gateway) == 1, "the waiting turn after a crash")

    deployment.compose("start", "mongo")
    deployment.poll(lambda: waiting_turns(gateway) == 0, "the waiting turn to be stored")
    deployment.wait_healthy("office")
    answers.append(ask(gateway, "And now?").json())
    turns = deployment.turns(KEY)
    assert [turn["output"] for turn in turns] == answers
    assert [turn["index"] for turn in turns] == [0, 1, 2]
