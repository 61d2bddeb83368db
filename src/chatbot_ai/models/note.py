"""What is known of a file that was hashed once, so that later starts need not read it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


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


def sha256_of(path: Path, progress: Callable[[int, int | None], None] | None = None) -> str:
    """Read the whole file (5 GB take some seconds from a page cache, longer from a disk)."""
    total_bytes, have_bytes, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            have_bytes += len(block)
            if progress is not None:
                progress(have_bytes, total_bytes)
    return digest.hexdigest()
