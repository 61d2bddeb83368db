"""The scripts that an operator runs beside Compose, and the one-shot container's own."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[2]


def write_program(folder: Path, name: str, text: str) -> None:
    """Put a program called `name` into `folder`."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/bash\n{text}\n")
    program.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the scripts alone, as in a clone."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in ("set_env.sh", "backup.sh", "restore.sh"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    return folder


class TestSetEnv:
    """scripts/set_env.sh NAME=VALUE ..."""

    @staticmethod
    def call(clone: Path, *pairs: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [clone / "scripts/set_env.sh", *pairs],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def test_a_new_file_is_for_its_owner_alone(self, clone: Path) -> None:
        """It holds passwords from its first moment on."""
        assert self.call(clone, "MONGO_ADMIN_USER=chatbot", "RUN_UID=1000").returncode == 0
        file = clone / ".env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == "MONGO_ADMIN_USER=chatbot\nRUN_UID=1000\n"

    def test_other_lines_stay_as_they_are(self, clone: Path) -> None:
        """A second run changes values in place; comments, order and the rest are kept."""
        file = clone / ".env"
        file.write_text("# mine\nOPENAI_API_KEY=sk-1\nOFFICE_GPU=1\n#OFFICE_GPU=7\nX_OFFICE_GPU=2")
        file.chmod(0o644)
        assert self.call(clone, "OFFICE_GPU=0", "CHARACTER_GPU=1").returncode == 0
        assert file.read_text() == (
            "# mine\nOPENAI_API_KEY=sk-1\nOFFICE_GPU=0\n#OFFICE_GPU=7\nX_OFFICE_GPU=2\n"
            "CHARACTER_GPU=1\n"
        )
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert sorted(path.name for path in clone.iterdir()) == [".env", "scripts"]

    @pytest.mark.parametrize("value", ["a b", "pa$word", "x#y", "back\\slash", "", "k=v=w"])
    def test_every_value_is_read_as_it_was_given(self, clone: Path, value: str) -> None:
        """What Compose or we would expand or cut is quoted."""
        assert self.call(clone, f"MONGO_ADMIN_PASSWORD={value}").returncode == 0
        assert dotenv_values(clone / ".env") == {"MONGO_ADMIN_PASSWORD": value}

    @pytest.mark.parametrize(
        "pair", ["", "OFFICE_GPU", "=1", "office=1", "A B=1", "A=it's", "A=1\n2"]
    )
    def test_a_mistake_changes_nothing(self, clone: Path, pair: str) -> None:
        """All or nothing: the values before the mistake are not set either."""
        (clone / ".env").write_text("RUN_UID=1\n")
        done = self.call(clone, "RUN_UID=2", pair)
        assert (done.returncode, "unchanged" in done.stderr) == (2, True)
        assert (clone / ".env").read_text() == "RUN_UID=1\n"
        assert sorted(path.name for path in clone.iterdir()) == [".env", "scripts"]


#: Stands in for `docker compose exec -T office ...`: runs the rest with /app/data in $DATA.
DOCKER = r"""
echo "$*" >>"$CALLS"
[ "$1 $2" = "compose exec" ] || exit 0
shift 4
case $1 in
    chatbot-ai) [ -z "$BROKEN" ] || exit 4; echo '{"turn": 1}' >"${4/\/app\/data/$DATA}" ;;
    python) sed "s#/app/data#$DATA#" | "$PYTHON" - ;;
    *) exec "${@//\/app\/data/$DATA}" ;;
esac
"""


class TestBackup:
    """scripts/backup.sh; tests/compose takes it and restore.sh through a real deployment."""

    @pytest.fixture
    def environment(self, clone: Path, tmp_path: Path) -> dict[str, str]:
        write_program(tmp_path / "bin", "docker", DOCKER)
        data = tmp_path / "data"
        data.mkdir()
        for name in ("keys", "characters", "chatbot"):
            connection = sqlite3.connect(data / f"{name}.sqlite3")
            connection.execute("CREATE TABLE t (x)")
            connection.close()
        (clone / ".env").write_text("SECRET=1\n")
        return {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "DATA": str(data),
            "CALLS": str(tmp_path / "calls"),
            "PYTHON": sys.executable,
        }

    @staticmethod
    def call(clone: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [clone / "scripts/backup.sh", *arguments],
            env=environment,
            cwd=clone.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    def test_a_backup_holds_everything_and_is_for_its_owner_alone(
        self, clone: Path, environment: dict[str, str]
    ) -> None:
        """Conversations as JSONL, whole copies of the other files, and the settings."""
        code, printed = self.call(clone, environment, "saved")
        assert code == 0
        made = Path(printed)
        assert made.parent == clone.parent / "saved"
        assert {file.name for file in made.iterdir()} == {
            "conversations.jsonl.gz",
            "data.tar",
            "env",
        }
        assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in made.iterdir()} == {0}
        with tarfile.open(made / "data.tar") as archive:
            assert set(archive.getnames()) == {".", "./keys.sqlite3", "./characters.sqlite3"}
        assert not (Path(environment["DATA"]) / ".backup").exists()

    def test_a_failed_export_leaves_no_backup(
        self, clone: Path, environment: dict[str, str]
    ) -> None:
        """A timer's log shows the failure, and older backups stay."""
        old = clone.parent / "saved" / "2020-01-01-000000"
        old.mkdir(parents=True)
        os.utime(old, (0, 0))
        code, _ = self.call(clone, environment | {"BROKEN": "1"}, "saved")
        assert code != 0
        assert old.is_dir()
        assert [one.name for one in old.parent.glob("2*")] == [old.name]

    def test_old_backups_are_removed_after_the_new_one(
        self, clone: Path, environment: dict[str, str]
    ) -> None:
        """Only folders that the script itself named, and only those older than the days given."""
        saved = clone.parent / "saved"
        for name in ("2020-01-01-000000", "mine"):
            (saved / name).mkdir(parents=True)
            os.utime(saved / name, (0, 0))
        code, printed = self.call(clone, environment, "saved", "7")
        assert code == 0
        assert {one.name for one in saved.iterdir()} == {"mine", ".lock", Path(printed).name}


@pytest.fixture
def one_shot(tmp_path: Path) -> dict[str, str]:
    """What docker/prepare.sh calls, each writing its name to a file; no demo model can be had."""
    programs = tmp_path / "programs"
    called = tmp_path / "called"
    for name in ("install_libs.sh", "python", "chatbot-ai"):
        write_program(programs, name, f'echo "{name} $*" >>{called}')
    write_program(programs, "demo_model.py", f"echo demo_model.py >>{called}; exit 1")
    write_program(programs, "id", "echo 1000")
    (tmp_path / "libs" / "libs-1").mkdir(parents=True)
    (tmp_path / "libs" / "current").symlink_to("libs-1")
    return {"PATH": f"{programs}:{os.environ['PATH']}", "LIBS_DIR": str(tmp_path / "libs")}


def test_without_the_demo_model_a_pull_goes_on(one_shot: dict[str, str], tmp_path: Path) -> None:
    """Where the hub cannot give the demo model, the models that the operator asks for matter."""
    command = [str(ROOT / "docker/prepare.sh"), "models", "pull", "office"]
    assert subprocess.run(command, env=one_shot, check=False).returncode == 0
    called = (tmp_path / "called").read_text().splitlines()
    assert called[-1] == "chatbot-ai models pull office"
    assert "demo_model.py" not in called


def test_without_the_demo_model_a_start_fails(one_shot: dict[str, str]) -> None:
    """The services would have no model."""
    assert subprocess.run([ROOT / "docker/prepare.sh"], env=one_shot, check=False).returncode == 1
