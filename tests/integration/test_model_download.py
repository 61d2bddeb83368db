"""Downloads against a real server that fails in the ways real ones do."""

from __future__ import annotations

import hashlib
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chatbot_ai.models.download import download
from chatbot_ai.models.manifest import ModelFileError
from chatbot_ai.models.retrying import DownloadPolicy
from support.model_hub import Fault, ModelHub, model_hub
from support.waiting import HANG_S

CONTENT = b"GGUF" + random.Random(1).randbytes(2_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
POLICY = DownloadPolicy(
    attempts=3, first_pause_s=0.01, max_pause_s=0.02, stall_s=0.4, spare_disk_bytes=0
)


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as served:
        served.plain["/file"] = (CONTENT, '"v1"')
        yield served


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "model.gguf"


def left_behind(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir() if path.suffix != ".lock"}


def test_a_whole_file_arrives_with_its_hash(hub: ModelHub, target: Path) -> None:
    """A plain download puts the file in place, reports its hash and leaves nothing else."""
    reports: list[tuple[int, int | None]] = []
    arrived = download(
        f"{hub.endpoint}/file", target, progress=lambda *at: reports.append(at), policy=POLICY
    )
    assert target.read_bytes() == CONTENT
    assert (arrived.sha256, arrived.size_bytes) == (SHA256, len(CONTENT))
    assert left_behind(target) == {"model.gguf"}
    assert reports[0] == (0, len(CONTENT))
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert reports == sorted(reports)


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["by hash", "by etag"])
def test_a_cut_connection_is_gone_on_with(hub: ModelHub, target: Path, sha256: str | None) -> None:
    """After each break only the missing bytes are asked for."""
    hub.faults.extend([Fault(cut_after_bytes=HALF), Fault(cut_after_bytes=HALF // 2)])
    with capture_logs() as events:
        download(f"{hub.endpoint}/file", target, sha256=sha256, policy=POLICY)
    assert target.read_bytes() == CONTENT
    ranges = [one.headers.get("range") for one in hub.asked("/file")]
    assert ranges == [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]
    conditions = {one.headers.get("if-range") for one in hub.asked("/file")[1:]}
    assert conditions == ({None} if sha256 else {'"v1"'})
    names = [event["event"] for event in events]
    assert names == ["model.download_interrupted"] * 2 + ["model.downloaded"]


def test_progress_keeps_a_download_alive(hub: ModelHub, target: Path) -> None:
    """Breaks that each brought something do not count towards giving up."""
    hub.faults.extend([Fault(cut_after_bytes=100_000)] * (POLICY.attempts * 3))
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT


def test_another_process_goes_on_where_the_first_was_killed(hub: ModelHub, target: Path) -> None:
    """A part survives SIGKILL, and a later process asks only for the rest."""
    hub.faults.append(Fault(stall_after_bytes=HALF))
    url = f"{hub.endpoint}/file"
    code = (
        "import sys; from pathlib import Path; from chatbot_ai.models.download import download;"
        "download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, url, str(target), SHA256])
    part = target.with_name("model.gguf.part")
    deadline = time.monotonic() + HANG_S
    while not part.exists() or part.stat().st_size < HALF:
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    download(url, target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT
    assert hub.asked("/file")[-1].headers["range"] == f"bytes={HALF}-"


def test_a_server_that_ignores_ranges_starts_over(hub: ModelHub, target: Path) -> None:
    """A whole answer to a range request replaces the part instead of being appended to it."""
    hub.faults.extend([Fault(cut_after_bytes=HALF), Fault(ignore_range=True)])
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_not_believed(hub: ModelHub, target: Path) -> None:
    """A Content-Range that begins elsewhere drops the part and starts over."""
    hub.faults.extend([Fault(cut_after_bytes=HALF), Fault(shift_range=True)])
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT
    assert "range" not in hub.asked("/file")[-1].headers


def test_a_file_that_changed_meanwhile_is_fetched_anew(hub: ModelHub, target: Path) -> None:
    """Without a hash the ETag decides: the halves of two versions are never joined."""
    hub.faults.extend([Fault(cut_after_bytes=HALF), Fault(status=404)])
    with pytest.raises(ModelFileError):
        download(f"{hub.endpoint}/file", target, policy=POLICY)
    newer = CONTENT[::-1]
    hub.plain["/file"] = (newer, '"v2"')
    download(f"{hub.endpoint}/file", target, policy=POLICY)
    assert target.read_bytes() == newer
    assert hub.asked("/file")[-1].headers["if-range"] == '"v1"'


def test_a_part_of_another_hash_is_dropped(hub: ModelHub, target: Path) -> None:
    """A part that was begun for another SHA-256 is not gone on with."""
    hub.plain["/old"] = (CONTENT[::-1], '"v0"')
    hub.faults.extend([Fault(cut_after_bytes=HALF), Fault(status=404)])
    with pytest.raises(ModelFileError):
        download(f"{hub.endpoint}/old", target, sha256="0" * 64, policy=POLICY)
    assert target.with_name("model.gguf.part").stat().st_size == HALF
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert "range" not in hub.asked("/file")[0].headers


@pytest.mark.parametrize(
    "fault", [Fault(stall_after_bytes=HALF), Fault(drip=True)], ids=["stall", "drip"]
)
def test_a_stall_is_noticed(hub: ModelHub, target: Path, fault: Fault) -> None:
    """A connection that brings nothing, or next to nothing, is dropped and taken up again."""
    hub.faults.append(fault)
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT
    assert len(hub.asked("/file")) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_waited_out(hub: ModelHub, target: Path, status: int) -> None:
    """An overloaded server is asked again."""
    hub.faults.append(Fault(status=status, retry_after="1"))
    download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert target.read_bytes() == CONTENT


def test_lasting_trouble_ends(hub: ModelHub, target: Path) -> None:
    """After the configured attempts without a byte the download gives up and leaves no part."""
    hub.faults.extend([Fault(status=503)] * 10)
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", target, policy=POLICY)
    assert caught.value.reason == "interrupted"
    assert len(hub.asked("/file")) == POLICY.attempts
    assert left_behind(target) == set()


def test_a_server_that_is_not_there_is_said(target: Path) -> None:
    """A refused connection ends as the same typed error."""
    with model_hub() as gone:
        url = f"{gone.endpoint}/file"
    with pytest.raises(ModelFileError) as caught:
        download(url, target, policy=POLICY)
    assert caught.value.reason == "interrupted"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "unauthorized"), (404, "not_found"), (418, "refused")],
)
def test_a_refusal_is_final(hub: ModelHub, target: Path, status: int, reason: str) -> None:
    """A status that will not change by itself is reported after one request."""
    hub.faults.append(Fault(status=status))
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", target, policy=POLICY)
    assert (caught.value.reason, caught.value.params["status"]) == (reason, status)
    assert len(hub.asked("/file")) == 1


@pytest.mark.parametrize("url", ["ftp://example.org/file", "nonsense", "http://host:port/file"])
def test_an_unusable_address_is_said(target: Path, url: str) -> None:
    """An address that no request can be sent to is a typed error."""
    with pytest.raises(ModelFileError) as caught:
        download(url, target, policy=POLICY)
    assert caught.value.reason == "bad_address"


def test_wrong_bytes_are_removed(hub: ModelHub, target: Path) -> None:
    """A file whose hash differs neither appears nor stays as a part."""
    hub.faults.append(Fault(body=bytes(len(CONTENT))))
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", target, sha256=SHA256, policy=POLICY)
    assert caught.value.reason == "download_corrupt"
    assert left_behind(target) == set()


def test_a_full_disk_is_foreseen(hub: ModelHub, target: Path) -> None:
    """What does not fit is refused before the first byte, with the missing amount."""
    policy = DownloadPolicy(attempts=1, spare_disk_bytes=10**18)
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", target, policy=policy)
    assert caught.value.reason == "disk_full"
    assert isinstance(caught.value.params["missing_gb"], float)
    assert 9e8 < caught.value.params["missing_gb"] < 1e9 + 1
    assert left_behind(target) == set()


def test_a_disk_that_fills_up_meanwhile_is_said(hub: ModelHub, target: Path) -> None:
    """ENOSPC in the middle is the same error as the check before."""
    target.parent.mkdir()
    target.with_name("model.gguf.part").symlink_to("/dev/full")
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", target, policy=POLICY)
    assert caught.value.reason == "disk_full"


def test_a_folder_that_cannot_be_made_is_said(hub: ModelHub, tmp_path: Path) -> None:
    """A path through a file is a typed error, not an OSError."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelFileError) as caught:
        download(f"{hub.endpoint}/file", tmp_path / "file" / "model.gguf", policy=POLICY)
    assert caught.value.reason == "not_writable"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "own-ca.pem"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 {names}"
    subprocess.run(
        [*command.split(), "-keyout", str(path), "-out", str(tmp_path / "cert.pem")],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return path


def test_the_operators_certificates_count(
    certificate: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private authority is refused as untrusted until SSL_CERT_FILE names it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"https://localhost:{server.server_address[1]}/file"
        try:
            with pytest.raises(ModelFileError) as caught:
                download(url, target, policy=POLICY)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            download(url, target, sha256=SHA256, policy=POLICY)
        finally:
            server.shutdown()
            thread.join()
    assert caught.value.reason == "untrusted"
    assert target.read_bytes() == CONTENT
