"""Ctrl-C while people talk: everything ends within five seconds, and what was answered stays."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.load import Load, check_stored
from support.process_group import HEAL_S, STOP_S, Group, brief, environment, eventually, started
from support.process_tree import descendants


def test_ctrl_c_ends_everything_and_keeps_what_was_answered(tmp_path: Path) -> None:
    """SIGINT as a terminal sends it, with answers under way: exit code 0, no process left after
    five seconds, no call hangs, and every answered turn is in the file."""
    with started(tmp_path, **brief(tmp_path)) as group:
        with Load(group, "stop") as load:
            load.wait_for_answers(HEAL_S)
            assert group.interrupt() == 0
        for speaker in load.speakers:
            check_stored(group, speaker)
        assert "Traceback" not in group.output


def test_ctrl_c_while_starting_ends_everything(tmp_path: Path) -> None:
    """SIGINT before the group is ready stops what had been started."""
    group = Group(tmp_path, environment(tmp_path))
    group.start()
    try:
        eventually(lambda: group.pid("engine"), HEAL_S, "the engine is being started")
        assert group.interrupt() == 0
        assert "Traceback" not in group.output
    finally:
        group.discard()


def test_a_second_ctrl_c_changes_nothing(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C again and again gets the same orderly end."""
    with started(tmp_path) as group:
        everything = descendants(group.process.pid)

        def ended() -> bool:
            if group.process.poll() is None:
                os.killpg(group.process.pid, signal.SIGINT)
            return group.process.poll() is not None and not any(p.is_alive for p in everything)

        eventually(ended, STOP_S, "everything has ended")
        assert group.process.returncode == 0
        assert "Traceback" not in group.output
