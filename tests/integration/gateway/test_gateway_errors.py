"""What nginx itself answers: JSON in the services' shape, in the reader's language."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx2
import pytest

from support.gateway_lab import Gateway, eventually, free_port, lab_options, running
from support.gateway_upstream import DEADLINE_S, Upstream

_LONG = b"x" * 40_000
_END = b" HTTP/1.1\r\nHost: a\r\n"
_BAD_LENGTH = b"Content-Length: -1\r\n\r\n"
_HEADER = b"A: " + _LONG + b"\r\n\r\n"
RAW = {
    "not_http": (400, "bad_request", b"???\r\n\r\n"),
    "two_hosts": (400, "bad_request", b"GET /office/x" + _END + b"Host: b\r\n\r\n"),
    "no_host": (400, "bad_request", b"GET /office/x HTTP/1.1\r\n\r\n"),
    "bad_length": (400, "bad_request", b"POST /office/x" + _END + _BAD_LENGTH),
    "trace": (405, "method_not_allowed", b"TRACE /office/x" + _END + b"\r\n"),
    "long_address": (414, "uri_too_long", b"GET /office/" + _LONG + _END + b"\r\n"),
    "long_header": (431, "headers_too_large", b"GET /office/x" + _END + _HEADER),
    "coding": (501, "bad_request", b"POST /office/x" + _END + b"Transfer-Encoding: a\r\n\r\n"),
    "version": (505, "bad_request", b"GET /office/x HTTP/4.2\r\nHost: a\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW)
def test_broken_request_is_answered_in_json(
    gateway: Gateway, upstream: Upstream, case: str
) -> None:
    """Whatever is wrong with a request, its answer has a code, a message and the request's id."""
    status, code, request = RAW[case]
    got, headers, body = gateway.raw(request)
    assert (got, headers["content-type"]) == (status, "application/json")
    error = json.loads(body)["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == headers["x-request-id"]
    assert upstream.seen == []


@pytest.mark.parametrize("size", [65_537, 10_000_000])
@pytest.mark.parametrize(
    ("path", "chunked"),
    [
        ("/office/Llama", False),
        ("/office/Llama", True),
        ("/character/Llama", False),
        ("/character/Llama", True),
        ("/office/metrics", False),
        ("/nowhere", False),
    ],
)
def test_large_body_is_refused(
    client: httpx2.Client, upstream: Upstream, path: str, size: int, chunked: bool
) -> None:
    """A body over the limit is 413 and never reaches a service, announced or not."""
    body = b"x" * size
    response = client.post(path, content=iter([body]) if chunked else body)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"
    assert upstream.seen == []


def test_body_of_the_limit_passes(client: httpx2.Client, upstream: Upstream) -> None:
    """64 KiB are allowed, and 8 MiB for a character's card."""
    exact = client.post("/office/Llama", content=b"x" * 65_536)
    card = client.post("/character/characters/import", content=b"x" * 8 * 1024 * 1024)
    over = client.post("/character/characters", content=b"x" * (8 * 1024 * 1024 + 1))
    assert exact.json()["body_bytes"] == 65_536
    assert (card.json()["body_bytes"], card.json()["path"]) == (8_388_608, "/characters/import")
    assert over.status_code == 413


@pytest.mark.parametrize(
    ("asked", "english"),
    [
        (None, False),
        ("ko", False),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", False),
        ("en", True),
        ("en-US,en;q=0.9", True),
        ("en-GB,en;q=0.9,ko;q=0.5", True),
        ("fr,EN;q=0.5", True),
        ("fr", False),
        ("*", False),
        ("zen", False),
    ],
)
def test_message_is_in_the_readers_language(
    client: httpx2.Client, asked: str | None, english: bool
) -> None:
    """English for whoever prefers it to Korean, Korean for everybody else."""
    client.headers.pop("Accept-Language", None)
    response = client.get("/office/metrics", headers={"Accept-Language": asked} if asked else {})
    assert response.json()["error"]["message"].isascii() is english


def test_default_language_is_the_operators(
    binary: Path, tmp_path: Path, upstream: Upstream
) -> None:
    """Who names neither language reads the configured one."""
    options = lab_options(tmp_path, upstream.address, default_language="en")
    is_english = {}
    with running(binary, options) as gateway:
        for asked in ("fr", "ko", "fr,ko;q=0.5", "en"):
            response = httpx2.get(
                f"{gateway.url}/office/metrics", headers={"Accept-Language": asked}
            )
            is_english[asked] = response.json()["error"]["message"].isascii()
    assert is_english == {"fr": True, "ko": False, "fr,ko;q=0.5": False, "en": True}


def test_slow_body_is_cut(gateway: Gateway, upstream: Upstream) -> None:
    """A caller that stops in the middle of its body is disconnected, and the service spared."""
    mark = "slow-body-0123456789"
    head = f"POST /office/Llama HTTP/1.1\r\nHost: a\r\nX-Request-ID: {mark}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as slow:
        slow.sendall(head.encode() + b"Content-Length: 10\r\n\r\nx")
        received = slow.recv(1000)
    assert received == b""
    line = eventually(lambda: [row for row in gateway.log() if row["request_id"] == mark])[0]
    assert (line["status"], upstream.seen) == (408, [])


def test_slow_header_is_cut(gateway: Gateway) -> None:
    """A caller that never finishes its headers does not hold a connection for long."""
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as slow:
        slow.sendall(b"GET /office/x HTTP/1.1\r\nHost:")
        assert slow.recv(1000) == b""


def test_too_many_answers_asked_for(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """Beyond the rate an address gets 429 with Retry-After for POST; reading stays free."""
    options = lab_options(tmp_path, upstream.address, gateway_rate_per_s=1, gateway_rate_burst=2)
    with running(binary, options) as gateway, httpx2.Client(base_url=gateway.url) as client:
        answers = [client.post("/office/Llama") for _ in range(5)]
        reads = [client.get("/office/performance").status_code for _ in range(5)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert refused
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert refused[0].json()["error"]["code"] == "rate_limited"
    assert reads == [200] * 5
    posts = [line for line in upstream.seen if line.startswith("POST")]
    assert len(posts) == 5 - len(refused)


def test_reading_has_a_wider_limit(binary: Path, tmp_path: Path, upstream: Upstream) -> None:
    """Requests of every kind count against a limit ten times as wide as that of answers."""
    options = lab_options(tmp_path, upstream.address, gateway_rate_per_s=1, gateway_rate_burst=2)
    with running(binary, options) as gateway, httpx2.Client(base_url=gateway.url) as client:
        answers = [client.get("/office/performance") for _ in range(60)]
        unknown = [client.get("/nowhere") for _ in range(60)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:20]] == [200] * 20
    assert refused
    assert refused[0].json()["error"]["code"] == "rate_limited"
    assert {answer.status_code for answer in unknown} == {404}


@pytest.mark.parametrize(
    ("request_line", "status", "expected"),
    [
        (b"POST /office/v1/chat/completions", 413, ("invalid_request_error", "payload_too_large")),
        (b"POST /character/v1/chat/completions?a=b", 503, ("server_error", "service_unavailable")),
        (b"POST /office/v1/models", 429, ("requests", "rate_limit_exceeded")),
    ],
)
def test_openai_callers_read_openai_errors(
    binary: Path, tmp_path: Path, request_line: bytes, status: int, expected: tuple[str, str]
) -> None:
    """Under /v1 what nginx answers has the fields that OpenAI's clients look for."""
    nobody = f"127.0.0.1:{free_port()}"
    options = lab_options(tmp_path, nobody, gateway_rate_per_s=1, gateway_rate_burst=0)
    with running(binary, options) as gateway:
        if status == 429:
            gateway.raw(b"POST /office/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        length = 10_000_000 if status == 413 else 0
        head = f" HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
        got, _, body = gateway.raw(request_line + head)
    error = json.loads(body)["error"]
    assert got == status
    assert (error["type"], error["code"]) == expected
    assert error["param"] is None
    assert error["message"]


def test_pages_of_allowed_origins_may_read_the_gateways_errors(
    binary: Path, tmp_path: Path
) -> None:
    """An allowed origin is named in the answer, any other is not."""
    allowed = "https://chat.example.com"
    options = lab_options(
        tmp_path, f"127.0.0.1:{free_port()}", allowed_origins=("http://localhost:3000", allowed)
    )
    with running(binary, options) as gateway, httpx2.Client(base_url=gateway.url) as client:
        ours = client.get("/office/x", headers={"Origin": allowed})
        theirs = client.get("/office/x", headers={"Origin": f"{allowed}.evil.example"})
        nobodys = client.get("/office/x")
    assert ours.status_code == 503
    assert ours.headers["Access-Control-Allow-Origin"] == allowed
    assert "Retry-After" in ours.headers["Access-Control-Expose-Headers"]
    assert {answer.headers["Vary"] for answer in (ours, theirs, nobodys)} == {"Origin"}
    for answer in (theirs, nobodys):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Expose-Headers" not in answer.headers


def test_no_log_holds_what_stands_behind_the_question_mark(binary: Path, tmp_path: Path) -> None:
    """Not even when a service is away, which nginx reports with the whole request line."""
    options = lab_options(tmp_path, f"127.0.0.1:{free_port()}")
    with running(binary, options) as gateway:
        answer = httpx2.get(f"{gateway.url}/office/x", params={"q": "a-private-question"})
        assert answer.status_code == 503
        assert eventually(gateway.log)[-1]["upstream_status"] == "502"
    written = gateway.errors.read_text("utf-8") + (tmp_path / "access.log").read_text("utf-8")
    assert "/office/x" in written
    assert "private" not in written
