"""GET /status of a real service: everything an operator needs, for operators alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from tests.operator_services import OPERATOR, USER, service, until

from chatbot_ai.core.series import POINT_S, POINTS


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with (
        service("character", tmp_path_factory.mktemp("status")) as address,
        httpx2.Client(base_url=f"http://{address}", trust_env=False, timeout=30) as made,
    ):
        yield made


def operator(client: httpx2.Client) -> dict[str, object]:
    response = client.get("/status", headers={"X-API-Key": OPERATOR})
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, object] = response.json()
    return body


@pytest.mark.parametrize("path", ["/status", "/status/access"])
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(None, 401, "unauthorized"), ("wrong", 401, "unauthorized"), (USER, 403, "forbidden")],
)
def test_only_operators_see_it(
    client: httpx2.Client, path: str, key: str | None, status: int, code: str
) -> None:
    """Without a key, with a wrong one or with a user's own there is nothing to see."""
    response = client.get(path, headers={"X-API-Key": key} if key else {})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_access_says_yes_without_a_body(client: httpx2.Client) -> None:
    """The gateway's question is answered with 204 for an operator."""
    response = client.get("/status/access", headers={"X-API-Key": OPERATOR})
    assert (response.status_code, response.content) == (204, b"")


def test_status_holds_what_performance_tells(client: httpx2.Client) -> None:
    """The figures are those of /performance, beside readiness, outbox and the series."""
    body = operator(client)
    measured = client.get("/performance", headers={"X-API-Key": OPERATOR}).json()
    assert body["performance"].keys() == measured.keys()  # type: ignore[attr-defined]
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
    response = client.post("/Llama", json=question, headers={"X-API-Key": OPERATOR})
    assert response.status_code == 503

    def counted() -> bool:
        body = operator(client)
        window = body["performance"]["last_15_minutes"]  # type: ignore[index]
        return bool(window["failed"] == 1 and window["causes"] == {"model_unavailable": 1})

    until(counted)  # the window is summed up once a second at most
    body = operator(client)
    assert sum(point["failed"] for point in body["series"]) == 1  # type: ignore[attr-defined]
    errors = body["performance"]["recent_errors"]  # type: ignore[index]
    assert [error["code"] for error in errors] == ["model_unavailable"]
    assert "nobody may see" not in str(body)
