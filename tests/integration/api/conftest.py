"""A running service of each assistant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.api_lab import Lab, running_lab


@pytest.fixture(params=["office", "character"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    """Each assistant's service."""
    async with running_lab(tmp_path, request.param) as running:
        yield running


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Lab]:
    """The office assistant's service."""
    async with running_lab(tmp_path, "office") as running:
        yield running
