"""Let clients that people already use talk to a running installation, unchanged.

    scripts/clients_check.py [--url http://localhost:8001] [--key KEY]

OpenAI's Python and JavaScript clients, LangChain's ChatOpenAI and the `llm` command each stream a
Korean conversation of three turns with each assistant. They live in environments of their own
below the system's folder for temporary files, pinned by tests/integration/clients/*.lock and
package-lock.json. Exits with 1 if a client fails.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

CLIENTS_FOLDER = Path(__file__).resolve().parents[1] / "tests" / "integration" / "clients"
#: Programs of the clients' folder, by the client's name.
CLIENTS = {
    "openai-python": "three_turns_openai.py",
    "openai-javascript": "three_turns_openai.mjs",
    "langchain": "three_turns_langchain.py",
    "llm": "three_turns_llm.py",
}
TURNS = (
    "안녕하세요! 부산에서 하루를 보내려고 해요.",
    "점심으로 무엇을 먹으면 좋을까요?",
    "고마워요. 한 문장으로 정리해 주세요.",
)
#: Seconds that one client may take for its three turns.
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer as a client saw it, and in how many pieces it came."""

    text: str
    pieces: int


def prepared(home: Path | None = None) -> Path:
    """The folder with the clients' environments; made anew where a lock has changed.

    home  where pip and npm find their settings, if not at $HOME
    """
    pins = b"".join(
        (CLIENTS_FOLDER / name).read_bytes() for name in ("clients.lock", "package-lock.json")
    )
    digest = hashlib.sha256(pins + sys.version.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"chatbot-ai-clients-{os.getuid()}-{digest}"
    with folder.with_suffix(".lock").open("w") as lock_file:
        # two runs at once would build on top of each other
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _build(folder, home)
    return folder


def _build(folder: Path, home: Path | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    environment = {**os.environ, **({"HOME": str(home)} if home else {})}
    environment.pop("PYTHONPATH", None)
    venv.create(folder / "python", with_pip=True)
    lock = str(CLIENTS_FOLDER / "clients.lock")
    install = [_python(folder), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]
    subprocess.run(install, check=True, env=environment)
    for name in ("package.json", "package-lock.json", CLIENTS["openai-javascript"]):
        shutil.copy(CLIENTS_FOLDER / name, folder / name)
    npm = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
    subprocess.run(npm, check=True, env=environment, cwd=folder)
    (folder / "ready").touch()


def converse(client: str, folder: Path, base_url: str, key: str) -> list[Turn]:
    """Three turns of one client with the API at `base_url`. Raises CalledProcessError."""
    program = CLIENTS[client]
    if program.endswith(".mjs"):
        # a module finds its packages beside itself
        shutil.copy(CLIENTS_FOLDER / program, folder / program)
        command = ["node", str(folder / program)]
    else:
        command = [_python(folder), str(CLIENTS_FOLDER / program)]
    environment = {**os.environ, "NO_PROXY": "*", "PYTHONIOENCODING": "utf-8"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [*command, base_url, key, *TURNS],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        env=environment,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return [Turn(**json.loads(line)) for line in done.stdout.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://localhost:8001")
    parser.add_argument("--key", default="none")
    options = parser.parse_args()
    folder = prepared()
    failed = 0
    for assistant in ("office", "character"):
        for client in CLIENTS:
            began = time.monotonic()
            try:
                turns = converse(client, folder, f"{options.url}/{assistant}/v1", options.key)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                turns = []
                sys.stderr.write(f"{client}: {error}\n")
            good = len(turns) == len(TURNS) and all(t.text and t.pieces > 1 for t in turns)
            failed += not good
            pieces = "+".join(str(turn.pieces) for turn in turns)
            took = time.monotonic() - began
            verdict = "ok" if good else "FAILED"
            line = f"{verdict:7}{assistant:10}{client:18} {pieces} pieces, {took:.1f} s\n"
            sys.stdout.write(line)
            sys.stdout.flush()
    return 1 if failed else 0


def _python(folder: Path) -> str:
    return str(folder / "python" / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main())
