"""Through a real gateway to a real service: who is served without a key, and who looks local."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.domain.access import HOP_SIGNS
from support.gateway_lab import behind_gateway, eventually, free_port, is_open
from support.waiting import HANG_S

PAGES = ("/chat/", "/chat/index.html", "/dashboard/", "/office/docs", "/office/openapi.json")
DATA = (
    "/office/performance",
    "/office/conversations?user_id=a",
    "/office/status",
    "/office/v1/models",
)
CROSS = {"Sec-Fetch-Site": "cross-site"}


def add_pages(folder: Path) -> None:
    for name in ("web", "dashboard"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "index.html").write_text("<!doctype html><p>page", encoding="utf-8")


@pytest.mark.parametrize("trusted", [False, True])
async def test_another_proxy_in_front_needs_keys(
    binary: Path, tmp_path: Path, trusted: bool
) -> None:
    """Without keys whatever has come through another proxy is 401, pages too, by every method, and
    the sentence says what to do; with keys a key decides. A trusted proxy tells its caller."""
    add_pages(tmp_path)
    proxies = ("127.0.0.1",) if trusted else ()
    async with (
        behind_gateway(binary, tmp_path, trusted_proxies=proxies) as (lab, gateway),
        httpx2.AsyncClient(base_url=gateway.url, timeout=HANG_S) as http,
    ):
        for path in (*PAGES, *DATA):
            assert (await http.get(path)).status_code == 200, path
        names = (*HOP_SIGNS, "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto")
        for name in names:
            told = {name: "127.0.0.1"}
            seen = [
                (await http.get(path, headers=told)).status_code for path in DATA[:1] + PAGES[:1]
            ]
            assert seen == ([200] * 2 if trusted else [401] * 2), name
        unheard_of = await http.get(DATA[0], headers={"X-Forwarded-Anything": "1"})
        assert unheard_of.status_code == (200 if trusted else 401)
        told = {"X-Forwarded-For": "198.51.100.7", "Accept-Language": "en"}
        for path in DATA if trusted else (*PAGES, *DATA):
            refused = await http.get(path, headers=told)
            assert refused.status_code == 401, path
            assert "chatbot-ai keys create" in refused.json()["error"]["message"]
            assert trusted or "GATEWAY_TRUSTED_PROXIES" in refused.text
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
            answer = await http.request(method, "/office/Llama", headers=told)
            assert answer.status_code == 401, method
        assert (await http.get("/office/healthz", headers=told)).status_code == 200

        bearer = {"Authorization": f"Bearer {await lab.key()}"}
        for path in PAGES:
            assert (await http.get(path, headers=told)).status_code == 200, path
        for path in DATA:
            assert (await http.get(path, headers=told)).status_code == 401, path
            answer = await http.get(path, headers=told | bearer)
            assert answer.status_code == 200, path


SILENT = """
daemon off; pid {folder}/pid; error_log stderr alert;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_http_version 1.0; proxy_pass {to}; }}
    }}
}}
"""


@contextmanager
def silent_proxy(binary: Path, folder: Path, to: str) -> Iterator[str]:
    """nginx as it is by default before 1.29.7: it speaks HTTP/1.0 and adds no header."""
    folder.mkdir()
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(SILENT.format(folder=folder, port=port, to=to), encoding="utf-8")
    nginx = subprocess.Popen([binary, "-e", "stderr", "-p", str(folder), "-c", str(conf)])
    try:
        eventually(lambda: is_open(port) or nginx.poll() is not None)
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        nginx.wait(HANG_S)


async def test_a_proxy_that_says_nothing_needs_keys(binary: Path, tmp_path: Path) -> None:
    """A bare `proxy_pass` to the gateway or a service: whoever comes through it gets nothing
    without a key but health, and is told what to do."""
    add_pages(tmp_path)
    async with behind_gateway(binary, tmp_path) as (lab, gateway):
        for number, (to, prefix) in enumerate(((gateway.url, "/office"), (lab.url, ""))):
            with silent_proxy(binary, tmp_path / f"front{number}", to) as url:
                async with httpx2.AsyncClient(base_url=url, timeout=HANG_S) as http:
                    paths = [p.removeprefix("/office") for p in (*PAGES, *DATA) if "/office" in p]
                    asked = [f"{prefix}{path}" for path in paths] + [*PAGES[:3]] * (not number)
                    for path in asked:
                        refused = await http.get(path, headers={"Accept-Language": "en"})
                        assert refused.status_code == 401, path
                        assert "chatbot-ai keys create" in refused.text
                        assert "GATEWAY_TRUSTED_PROXIES" in refused.text
                    for path in ("/healthz", f"{prefix}/healthz", f"{prefix}/readyz"):
                        assert (await http.get(path)).status_code == 200, path
        bearer = {"Authorization": f"Bearer {await lab.key()}"}
        with silent_proxy(binary, tmp_path / "keyed", gateway.url) as url:
            async with httpx2.AsyncClient(base_url=url, timeout=HANG_S, headers=bearer) as http:
                for path in (*PAGES, *DATA):
                    assert (await http.get(path)).status_code == 200, path


async def test_another_sites_page_gets_no_data(binary: Path, tmp_path: Path) -> None:
    """A frame, an image or a link on another site gets nothing of the API, whatever exists; a link
    to a page works, and so does everything that our own page and the address bar ask."""
    add_pages(tmp_path)
    async with (
        behind_gateway(binary, tmp_path) as (lab, gateway),
        httpx2.AsyncClient(base_url=gateway.url, timeout=HANG_S) as http,
    ):
        body = lab.body(user_id="a", db_id="d")
        assert (await http.post("/office/Llama", json=body)).status_code == 200
        exports = [f"/office/conversations/{db_id}/export?user_id=a" for db_id in ("d", "none")]
        ways = [
            {"Sec-Fetch-Dest": d, "Sec-Fetch-Mode": m}
            for d, m in (
                ("iframe", "navigate"),
                ("image", "no-cors"),
                ("script", "no-cors"),
                ("document", "navigate"),
            )
        ]
        for way in ways:
            for site in ("cross-site", "same-site"):
                seen = [
                    await http.get(p, headers=way | {"Sec-Fetch-Site": site})
                    for p in (*DATA, *exports)
                ]
                assert {answer.status_code for answer in seen} == {401}
            own = [
                await http.get(exports[0], headers=way | {"Sec-Fetch-Site": s})
                for s in ("none", "same-origin")
            ]
            assert [answer.status_code for answer in own] == [200, 200]
        link = CROSS | ways[-1]
        assert [(await http.get(path, headers=link)).status_code for path in PAGES] == [200] * 5
        for host, status in (("evil:8001", 401), ("localhost:8001", 200), ("[::1]:8001", 200)):
            assert (await http.get(DATA[0], headers={"Host": host})).status_code == status


async def test_metrics_are_given_by_our_names_alone(binary: Path, tmp_path: Path) -> None:
    """The service's own port does not give its metrics to a page that has rebound its name, keys
    or not."""
    async with behind_gateway(binary, tmp_path) as (lab, _), lab.caller() as http:
        for _ in range(2):
            for host, status in (("evil.example", 401), ("evil", 401), ("127.0.0.1:8002", 200)):
                assert (await http.get("/metrics", headers={"Host": host})).status_code == status
            # as Prometheus in Compose calls it, and nothing else by that name
            for address, status in (("172.18.0.9", 200), ("127.0.0.1", 401)):
                told = {"Host": "office:8002", "X-Real-IP": address}
                assert (await http.get("/metrics", headers=told)).status_code == status
                assert (await http.get("/performance", headers=told)).status_code == 401
            await lab.key()
