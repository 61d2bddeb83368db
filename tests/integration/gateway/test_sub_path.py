"""An installation below a path of another proxy, such as https://example.com/ai/."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from support.gateway_lab import behind_gateway, eventually, free_port, is_open
from support.waiting import HANG_S

#: As docs/deployment.md shows it, without what certificates need.
FRONT = """
daemon off; worker_processes 1; pid front.pid; error_log stderr alert;
events {{}}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u;
    scgi_temp_path s; access_log off;
    server {{
        listen 127.0.0.1:{port};
        location /ai/ {{
            proxy_pass http://127.0.0.1:{gateway}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Prefix /ai;
            proxy_buffering off;
        }}
    }}
}}
"""


@contextmanager
def front_proxy(binary: Path, folder: Path, gateway: int) -> Iterator[str]:
    """Another nginx, which serves the gateway below /ai/; yields its address."""
    port = free_port()
    (folder / "front.conf").write_text(FRONT.format(port=port, gateway=gateway), "utf-8")
    command = [str(binary), "-e", "stderr", "-p", str(folder), "-c", str(folder / "front.conf")]
    process = subprocess.Popen(command)
    try:
        eventually(lambda: is_open(port) or process.poll() is not None)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("trusted", [True, False])
async def test_everything_works_below_a_path(binary: Path, tmp_path: Path, trusted: bool) -> None:
    """Pages, redirects, documentation, answers and streams are found below /ai/; a proxy that is
    not trusted does not change what we call ourselves."""
    for name in ("web", "dashboard"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text("<!doctype html><p>page", encoding="utf-8")
    proxies = ("127.0.0.1",) if trusted else ()
    async with behind_gateway(binary, tmp_path, trusted_proxies=proxies) as (lab, gateway):
        bearer = {"Authorization": f"Bearer {await lab.key()}"}
        folder = tmp_path / "front"
        folder.mkdir()
        front = front_proxy(binary, folder, gateway.port)
        url = await asyncio.to_thread(front.__enter__)
        try:
            async with httpx2.AsyncClient(base_url=url, headers=bearer, timeout=HANG_S) as http:
                outer = "/ai" if trusted else ""
                for page in ("chat", "dashboard"):
                    moved = await http.get(f"/ai/{page}")
                    assert moved.headers["Location"] == f"{outer}/{page}/"
                    assert (await http.get(f"/ai/{page}/")).status_code == 200
                moved = await http.get("/ai/office/conversations/?user_id=a")
                assert moved.headers["Location"] == f"{outer}/office/conversations?user_id=a"
                document = (await http.get("/ai/office/openapi.json")).json()
                assert document["servers"] == [{"url": f"{outer}/office"}]
                docs = await http.get("/ai/office/docs")
                for part in ("openapi.json", "docs-static/swagger-ui-bundle.js"):
                    assert part in docs.text
                    found = await http.get(urljoin(str(docs.url), part))
                    assert found.status_code == 200
                answer = await http.post("/ai/office/Llama", json=lab.body())
                assert answer.status_code == 200
                stream = await http.post(
                    "/ai/office/Llama", json=lab.body(), headers={"Accept": "text/event-stream"}
                )
                assert "event: done" in stream.text
        finally:
            await asyncio.to_thread(front.__exit__, None, None, None)
