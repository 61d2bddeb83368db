"""Services that stream, disappear, come back and move."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from chatbot_ai.gateway.nginx import read_nginx_version
from support.gateway_lab import (
    Gateway,
    binaries,
    binary_name,
    eventually,
    free_port,
    lab_options,
    running,
    upstream_process,
)
from support.gateway_upstream import DEADLINE_S, NameServer, Upstream


def _is_unavailable(response: httpx2.Response) -> bool:
    """The gateway's own 503, complete."""
    if response.status_code != 503:
        return False
    error = response.json()["error"]
    assert error["code"] == "service_unavailable"
    assert error["request_id"] == response.headers["X-Request-ID"]
    assert int(response.headers["Retry-After"]) >= 1
    return True


def test_stream_arrives_piece_by_piece(client: httpx2.Client, upstream: Upstream) -> None:
    """The caller reads the first event before the service writes the second, uncompressed."""
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    with client.stream("POST", "/office/stream", headers=headers) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"data: 1\n\n"
        assert not upstream.release.is_set()
        upstream.release.set()
        assert next(pieces) == b"data: 2\n\n"
        assert list(pieces) == []
    assert "Content-Encoding" not in response.headers
    assert response.headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("path", ["/office/hang", "/character/stream?wait"])
def test_leaving_caller_leaves_the_service(gateway: Gateway, upstream: Upstream, path: str) -> None:
    """A caller that hangs up, before the answer or within it, is gone for the service at once."""
    request = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as caller:
        caller.sendall(request.encode())
        assert upstream.arrived.wait(DEADLINE_S)
        assert not upstream.left.is_set()
    assert upstream.left.wait(DEADLINE_S)


def test_connections_to_a_service_are_kept(client: httpx2.Client, upstream: Upstream) -> None:
    """Request after request goes over connections that are open already."""
    client.get("/office/x")
    before = upstream.connections
    for _ in range(40):
        client.get("/office/x")
    assert upstream.connections - before <= 1


def test_cut_request_is_not_repeated(client: httpx2.Client, upstream: Upstream) -> None:
    """A POST whose connection ends without an answer is 503 and reached the service once."""
    client.get("/office/x")
    upstream.forget()
    assert _is_unavailable(client.post("/office/cut", content=b"{}"))
    assert upstream.seen == ["POST /cut"]


def test_killed_service(binary: Path, tmp_path: Path) -> None:
    """Killed with a request inside: 503; while down: 503; back again: answers."""
    port = free_port()
    options = lab_options(tmp_path, f"127.0.0.1:{port}")
    with running(binary, options) as gateway, httpx2.Client(base_url=gateway.url) as client:
        assert _is_unavailable(client.post("/office/Llama"))
        with upstream_process(port) as process:
            assert client.post("/office/Llama").status_code == 200
            answers: list[httpx2.Response] = []
            waiting = threading.Thread(
                target=lambda: answers.append(
                    httpx2.post(f"{gateway.url}/office/hang", timeout=DEADLINE_S)
                )
            )
            waiting.start()
            eventually(lambda: _requests_inside(port))
            process.send_signal(signal.SIGKILL)
            waiting.join(DEADLINE_S)
            assert _is_unavailable(answers[0])
        assert _is_unavailable(client.post("/office/Llama"))
        with upstream_process(port):
            assert client.post("/office/Llama").status_code == 200


def _requests_inside(port: int) -> bool:
    """Whether the server on `port` has received the hanging request."""
    seen = httpx2.get(f"http://127.0.0.1:{port}/seen").json()
    return "POST /hang" in seen["seen"]


def test_service_that_does_not_accept(binary: Path, tmp_path: Path) -> None:
    """A service whose machine swallows connections is 503 within seconds."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        options = lab_options(tmp_path, f"127.0.0.1:{port}")
        gateway = stack.enter_context(running(binary, options))
        # nginx's own time to connect is a minute
        assert _is_unavailable(httpx2.post(f"{gateway.url}/office/Llama", timeout=50))
        assert eventually(gateway.log)[-1]["upstream_status"] == "504"


#: The first version whose `server NAME resolve` looks names up again (nginx's CHANGES, 1.27.3).
RESOLVING = [binary for binary in binaries() if read_nginx_version(binary) >= (1, 27, 3)]


@pytest.mark.parametrize("binary", RESOLVING, ids=binary_name)
def test_service_that_moves_is_found_again(binary: Path, tmp_path: Path) -> None:
    """The gateway starts without its services, finds them, and follows them to new addresses."""
    names, port = NameServer(None), free_port("127.0.0.2")
    options = lab_options(
        tmp_path,
        f"service.test:{port}",
        resolver=f"127.0.0.1:{names.port} valid=1s ipv6=off",
    )
    with ExitStack() as stack:
        stack.callback(names.close)
        gateway = stack.enter_context(running(binary, options))
        client = stack.enter_context(httpx2.Client(base_url=gateway.url, timeout=DEADLINE_S))
        assert _is_unavailable(client.post("/office/Llama"))
        for address in ("127.0.0.2", "127.0.0.3"):
            service = Upstream(address, port, name=address)
            names.answer = address
            try:
                for assistant in ("office", "character"):
                    eventually(lambda: _answers_as(client.get(f"/{assistant}/x"), address))  # noqa: B023
            finally:
                service.close()


def _answers_as(response: httpx2.Response, name: str) -> bool:
    """Whether the service called `name` answered; anything else must be the gateway's 503."""
    if _is_unavailable(response):
        return False
    assert response.status_code == 200
    return bool(response.json()["server"] == name)
