"""The deployment that scripts/compose_test.sh has started; without it nothing here is collected."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from support.compose_deployment import CLONE, GATEWAY_PORT, Deployment

collect_ignore_glob = [] if CLONE.is_dir() else ["test_*.py"]


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    return Deployment()


@pytest.fixture(scope="session")
def gateway() -> Iterator[httpx2.Client]:
    """A client of the published port."""
    url = f"http://127.0.0.1:{GATEWAY_PORT}"
    with httpx2.Client(base_url=url, timeout=180, trust_env=False) as client:
        yield client
