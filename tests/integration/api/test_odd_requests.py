"""Requests that cannot be read, or are written in another way than we would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.api_lab import Lab, running_lab
from support.waiting import HANG_S


async def send(lab: Lab, *lines: str) -> tuple[int, str]:
    """Status and rest of the answer to a head as it stands."""
    address = urlsplit(lab.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
    async with asyncio.timeout(HANG_S):
        answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(
    "line",
    [
        "Host: [x]", "Host: [", "Host: a b", "Host: http://localhost", "Host: a@b", "Host: a/b",
        "Host: [::1", "Host: a:b", "Origin: http://[", "Origin: [", "Origin: http://[x]",
        "Origin: nonsense", "Origin: http://a/b", "Origin: http://a b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/performance", "/docs", "/nothing", "/healthz", "/metrics"])
async def test_what_cannot_be_read_is_400(office: Lab, line: str, path: str) -> None:
    """A Host or Origin that is none is refused by its name, whatever is asked."""
    host = [] if line.startswith("Host") else ["Host: localhost"]
    status, answer = await send(office, f"GET {path} HTTP/1.1", *host, line)
    assert status == 400
    error = json.loads(answer.partition("\r\n\r\n")[2])["error"]
    assert error["code"] == "bad_request"
    assert error["fields"][0]["field"] == line.partition(":")[0]


@pytest.mark.parametrize(
    "line",
    ["Content-Type: multipart/form-data", "Range: bytes=x-", "If-Modified-Since: never",
     "Accept-Language: ;q=x, ,", "X-Real-IP: nobody", "Last-Event-ID: \xff", "Cookie: \xff=;",
     "Content-Length: 0", "X-Forwarded-Prefix: //", "Authorization: \xff", "Accept: \xff"],
)  # fmt: skip
async def test_no_header_is_our_fault(office: Lab, line: str) -> None:
    """Whatever else stands in a header is no 500."""
    for path in ("/performance", "/docs-static/swagger-ui.css", "/streams/x", "/v1/models"):
        status, _ = await send(office, f"GET {path} HTTP/1.1", "Host: localhost", line)
        assert status < 500


@pytest.mark.parametrize(
    "path", ["/conversations?user_id=%C8%AB%B1%E6", "/v1/models/%C8%AB%B1%E6", "/%ff"]
)
async def test_an_address_that_is_not_utf8_is_400(office: Lab, path: str) -> None:
    """Two names that were sent in another encoding would be read as the same one."""
    for language, word in (("ko", "UTF-8"), ("en", "UTF-8")):
        head = [f"GET {path} HTTP/1.1", "Host: localhost", f"Accept-Language: {language}"]
        status, answer = await send(office, *head)
        assert status == 400
        assert word in answer


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/conversations/?user_id=a&q=%20", "/conversations?user_id=a&q=%20"),
        ("/v1/models/", "/v1/models"),
        ("/performance//", "/performance"),
    ],
)
async def test_a_slash_too_many_leads_on_without_a_host(lab: Lab, path: str, expected: str) -> None:
    """The redirect is a path with the gateway's prefix, and tells nothing of Host."""
    prefix = f"/{lab.assistant}"
    for told, outer in (
        ("", ""),
        (prefix, prefix),
        (f"/ai{prefix}", f"/ai{prefix}"),
        ("/evil", ""),
    ):
        headers = {"X-Forwarded-Prefix": told, "Host": "localhost:1"}
        answer = await lab.http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (307, outer + expected)
    for unknown in ("/nothing/", "//evil.example/", "/"):
        assert (await lab.http.get(unknown)).status_code == 404
    moved = await lab.http.post("/Llama/", json={})
    assert (moved.status_code, moved.headers["Location"]) == (307, "/Llama")


TEXT = '{"input_data": "안녕하세요, 반갑습니다", "user_id": "김"}'


@pytest.mark.parametrize("path", ["/Llama", "/v1/chat/completions"])
async def test_a_body_in_another_encoding_says_which(office: Lab, path: str) -> None:
    """CP949 and what looks like UTF-16 are named with the way to send them; any other is told that
    UTF-8 is expected."""
    json_type = {"Content-Type": "application/json"}
    for body, found in (
        (TEXT.encode("cp949"), "CP949"),
        (b"\xff\xfe{\x00\x22\x00\xd8", "UTF-16"),
        (b'{"input_data": "\xe9\xff"}', ""),
    ):
        for language in ("ko", "en"):
            headers = json_type | {"Accept-Language": language}
            answer = await office.http.post(path, content=body, headers=headers)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (400, "malformed_json")
            assert "UTF-8" in error["message"]
            assert found in error["message"]
            assert ("iconv" in error["message"]) == bool(found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
async def test_json_in_any_unicode_is_read(office: Lab, encoding: str) -> None:
    """Windows' tools write UTF-16 and marks at the beginning: both can be told and are read."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": encoding}
    answer = await office.http.post("/Llama", content=TEXT.encode(encoding), headers=headers)
    assert answer.status_code == 200
    assert "반갑습니다" in answer.json()


async def test_the_reference_allows_its_own_scripts_alone(lab: Lab) -> None:
    """/docs, on the chat page's origin, runs no script but its own, and talks to nobody else."""
    page = await lab.http.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert 'src="docs-static/' in page.text


@pytest.mark.parametrize(
    "content",
    [
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 20 + b"--x--\r\n",
        b"\r\n--" * 100,
        b"",
    ],
    ids=["fields", "boundaries", "empty"],
)
async def test_a_form_that_cannot_be_read_is_the_callers_fault(
    tmp_path: Path, content: bytes
) -> None:
    """Its bytes are gone when that is found, and the error is 400 all the same."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    path = "/characters/import?user_id=a"
    async with running_lab(tmp_path, "character") as lab:
        answer = await lab.http.post(path, content=content, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["message"]
