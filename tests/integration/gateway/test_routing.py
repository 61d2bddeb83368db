"""Where the gateway sends a request, what it adds to it and what it keeps to itself."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from support.gateway_lab import PAGE, Gateway, eventually, lab_options, running
from support.gateway_upstream import Upstream

ASSISTANTS = ("office", "character")


def _headers(response: httpx2.Response) -> dict[str, str]:
    seen: dict[str, Any] = response.json()
    names = [name for name, _ in seen["headers"]]
    assert len(names) == len(set(names)), "a header arrived twice"
    return dict(seen["headers"])


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("/Llama", "/Llama"),
        ("/v1/chat/completions?stream=1&x=%20", "/v1/chat/completions?stream=1&x=%20"),
        ("/a%20b/%ED%95%9C%3F", "/a%20b/%ED%95%9C%3F"),
        ("/", "/"),
        ("/office/Llama", "/office/Llama"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/docs", "/docs"),
        ("/openapi.json", "/openapi.json"),
        ("/performance", "/performance"),
        ("/line%0Abreak", "/line%0Abreak"),
    ],
)
def test_prefix_is_stripped(
    client: httpx2.Client, upstream: Upstream, assistant: str, asked: str, expected: str
) -> None:
    """A service sees its own path and query, and learns the prefix from a header."""
    response = client.post(f"/{assistant}{asked}", content=b"{}")
    assert response.status_code == 200
    assert response.json()["path"] == expected
    assert response.json()["body_bytes"] == 2
    assert _headers(response)["x-forwarded-prefix"] == f"/{assistant}"


def test_each_assistant_has_its_own_service(binary, tmp_path, upstream):  # type: ignore[no-untyped-def]
    """The two prefixes lead to two addresses."""
    other = Upstream(name="other")
    options = lab_options(tmp_path, upstream.address, character=other.address)
    try:
        with running(binary, options) as gateway:
            names = [httpx2.get(f"{gateway.url}/{name}/x").json()["server"] for name in ASSISTANTS]
    finally:
        other.close()
    assert names == ["upstream", "other"]


def test_caller_is_described_by_the_gateway_alone(
    client: httpx2.Client, upstream: Upstream
) -> None:
    """Forwarding headers that a caller invents never reach a service."""
    forged = {
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=6.6.6.6",
    }
    response = client.get("/office/x", headers=forged)
    seen = _headers(response)
    host = f"127.0.0.1:{client.base_url.port}"
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-prefix"] == "/office"
    assert seen["host"] == seen["x-forwarded-host"] == host
    assert not {"forwarded", "x-forwarded-port"} & seen.keys()


def test_trusted_proxy_describes_the_caller(binary, tmp_path, upstream):  # type: ignore[no-untyped-def]
    """Behind a proxy that the operator names, the caller is whom that proxy saw last."""
    options = lab_options(tmp_path, upstream.address, trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    told = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.0.0.9", "X-Forwarded-Proto": "https"}
    with running(binary, options) as gateway:
        seen = _headers(httpx2.get(f"{gateway.url}/office/x", headers=told))
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "203.0.113.7"
    assert seen["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("sent", ["a-request.id_42", "0123456789abcdef" * 8])
def test_sane_request_id_is_kept(client: httpx2.Client, upstream: Upstream, sent: str) -> None:
    """A caller's own request id reaches the service and comes back, once."""
    response = client.get("/office/x", headers={"X-Request-ID": sent})
    assert _headers(response)["x-request-id"] == sent
    assert response.headers.get_list("X-Request-ID") == [sent]


@pytest.mark.parametrize(
    "sent", [None, "short", "x" * 129, 'quote"quote', "a b c d e f", "<script>!"]
)
def test_request_id_is_made(client: httpx2.Client, upstream: Upstream, sent: str | None) -> None:
    """Without a usable request id the gateway makes one, the same for service and caller."""
    response = client.get("/office/x", headers={"X-Request-ID": sent} if sent else {})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])
    assert _headers(response)["x-request-id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "path",
    ["/", "/nowhere", "/404.html", "/.gateway/error", "/office", "/character", "/Office/x",
     "/nginx.conf", "/office/../x", "/dashboard/nothing", "/chat/nothing"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_path_shows_the_page(client: httpx2.Client, method: str, path: str) -> None:
    """Everything that is not a service's is the project's own 404 page, with status 404."""
    if path.endswith("/nothing") and method != "GET":
        return
    response = client.request(method, path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.text == PAGE


def test_page_has_a_head_too(client: httpx2.Client) -> None:
    """HEAD gets the page's status and headers without the page."""
    response = client.head("/nowhere")
    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "/metrics/x", "/x/../metrics", "//metrics", "/%6detrics"]
)
@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_metrics_stay_inside(
    gateway: Gateway, upstream: Upstream, assistant: str, path: str
) -> None:
    """However it is spelt, a service's /metrics is not to be had through the gateway."""
    request = f"GET /{assistant}{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    status, headers, _ = gateway.raw(request.encode())
    assert (status, headers["content-type"]) == (404, "application/json")
    assert upstream.seen == []


def test_service_errors_pass_untouched(client: httpx2.Client, upstream: Upstream) -> None:
    """What a service itself says, 404 and 503 included, is not replaced by the gateway."""
    missing, busy = client.get("/office/missing"), client.post("/character/busy")
    assert (missing.status_code, missing.json()["error"]["message"]) == (404, "here")
    assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
    assert busy.headers.get_list("Retry-After") == ["7"]


def test_gateway_reports_its_own_health(client: httpx2.Client) -> None:
    """/healthz is the gateway's own and says ok."""
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok\n")


@pytest.mark.parametrize("path", ["/office/x", "/nowhere", "/chat/", "/healthz", "/office/metrics"])
def test_security_headers(client: httpx2.Client, upstream: Upstream, path: str) -> None:
    """Every answer forbids sniffing and foreign frames, and names no server version."""
    headers = client.get(path).headers
    assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert headers.get_list("Referrer-Policy") == ["no-referrer"]
    assert "frame-ancestors" in headers["Content-Security-Policy"]
    assert headers["Server"] == "nginx"


def test_chat_page_is_served_when_there_is_one(client: httpx2.Client) -> None:
    """A configured folder is served under /chat/, compressed, revalidated, under a policy."""
    page, script = client.get("/chat/"), client.get("/chat/app.js")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-cache"
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert script.headers["Content-Encoding"] == "gzip"
    redirect = client.get("/chat")
    assert (redirect.status_code, redirect.headers["Location"]) == (308, "/chat/")


def test_access_log_tells_no_secrets(
    gateway: Gateway, client: httpx2.Client, upstream: Upstream
) -> None:
    """The log has one JSON line a request: its id, status and times, and no query string."""
    mark = "log-test-0123456789"
    secret = {"X-Request-ID": mark, "Referer": "http://a/?secret", "Authorization": "secret"}
    client.post("/office/%ED%95%9C?key=secret", headers=secret)
    line = eventually(lambda: [row for row in gateway.log() if row["request_id"] == mark])[0]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/office/%ED%95%9C", 200)
    assert line["total_s"] >= 0
    assert float(line["upstream_first_byte_s"]) >= 0
    assert "secret" not in str(line)
