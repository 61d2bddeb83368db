"""The half-arrived file: bytes on disk, their running hash, and what they are a part of."""

from __future__ import annotations

import hashlib
import json
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK_BYTES = 1 << 20


def part_paths(target: Path) -> tuple[Path, Path]:
    """Return where the bytes of a half-arrived `target` lie, and the note about them."""
    return target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")


class PartFile:
    """`<target>.part`, kept across processes; `<target>.part.json` names the version it is of.

    Opening reads what is there once, so that the hash goes on where the bytes do. `version` is a
    hash or a strong ETag; bytes of another version are dropped by `belong_to`.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def belong_to(self, version: str | None) -> None:
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

    def become(self, target: Path) -> None:
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
