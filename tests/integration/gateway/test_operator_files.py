"""The dashboard's page is open; what it shows is for operators, and the office service decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.gateway_lab import Gateway, eventually, free_port, lab_options, running

REPORT = "<!doctype html><title>report</title>"
ALLOWED = {"X-API-Key": "operator"}


class _Doorkeeper(BaseHTTPRequestHandler):
    """Says 204 to the operator's key, 403 to a user's and 401 to all else."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, str]]

    def do_GET(self) -> None:
        self.asked.append({"path": self.path} | {k.lower(): v for k, v in self.headers.items()})
        status = {"operator": 204, "user": 403}.get(self.headers.get("X-API-Key", ""), 401)
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the tests' output readable."""


@pytest.fixture(scope="module")
def asked() -> list[dict[str, str]]:
    """The requests that the office service was sent."""
    return []


@pytest.fixture(scope="module")
def dashboard(
    binary: Path, asked: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with a page, two reports and other files beside them."""
    folder = tmp_path_factory.mktemp("operator")
    page, reports = folder / "dashboard", folder / "reports"
    for made in (page, reports / "deeper"):
        made.mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><p>dashboard", encoding="utf-8")
    (reports / "visualization.html").write_text(REPORT, encoding="utf-8")
    (reports / "office_20260131_142501.csv").write_text("time,user\n", encoding="utf-8")
    for name in (".hidden.csv", "notes.txt", "visualization.html.new", "deeper/office_1.csv"):
        (reports / name).write_text("secret", encoding="utf-8")
    handler = type("Handler", (_Doorkeeper,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as service:
        threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
        options = lab_options(folder, f"127.0.0.1:{service.server_address[1]}")
        (folder / "run" / "processes.json").write_text('{"processes": []}', encoding="utf-8")
        with running(binary, options) as gateway:
            yield gateway
        service.shutdown()


def test_page_is_plain_and_tightly_bound(dashboard: Gateway) -> None:
    """Anybody may have the page; it can run no inline script and talk to nobody else."""
    response = httpx2.get(f"{dashboard.url}/dashboard/")
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    redirect = httpx2.get(f"{dashboard.url}/dashboard")
    assert (redirect.status_code, redirect.headers["Location"]) == (308, "/dashboard/")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("reports/visualization.html", "text/html; charset=utf-8"),
        ("reports/office_20260131_142501.csv", "text/csv; charset=utf-8"),
        ("processes.json", "application/json; charset=utf-8"),
    ],
)
def test_operator_files_need_the_operator(dashboard: Gateway, path: str, kind: str) -> None:
    """With the operator's key a file comes; with a user's, a wrong one or none, nothing of it."""
    address = f"{dashboard.url}/dashboard/{path}"
    given = httpx2.get(address, headers=ALLOWED)
    assert (given.status_code, given.headers["Content-Type"]) == (200, kind)
    for headers, status, code in (
        ({}, 401, "unauthorized"),
        ({"X-API-Key": "wrong"}, 401, "unauthorized"),
        ({"X-API-Key": "user"}, 403, "forbidden"),
    ):
        response = httpx2.get(address, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert "ETag" not in response.headers
        assert "Last-Modified" not in response.headers


@pytest.mark.parametrize(
    "path",
    ["", "nothing.csv", "nothing.html", "notes.txt", ".hidden.csv", "visualization.html.new",
     "deeper/office_1.csv", "../run/nginx.conf", "..%2frun%2fnginx.conf", "a.csv%00.html",
     "visualization.html/", "%2e%2e/index.html.csv"],
)  # fmt: skip
def test_nothing_but_reports_is_served(dashboard: Gateway, path: str) -> None:
    """Neither a listing nor any other file of the folder or beside it, even for the operator."""
    request = f"GET /dashboard/reports/{path} HTTP/1.1\r\nHost: a\r\nX-API-Key: operator\r\n"
    status, _, body = dashboard.raw(request.encode() + b"Connection: close\r\n\r\n")
    assert status in (400, 404)
    assert b"secret" not in body


def test_report_may_run_its_own_script_only(dashboard: Gateway) -> None:
    """A report works with what it carries and can fetch nothing, also not from this gateway."""
    response = httpx2.get(f"{dashboard.url}/dashboard/reports/visualization.html", headers=ALLOWED)
    policy = response.headers["Content-Security-Policy"]
    assert response.text == REPORT
    assert "default-src 'none'" in policy
    assert "script-src 'unsafe-inline'" in policy
    assert "connect-src" not in policy


def test_service_hears_who_asks(dashboard: Gateway, asked: list[dict[str, str]]) -> None:
    """The service that decides sees the caller's own address and key, and no body."""
    asked.clear()
    forged = {**ALLOWED, "X-Real-IP": "6.6.6.6", "X-Forwarded-For": "6.6.6.6"}
    address = f"{dashboard.url}/dashboard/reports/visualization.html"
    response = httpx2.request("GET", address, headers=forged, content=b"x" * 2000)
    assert response.status_code == 200
    seen = asked[-1]
    assert seen["path"] == "/status/access"
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-api-key"] == "operator"
    assert "content-length" not in seen


@pytest.mark.parametrize("path", ["/.gateway/operator", "/dashboard/reports/../../x"])
def test_inner_paths_stay_inside(dashboard: Gateway, path: str) -> None:
    """Nobody asks for the check itself."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: operator\r\nConnection: close\r\n\r\n"
    status, _, _ = dashboard.raw(request.encode())
    assert status == 404


def test_reports_wait_for_the_service(binary: Path, tmp_path: Path) -> None:
    """While the office service is down nobody can be let in: 503 in the services' shape."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "visualization.html").write_text(REPORT, encoding="utf-8")
    options = lab_options(tmp_path, f"127.0.0.1:{free_port()}")
    with running(binary, options) as gateway:
        address = f"{gateway.url}/dashboard/reports/visualization.html"
        response = eventually(lambda: httpx2.get(address, headers=ALLOWED))
    assert response.status_code == 503
    assert json.loads(response.text)["error"]["code"] == "service_unavailable"
