"""A real package index on loopback, with wheels made for the test."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def make_wheel(folder: Path, name: str, version: str, content: str) -> Path:
    """A wheel of one module that holds `content`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},{_digest(text)},{len(text)}\n" for file, text in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256={digest.rstrip('=')}"


def lock_line(wheel: Path) -> str:
    """The wheel's requirement as lock files write it."""
    name, version, *_ = wheel.name.split("-")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{sha256}\n    # via a test\n"


class PackageIndex:
    """Serves the wheels of a folder at `url`; `hold` names a file whose answer is held back.

    asked     is set when the held file is asked for
    release   lets it go
    """

    def __init__(self, folder: Path) -> None:
        self.hold = ""
        self.asked, self.release = threading.Event(), threading.Event()
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:
                if self.path.startswith("/simple/"):
                    self._page(self.path.removeprefix("/simple/").strip("/"))
                    return
                if index.hold and index.hold in self.path:
                    index.asked.set()
                    index.release.wait(60)
                super().do_GET()

            def _page(self, name: str) -> None:
                links = "".join(
                    f'<a href="/{wheel.name}">{wheel.name}</a>\n'
                    for wheel in sorted(folder.glob(f"{name}-*.whl"))
                )
                body = f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode()
                self.send_response(200 if links else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def copyfile(self, source: Any, outputfile: Any) -> None:
                try:
                    super().copyfile(source, outputfile)
                except OSError:
                    self.close_connection = True  # the killed caller is gone

            def log_message(self, *_: Any) -> None:
                """The test reads no access log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
