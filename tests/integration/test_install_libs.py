"""docker/install_libs.sh: whole or not at all, once for each lock, whatever kills it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.package_index import PackageIndex, lock_line, make_wheel
from support.waiting import HANG_S

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "install_libs.sh"
DEADLINE_S = HANG_S


class Volume:
    """The folder that the container would have as a volume, and the script that fills it."""

    def __init__(self, folder: Path, index: PackageIndex) -> None:
        self.libs, self.lock = folder / "libs", folder / "runtime.lock"
        self.libs.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        self.environment = own | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": index.url,
            "LIBS_DIR": str(self.libs),
            "LOCK": str(self.lock),
        }

    def start(self, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SCRIPT],
            env=self.environment | extra,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def install(self, **extra: str) -> int:
        process = self.start(**extra)
        _, self.log = process.communicate(timeout=DEADLINE_S)
        return process.returncode

    @property
    def current(self) -> Path:
        return (self.libs / "current").resolve(strict=True)

    def installations(self) -> set[str]:
        return {path.name for path in self.libs.glob("libs-*")}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """The index's folder, with two packages at first."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "alpha", "1.0", "value = 1\n")
    make_wheel(folder, "xllamacpp", "2.0", "build = 'cpu'\n")
    return folder


@pytest.fixture
def index(wheels: Path) -> Iterator[PackageIndex]:
    server = PackageIndex(wheels)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def volume(tmp_path: Path, index: PackageIndex, wheels: Path) -> Volume:
    made = Volume(tmp_path, index)
    made.lock.write_text("".join(lock_line(wheel) for wheel in sorted(wheels.glob("*.whl"))))
    return made


def test_a_second_run_leaves_everything_as_it_is(volume: Volume) -> None:
    """What is installed for this lock is not touched again."""
    assert volume.install() == 0
    before = volume.current.stat()
    assert (volume.current / "alpha.py").read_text() == "value = 1\n"
    assert volume.install() == 0
    after = volume.current.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_lock_is_installed_beside_the_old_one(volume: Volume, wheels: Path) -> None:
    """Running processes keep their folder until the next start; then it goes."""
    volume.install()
    old = volume.current
    newer = make_wheel(wheels, "alpha", "1.1", "value = 2\n")
    volume.lock.write_text(lock_line(newer))
    assert volume.install() == 0
    assert (volume.current / "alpha.py").read_text() == "value = 2\n"
    assert volume.installations() == {old.name, volume.current.name}
    assert volume.install() == 0
    assert volume.installations() == {volume.current.name}


def test_killed_half_way_it_leaves_nothing_that_looks_finished(
    volume: Volume, index: PackageIndex
) -> None:
    """kill -9 of the script and of pip: no `current`; the next run installs all of it."""
    index.hold = "xllamacpp-2.0"
    process = volume.start()
    assert index.asked.wait(DEADLINE_S)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=DEADLINE_S)
    assert not (volume.libs / "current").is_symlink()
    assert volume.installations() == set()
    index.hold = ""
    index.release.set()
    assert volume.install() == 0
    assert {path.name for path in volume.current.glob("*.py")} == {"alpha.py", "xllamacpp.py"}
    assert not (volume.libs / ".unfinished").exists()


def test_a_killed_upgrade_leaves_the_working_libraries(
    volume: Volume, index: PackageIndex, wheels: Path
) -> None:
    """`current` stays what it was until the new folder is whole."""
    volume.install()
    old = volume.current
    newer = make_wheel(wheels, "alpha", "1.1", "value = 2\n")
    volume.lock.write_text(lock_line(newer))
    index.hold = newer.name
    process = volume.start()
    assert index.asked.wait(DEADLINE_S)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=DEADLINE_S)
    assert volume.current == old
    assert (old / "alpha.py").read_text() == "value = 1\n"


def test_a_package_with_another_hash_is_refused(volume: Volume, wheels: Path) -> None:
    """What the index gives must be what the lock names."""
    make_wheel(wheels, "alpha", "1.0", "value = 'evil'\n")
    assert volume.install() != 0
    assert not (volume.libs / "current").is_symlink()


def test_two_at_once_install_once(volume: Volume) -> None:
    """The second waits for the first and finds its work done."""
    both = [volume.start(), volume.start()]
    for process in both:
        process.communicate(timeout=DEADLINE_S)
    assert [process.returncode for process in both] == [0, 0]
    assert volume.installations() == {volume.current.name}


@pytest.fixture
def cuda_index(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index of another build of the same version."""
    make_wheel(tmp_path / "cuda", "xllamacpp", "2.0", "build = 'cuda'\n")
    server = PackageIndex(tmp_path / "cuda")
    server.start()
    yield server
    server.stop()


def test_another_build_of_the_engine_comes_from_its_own_index(
    volume: Volume, cuda_index: PackageIndex
) -> None:
    """With XLLAMACPP_INDEX, that one wheel is the index's; all else is the lock's."""
    volume.install()
    assert volume.install(XLLAMACPP_INDEX=cuda_index.url) == 0
    assert (volume.current / "xllamacpp.py").read_text() == "build = 'cuda'\n"
    assert (volume.current / "alpha.py").read_text() == "value = 1\n"


def test_another_build_may_be_pinned_by_its_hash(
    volume: Volume, cuda_index: PackageIndex, tmp_path: Path
) -> None:
    """XLLAMACPP_SHA256 lets exactly that file in."""
    wheel = next((tmp_path / "cuda").glob("*.whl"))
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    settings = {"XLLAMACPP_INDEX": cuda_index.url}
    assert volume.install(**settings, XLLAMACPP_SHA256="0" * 64) != 0
    assert not (volume.libs / "current").is_symlink()
    assert volume.install(**settings, XLLAMACPP_SHA256=right) == 0


def test_the_hash_to_pin_is_in_the_log_of_every_run(
    volume: Volume, cuda_index: PackageIndex, tmp_path: Path
) -> None:
    """`models pull` before the first start installs the libraries; the start's own log names the
    hash nevertheless. Pinning it installs nothing a second time."""
    wheel = next((tmp_path / "cuda").glob("*.whl"))
    line = f"XLLAMACPP_SHA256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    for _ in range(2):
        assert volume.install(XLLAMACPP_INDEX=cuda_index.url) == 0
        assert line in volume.log
    before = volume.current
    pinned = dict([line.split("=")])
    assert volume.install(XLLAMACPP_INDEX=cuda_index.url, **pinned) == 0
    assert volume.current == before
    assert "XLLAMACPP_SHA256" not in volume.log
    assert volume.install(XLLAMACPP_INDEX=cuda_index.url, XLLAMACPP_SHA256="0" * 64) != 0
    assert volume.current == before


def test_an_index_without_another_build_is_refused(volume: Volume, index: PackageIndex) -> None:
    """An operator who asked for a GPU build does not silently get the one for processors."""
    assert volume.install(XLLAMACPP_INDEX=index.url) != 0
    assert not (volume.libs / "current").is_symlink()
