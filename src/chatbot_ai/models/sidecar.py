"""What lies beside a model file: the hash that was once computed, and a part that is arriving."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Note:
    """`<file>.sha256.json` beside a model file; it holds while size and mtime are the file's."""

    sha256: str
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, sha256: str) -> Note:
        status = path.stat()
        return cls(sha256, status.st_size, status.st_mtime_ns)

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """Return the note beside `path`, whether it still holds or not."""
        try:
            fields = json.loads(note_path(path).read_text(encoding="utf-8"))
            return cls(str(fields["sha256"]), int(fields["size_bytes"]), int(fields["mtime_ns"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def holds(self, path: Path) -> bool:
        """Tell whether the file is, by size and mtime, the one that was hashed."""
        return self == Note.of(path, self.sha256)

    def write(self, path: Path) -> bool:
        """Keep the note beside `path`; False where the folder cannot be written."""
        target = note_path(path)
        draft = target.with_name(f"{target.name}.part")
        try:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
            draft.replace(target)
        except OSError:
            return False
        return True


def note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256.json")


def hash_file(path: Path, progress: Callable[[int, int | None], None] | None = None) -> str:
    """Read the whole file (5 GB take some seconds from a page cache, longer from a disk)."""
    total_bytes, have_bytes, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            have_bytes += len(block)
            if progress is not None:
                progress(have_bytes, total_bytes)
    return digest.hexdigest()


_BLOCK_BYTES = 1 << 20


def part_paths(target: Path) -> tuple[Path, Path]:
    """Return where the bytes of a half-arrived `target` lie, and the note about them."""
    return target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")


class PartFile:
    """`<target>.part`, kept across processes; `<target>.part.json` names the version it is of.

    Opening reads what is there once, so that the hash goes on where the bytes do. `version` is a
    hash or a strong ETag; bytes of another version are dropped by `assign_version`.
    """

    def __init__(self, target: Path) -> None:
        self.path, self._note = part_paths(target)
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.version: str | None = None
        self._file: FileIO

    def __enter__(self) -> Self:
        self.path.touch()
        self._file = self.path.open("r+b", buffering=0)
        there_bytes = os.fstat(self._file.fileno()).st_size
        while block := self._file.read(min(_BLOCK_BYTES, there_bytes - self.size_bytes)):
            self._hash.update(block)
            self.size_bytes += len(block)
        self.version = self._read_note() if self.size_bytes else None
        if self.version is None:
            self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.size_bytes:
            self.remove()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            written_bytes = self._file.write(rest)
            self._hash.update(rest[:written_bytes])
            self.size_bytes += written_bytes
            rest = rest[written_bytes:]

    def restart(self) -> None:
        """Drop every byte."""
        if self.size_bytes:
            self._file.seek(0)
            self._file.truncate()
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def assign_version(self, version: str | None) -> None:
        """Say which version the bytes are of; those of another one, or of none, are dropped."""
        if version is None or version != self.version:
            self.restart()
        if version is None:
            self._note.unlink(missing_ok=True)
        elif version != self.version:
            self._note.write_text(json.dumps({"version": version}), encoding="utf-8")
        self.version = version

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        """Take the final name in one step, with the bytes safely on the disk before."""
        os.fsync(self._file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> str | None:
        try:
            version = json.loads(self._note.read_text(encoding="utf-8"))["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if isinstance(version, str) else None
