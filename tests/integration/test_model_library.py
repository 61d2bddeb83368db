"""The models folder against a real hub server, a real package index and real pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from structlog.testing import capture_logs

from chatbot_ai.models.hub import Hub
from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.models.manifest import KNOWN, HubSource, ModelFile, ModelFileError
from chatbot_ai.models.retrying import DownloadPolicy
from support.gguf_files import random_gguf
from support.model_hub import Fault, ModelHub, model_hub
from support.waiting import HANG_S

CONTENT = random_gguf(2, 600_000)
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


def test_a_mirror_that_names_no_hash_serves_too(hub: ModelHub, folder: Path) -> None:
    """Without X-Linked fields the CDN's ETag carries a broken download; its hash is recorded."""
    hub.names_hashes = False
    hub.faults.append(Fault(cut_after_bytes=400_000))
    models = library(folder, hub)
    assert models.pull("model").read_bytes() == CONTENT
    assert hub.asked("/cdn/")[-1].headers["if-range"] == '"cdn"'
    assert models.verify("model").sha256 == SHA256


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
    assert [child.wait(timeout=HANG_S) for child in children] == [0, 0, 0]
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


@pytest.mark.parametrize("cut_bytes", [1, 300_000])
def test_a_truncated_copy_is_noticed(hub: ModelHub, folder: Path, cut_bytes: int) -> None:
    """A copy by hand that ends before its last tensor is refused, though it begins as it should."""
    models = library(folder, hub)
    path = folder / "maker" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-cut_bytes])
    assert models.list()[0].state is FileState.BROKEN
    for use in (models.ensure, models.verify):
        with pytest.raises(ModelFileError) as caught:
            use("model")
        assert caught.value.reason == "truncated"
        facts: dict[str, Any] = dict(caught.value.params)
        assert facts["expected_bytes"] == len(CONTENT) == facts["size_bytes"] + cut_bytes
    assert hub.seen == []
    path.write_bytes(CONTENT[:100])
    with pytest.raises(ModelFileError) as caught:
        models.ensure("model")
    assert caught.value.reason == "not_gguf"


def test_a_copy_is_compared_with_the_hub(hub: ModelHub, folder: Path) -> None:
    """`verify` asks the hub for the hash that nobody pinned; a whole file of another content is
    told from a good one."""
    models = library(folder, hub)
    path = folder / "maker" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    found = models.verify("model")
    assert (found.sha256, found.against) == (SHA256, "hub")
    assert [request.path.split("?")[0] for request in hub.seen] == [f"/{REPO}/resolve/main/{FILE}"]
    models.remove("model")
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelFileError) as caught:
        models.verify("model")
    assert (caught.value.reason, caught.value.params["expected"]) == ("not_the_hubs", SHA256)


def test_without_a_network_the_length_and_the_record_count(folder: Path) -> None:
    """No hub: a whole file is recorded the first time and compared with that record later."""
    away = ModelLibrary(folder, hub=Hub("http://127.0.0.1:9"), policy=POLICY, known=(MODEL,))
    path = folder / "maker" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert [away.verify("model").against for _ in range(2)] == ["nothing", "note"]
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelFileError) as caught:
        away.verify("model")
    assert caught.value.reason == "wrong_hash"


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
