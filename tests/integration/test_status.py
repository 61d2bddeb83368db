"""GET /status of a real service: everything an operator needs, for operators alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from chatbot_ai.core.statistics import POINT_S, POINTS
from chatbot_ai.domain import limits
from chatbot_ai.settings.shared import Settings
from support.operator_services import Keyed, new_keys, service, until


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    data = tmp_path_factory.mktemp("status")
    operator, user = new_keys(data)
    with service("character", data) as address:
        yield Keyed(f"http://{address}", operator, user)


@pytest.fixture
def client(keyed: Keyed) -> Iterator[httpx2.Client]:
    """The operator."""
    headers = {"X-API-Key": keyed.operator}
    with httpx2.Client(base_url=keyed.url, headers=headers, trust_env=False, timeout=60) as made:
        yield made


def status_of(client: httpx2.Client) -> dict[str, Any]:
    response = client.get("/status")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    return body


def test_limits_are_those_that_requests_meet(keyed: Keyed) -> None:
    """A user reads every limit before meeting it; the longest message is that long."""
    headers = {"X-API-Key": keyed.user}
    with httpx2.Client(base_url=keyed.url, headers=headers, trust_env=False, timeout=60) as user:
        found = user.get("/limits").json()
        schema = user.get("/openapi.json").json()["components"]["schemas"]
    chosen = {"body_bytes": 1_048_576} | {
        name: Settings.model_fields[name].default
        for name in ("user_characters_bytes", "user_conversations_bytes")
    }
    assert found == {
        name: chosen[name] if name in chosen else getattr(limits, name.upper())
        for name in schema["Limits"]["properties"]
    }
    body = schema["CharacterRequest"]["properties"]
    assert body["input_data"]["maxLength"] == found["input_data_chars"]
    assert body["greeting"]["maxLength"] == found["greeting_chars"]


@pytest.mark.parametrize("path", ["/status", "/status/access"])
@pytest.mark.parametrize(
    ("whose", "status", "code"),
    [("nobody", 401, "unauthorized"), ("wrong", 401, "unauthorized"), ("user", 403, "forbidden")],
)
def test_only_operators_see_it(keyed: Keyed, path: str, whose: str, status: int, code: str) -> None:
    """Without a key, with a wrong one or with a user's own there is nothing to see."""
    headers = {"nobody": {}, "wrong": {"X-API-Key": "wrong"}, "user": {"X-API-Key": keyed.user}}
    response = httpx2.get(f"{keyed.url}{path}", headers=headers[whose], timeout=60)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_access_says_yes_without_a_body(client: httpx2.Client) -> None:
    """The gateway's question is answered with 204 for an operator."""
    response = client.get("/status/access")
    assert (response.status_code, response.content) == (204, b"")


def test_status_holds_what_performance_tells(client: httpx2.Client) -> None:
    """The figures are those of /performance, beside readiness, outbox and the series."""
    body = status_of(client)
    measured = client.get("/performance").json()
    assert body["performance"].keys() == measured.keys()
    assert body["assistant"] == "character"
    assert body["readiness"] == {"ready": False, "model": "model_unavailable", "store": "ok"}
    assert body["outbox_turns"] == 0
    series = body["series"]
    assert isinstance(series, list)
    assert 1 <= len(series) <= POINTS
    assert all(point["at"] % POINT_S == 0 for point in series)


def test_failed_request_shows_up(client: httpx2.Client) -> None:
    """A request that fails is counted with its cause, in the series and among recent errors."""
    question = {
        "input_data": "a question nobody may see",
        "character_name": "Rachel",
        "greeting": "Hello.",
        "context": "A cook.",
        "user_id": "u1",
    }
    response = client.post("/Llama", json=question)
    assert response.status_code == 503

    def counted() -> bool:
        body = status_of(client)
        window = body["performance"]["last_15_minutes"]
        return bool(window["failed"] == 1 and window["causes"] == {"model_unavailable": 1})

    until(counted)  # the window is summed up once a second at most
    body = status_of(client)
    assert sum(point["failed"] for point in body["series"]) == 1
    errors = body["performance"]["recent_errors"]
    assert [error["code"] for error in errors] == ["model_unavailable"]
    assert "nobody may see" not in str(body)
