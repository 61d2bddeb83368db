"""Everything dies, MongoDB included, while people talk: a short run of `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.chaos import VICTIMS, run

pytestmark = pytest.mark.slow


def test_whatever_is_killed_every_answered_turn_is_stored_once(
    tmp_path: Path, model_file: Path
) -> None:
    """kill -9 of each part in an order of chance: afterwards every answered turn is there once,
    as it was told, in order, and everybody is answered again."""
    assert model_file.is_file()
    account = run(tmp_path, seconds=25, seed=20251125)
    assert account.is_good, account
    assert all(account.kills[victim] >= 1 for victim in VICTIMS), account.kills
    assert all(count >= 2 for count in account.answered_by.values())
