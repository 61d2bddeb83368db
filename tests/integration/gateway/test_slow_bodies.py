"""Bodies through a real gateway to a real service: who is refused before one is taken, and what
slow ones may cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.slow_bodies import memory_bytes, sent_slowly

from chatbot_ai.domain import limits
from support.access_lab import serving
from support.gateway_lab import behind_gateway
from support.process_tree import descendants
from support.waiting import HANG_S, until

KEY = "Authorization: Bearer {}\r\n"


async def ask(port: int, request: bytes) -> tuple[int, dict[str, Any]]:
    """Status and error of the answer to a request whose rest never comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(HANG_S):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    writer.transport.abort()
    return int(head.split()[1]), body["error"]


def beginning(
    path: str = "/office/Llama", version: str = "1.1", length: str = "", **headers: str
) -> bytes:
    """The head of a POST and the first byte of its body."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {length}" if length else "Transfer-Encoding: chunked")
    text = f"POST {path} HTTP/{version}\r\nHost: localhost\r\n" + "\r\n".join(lines)
    return text.encode() + b"\r\n\r\n" + (b"{" if length else b"1\r\n{\r\n")


async def test_a_key_is_asked_for_before_the_body(binary: Path, tmp_path: Path) -> None:
    """Without a key, 401 comes to a caller that has sent one byte of its body, however it is
    announced; the next caller on the same connections is served."""
    async with behind_gateway(binary, tmp_path) as (lab, gateway):
        key = await lab.key()
        for request in (
            beginning(length="19000"),
            beginning(length="19000", version="1.0"),
            beginning(),
            beginning("/office/v1/chat/completions", length="19000"),
        ):
            status, error = await ask(gateway.port, request)
            assert (status, error["code"]) in ((401, "unauthorized"), (401, "invalid_api_key"))
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=HANG_S) as http:
            for _ in range(4):
                refused = await http.post("/office/Llama", content=b"x" * 500_000)
                assert refused.status_code == 401
                bearer = {"Authorization": f"Bearer {key}"}
                answer = await http.post("/office/Llama", json=lab.body(), headers=bearer)
                assert answer.status_code == 200
        assert lab.services.statistics.since_start()["answered"] == 4


async def test_a_body_has_its_time_as_a_whole(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that comes byte by byte, none of them late, is 408 in our form; the service then
    answers others."""
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 1.5)
    async with behind_gateway(binary, tmp_path) as (lab, gateway):
        for path, request_error in (
            ("/office/Llama", "request_id"),
            ("/office/v1/chat/completions", "type"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(beginning(path, length="19000"))
            answering = asyncio.create_task(reader.readuntil(b"}}"))
            async with asyncio.timeout(HANG_S):
                while not answering.done():
                    writer.write(b" ")
                    await asyncio.sleep(0.1)
            head, _, body = (await answering).partition(b"\r\n\r\n")
            error = json.loads(body)["error"]
            assert head.startswith(b"HTTP/1.1 408 ")
            assert error["code"] == "request_timeout"
            assert error[request_error]
            writer.transport.abort()
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=HANG_S) as http:
            assert (await http.post("/office/Llama", json=lab.body())).status_code == 200


@pytest.mark.parametrize("callers", [150, 500])
async def test_slow_bodies_cost_the_gateway_little(
    binary: Path, tmp_path: Path, callers: int
) -> None:
    """Hundreds of slow bodies of 1 MiB leave nginx far below its 128 MiB, and others are served."""
    async with behind_gateway(binary, tmp_path) as (lab, gateway):
        key = await lab.key()
        await until(lambda: bool(descendants(gateway.process.pid)))
        pids = [gateway.process.pid, *(p.pid for p in descendants(gateway.process.pid))]
        async with sent_slowly(gateway.port, "/office/Llama", callers=callers) as answers:
            assert memory_bytes(*pids) < 48 << 20
            async with httpx2.AsyncClient(base_url=gateway.url, timeout=HANG_S) as http:
                bearer = {"Authorization": f"Bearer {key}"}
                for attempt in range(3):
                    try:
                        answer = await http.post("/office/Llama", json=lab.body(), headers=bearer)
                    except httpx2.TransportError:
                        # a client asks again where a connection breaks off in such a crowd
                        if attempt == 2:
                            raise
                    else:
                        break
                assert answer.status_code == 200
            assert answers()["401"] > 0


async def test_bodies_that_a_service_holds_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller's bodies have their share of memory: what is beyond it is 503, another caller is
    served, and when they have ended everybody is."""
    monkeypatch.setattr(limits, "HELD_BYTES", 120_000)
    monkeypatch.setattr(limits, "CALLER_HELD_BYTES", 60_000)
    async with serving(tmp_path) as lab:
        greedy, other = await lab.key(), await lab.key()
        async with httpx2.AsyncClient(base_url=lab.url, timeout=HANG_S) as http:

            async def status_for(key: str) -> int:
                bearer = {"Authorization": f"Bearer {key}"}
                body = lab.body() | {"more": " " * 18_000}
                answer = await http.post("/Llama", json=body, headers=bearer)
                if answer.status_code == 503:
                    assert answer.json()["error"]["code"] == "busy"
                    assert int(answer.headers["Retry-After"]) >= 1
                return answer.status_code

            async with sent_slowly(
                int(lab.url.rpartition(":")[2]),
                "/Llama",
                callers=10,
                body_bytes=19_000,
                sent_bytes=16_384,
                headers=KEY.format(greedy),
            ) as answers:
                await until(lambda: answers()["503"] == 7)
                assert await status_for(other) == 200
                assert await status_for(greedy) == 503

            async def is_served() -> bool:
                return await status_for(greedy) == 200

            async with asyncio.timeout(HANG_S):
                while not await is_served():  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(0.05)


async def test_one_address_has_its_number_of_connections(binary: Path, tmp_path: Path) -> None:
    """Requests under way beyond GATEWAY_CONNECTIONS are 429 with Retry-After for another machine
    (here: as a trusted proxy tells), and not for this one."""
    async with behind_gateway(
        binary, tmp_path, gateway_connections=5, trusted_proxies=("127.0.0.1",)
    ) as (lab, gateway):
        await lab.key()
        lab.model.gate = asyncio.Event()
        key = await lab.key()
        request = beginning(
            length="19000", Authorization=f"Bearer {key}", X_Forwarded_For="198.51.100.7"
        )
        far = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(5)]
        for _, writer in far:
            writer.write(request)
        async with asyncio.timeout(HANG_S):
            while True:
                status, error = await ask(
                    gateway.port, beginning(length="2", X_Forwarded_For="198.51.100.7")
                )
                if status == 429:
                    break
                await asyncio.sleep(0.05)
        assert error["code"] == "rate_limited"
        near = [beginning(length="2", X_Forwarded_For=a) for a in ("127.0.0.1", "198.51.100.8")]
        assert [(await ask(gateway.port, one))[0] for one in near] == [401, 401]
        for _, writer in far:
            writer.transport.abort()
