"""One running deployment for all end-to-end tests that leave it as they found it.

Without E2E_BASE_URL it is a group of processes on this machine, started by the command that
`make run` uses. With it (`E2E_BASE_URL=http://localhost:8001`) the tests of the contract run
against that deployment, a Compose one for example; those that start, kill or look into processes
need a group of their own and run the same either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx2
import pytest

from support.process_group import started
from support.waiting import HANG_S


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the gateway of a deployment that is ready."""
    given = os.environ.get("E2E_BASE_URL")
    if given:
        yield given.rstrip("/")
        return
    with started(tmp_path_factory.mktemp("e2e")) as group:
        yield group.url
        assert group.interrupt() == 0


@pytest.fixture
def client(base_url: str) -> Iterator[httpx2.Client]:
    """A caller at the gateway, one that waits longer than the service may take."""
    with httpx2.Client(base_url=base_url, timeout=HANG_S) as made:
        yield made
