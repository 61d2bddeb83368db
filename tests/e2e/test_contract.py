"""The HTTP contract as a caller at the gateway meets it."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from typing import Any

import httpx2
import pytest

from support.http_calls import Event, body, error_of, events, stream, text_of
from support.waiting import HANG_S

ASSISTANTS = ("office", "character")
#: Tokens that a conversation's mark takes at most: fewer than any message with its template.
MARK_TOKENS = 10


def _curl(base_url: str, command: str) -> Any:
    """Run a curl command of the specification and return the JSON it prints."""
    local = command.replace("http://localhost:8001", base_url)
    shell = ["bash", "-c", local.replace("curl ", "curl --silent --show-error --fail ", 1)]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_office_call_of_the_specification_answers_a_json_string(base_url: str) -> None:
    """SPEC §3's first call, letter by letter, prints one JSON string and nothing around it."""
    answer = _curl(
        base_url,
        """curl -X POST http://localhost:8001/office/Llama -H "Content-Type: application/json" \\
      -d '{"input_data": "안녕하세요!", "user_id": "test_user"}'""",
    )
    assert isinstance(answer, str)
    assert answer


def test_the_character_call_of_the_specification_answers_a_json_string(base_url: str) -> None:
    """SPEC §3's second call, letter by letter, prints one JSON string and nothing around it."""
    answer = _curl(
        base_url,
        """curl -X POST http://localhost:8001/character/Llama -H "Content-Type: application/json" \\
      -d '{"input_data": "안녕하세요!", "character_name": "AI Assistant",
           "greeting": "안녕하세요! 반갑습니다.", "context": "친근한 AI 어시스턴트",
           "db_id": "test-uuid", "user_id": "test_user"}'""",
    )
    assert isinstance(answer, str)
    assert answer


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_a_stream_reaches_the_caller_while_it_is_made(
    client: httpx2.Client, assistant: str
) -> None:
    """The gateway holds nothing back: deltas come in many reads, the end in a later one."""
    headers = {"Accept": "text/event-stream"}
    with client.stream(
        "POST", f"/{assistant}/Llama", json=body(assistant), headers=headers
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        reads = list(response.iter_raw())
    with_delta = [read for read in reads if b"event: delta" in read]
    assert len(with_delta) >= 3
    assert b"event: done" in reads[-1]
    assert b"event: done" not in with_delta[0]


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_a_stream_is_deltas_and_then_done(client: httpx2.Client, assistant: str) -> None:
    """A streamed answer is deltas that are not empty, then one `done` with what it took."""
    received = stream(client, assistant)
    names = [event.name for event in received if event.name not in ("queued", "sources")]
    assert names == ["delta"] * (len(names) - 1) + ["done"]
    assert all(event.data["text"] for event in received if event.name == "delta")
    done = received[-1].data
    assert done["usage"]["completion_tokens"] >= 1
    assert done["timings"]["total_ms"] > 0
    assert done["turn"] is None


def _done(received: list[Event]) -> dict[str, Any]:
    assert received[-1].name == "done"
    return received[-1].data


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_a_second_message_carries_the_first(client: httpx2.Client, assistant: str) -> None:
    """With both ids a conversation is remembered; another user's under the same db_id is not."""
    db_id = str(uuid.uuid4())
    first = _done(stream(client, assistant, user_id="kim", db_id=db_id))
    second = _done(stream(client, assistant, user_id="kim", db_id=db_id))
    other = _done(stream(client, assistant, user_id="lee", db_id=db_id))
    assert [first["turn"], second["turn"], other["turn"]] == [0, 1, 0]
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"]
    # alike but for the conversations' marks, whose tokens may differ by a few
    difference = other["usage"]["prompt_tokens"] - first["usage"]["prompt_tokens"]
    assert abs(difference) <= MARK_TOKENS


def test_two_messages_at_once_are_both_kept(client: httpx2.Client) -> None:
    """Two simultaneous messages of one conversation are its turns 0 and 1."""
    request = body("office", user_id="kim", db_id=str(uuid.uuid4()))
    turns: list[str] = []

    def send() -> None:
        turns.append(client.post("/office/Llama", json=request).headers["X-Turn"])

    callers = [threading.Thread(target=send) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(HANG_S)
    assert sorted(turns) == ["0", "1"]


@pytest.mark.parametrize("ids", [{}, {"user_id": "kim"}, {"db_id": "only-a-conversation"}])
def test_a_call_without_both_ids_is_not_remembered(
    client: httpx2.Client, ids: dict[str, str]
) -> None:
    """A call that lacks user_id or db_id is answered and has no turn number."""
    response = client.post("/office/Llama", json=body("office", **ids))
    assert response.status_code == 200
    assert "X-Turn" not in response.headers


def test_json_and_stream_differ_only_in_form(client: httpx2.Client) -> None:
    """Unknown fields are passed over, and a JSON answer names what it took in its headers."""
    request = body("office", temperature="hot", stream=True, nested={"a": [1]})
    response = client.post("/office/Llama", json=request)
    assert response.status_code == 200
    assert isinstance(response.json(), str)
    assert response.headers["X-Model"]
    assert "total;dur=" in response.headers["Server-Timing"]


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_joined_deltas_are_the_json_answer(client: httpx2.Client, assistant: str) -> None:
    """Under one seed a stream says byte for byte what a JSON answer says, and another seed does
    not: the text is the model's, drawn, not a greedy one that every seed would give."""

    def said(seed: int, *, streamed: bool) -> str:
        asked = {
            "model": "Llama",
            "messages": [{"role": "user", "content": "Tell me a story about the sea."}],
            "seed": seed,
            "temperature": 1.5,
            "max_tokens": 24,
            "stream": streamed,
        }
        response = client.post(f"/{assistant}/v1/chat/completions", json=asked)
        assert response.status_code == 200, response.text
        if not streamed:
            return str(response.json()["choices"][0]["message"]["content"])
        lines = [line for line in response.text.splitlines() if line.startswith("data: {")]
        choices = [c for line in lines for c in json.loads(line.removeprefix("data: "))["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    said(7, streamed=False)  # from here on the prompt comes from the cache, for all alike
    whole = said(7, streamed=False)
    assert whole
    assert said(7, streamed=True) == whole
    assert said(8, streamed=True) != whole


def test_a_caller_that_leaves_frees_its_slot(client: httpx2.Client) -> None:
    """A stream that is left after its first delta soon runs no more."""
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", "/office/Llama", json=body("office"), headers=headers) as response:
        first = next(event for event in events(response) if event.name == "delta")
        assert text_of([first])
    for _ in range(200):
        running = client.get("/office/performance").json()["running"]
        if running == 0:
            return
    raise AssertionError("still running")


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_performance_is_measured(client: httpx2.Client, assistant: str) -> None:
    """/performance has the specification's five fields, and its counter follows the requests."""
    names = {
        "total_requests": int,
        "avg_response_time": float,
        "success_rate": float,
        "active_connections": int,
        "max_concurrent": int,
    }
    before = client.get(f"/{assistant}/performance").json()
    assert client.post(f"/{assistant}/Llama", json=body(assistant)).status_code == 200
    after = client.get(f"/{assistant}/performance").json()
    for name, kind in names.items():
        assert isinstance(after[name], kind) or (kind is float and after[name] == int(after[name]))
    assert after["total_requests"] == before["total_requests"] + 1
    assert after["avg_response_time"] > 0
    assert 0 < after["success_rate"] <= 100


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_a_model_without_a_key_is_unavailable(client: httpx2.Client, assistant: str) -> None:
    """An alias that nobody gave a key for is 503 with Retry-After, not an answer."""
    response = client.post(f"/{assistant}/gpt4.1", json=body(assistant))
    assert response.status_code == 503
    assert error_of(response)["code"] == "model_not_configured"


def test_an_unknown_model_is_told_the_valid_ones(client: httpx2.Client) -> None:
    """An alias that does not exist is 400, and the message names those that do."""
    response = client.post("/office/gpt99", json=body("office"))
    assert response.status_code == 400
    assert error_of(response)["code"] == "unknown_model"
    assert "gpt4.1_mini" in error_of(response)["message"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/office", "/officer/x", "/%EC%95%88%EB%85%95"])
def test_an_unknown_path_is_the_404_page(client: httpx2.Client, path: str) -> None:
    """What belongs to no service is the project's own page, in both languages, with status 404."""
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert 'lang="ko"' in response.text
    assert 'lang="en"' in response.text


@pytest.mark.parametrize("path", ["/office/nothing", "/character/nothing/at/all"])
def test_a_services_own_404_is_json(client: httpx2.Client, path: str) -> None:
    """An API's 404 passes the gateway as it is."""
    response = client.get(path)
    assert response.status_code == 404
    assert error_of(response)["code"] == "not_found"


def test_errors_speak_the_readers_language(client: httpx2.Client) -> None:
    """Korean without Accept-Language and where it comes first, English where that does."""

    def message(language: str | None) -> str:
        headers = {"Accept-Language": language} if language else {}
        response = client.post("/office/Llama", json={}, headers=headers)
        text: str = error_of(response)["message"]
        return text

    korean, english = message(None), message("en-US,en;q=0.9")
    assert not korean.isascii()
    assert english.isascii()
    assert message("ko-KR,ko;q=0.9,en;q=0.8") == korean
    assert message("fr") == korean


def test_a_request_id_goes_all_the_way(client: httpx2.Client) -> None:
    """A caller's own id comes back once, in header and body; without one it is made up."""
    own = f"caller-{uuid.uuid4()}"
    response = client.post("/office/Llama", json={}, headers={"X-Request-ID": own})
    assert response.headers.get_list("X-Request-ID") == [own]
    assert error_of(response)["request_id"] == own
    ids = {client.get("/office/healthz").headers["X-Request-ID"] for _ in range(2)}
    assert len(ids) == 2
