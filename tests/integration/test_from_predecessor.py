"""docs/from-1.7.4.md, command by command, on a copy of v1.7.4's folders and of its database."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pymongo import MongoClient

from support.mongodb_process import MongodbProcess

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
MODELS = [f"Meta-Llama-3.1-8B-Claude.Q4_{n}.gguf" for n in (0, 1)]
#: As people write it, on Windows.
SETTINGS = (
    "# keys\r\nOPENAI_API_KEY=\"sk-old\"\r\nexport GOOGLE_API_KEY = 'g-old' # mine\r\n"
    "SEARCH_ENGINE_ID=\r\nMONGO_HOST=192.168.0.5\r\nMONGO_PORT=27017\r\nMONGO_ADMIN_USER=root\r\n"
    "MONGO_ADMIN_PASSWORD=1234\r\nMONGO_DATABASE=chatbot\r\n"
)
#: `docker compose run ... office ARGUMENTS` runs the command with the settings of .env, as Compose
#: would; everything else is only written down, with its folder.
DOCKER = f"""#!/bin/bash
echo "$(basename "$PWD"): $*" >>"$CALLS"
[[ "$*" == "compose run --rm --no-deps -T office "* ]] || exit 0
set -a; . ./.env; set +a
exec {sys.executable} -m chatbot_ai.cli.main "${{@:7}}"
"""


@pytest.fixture(scope="module")
def old_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """v1.7.4's conversations; yields the address with the database's name."""
    server = MongodbProcess(tmp_path_factory.mktemp("mongodb"))
    server.start()
    with MongoClient[dict[str, object]](server.url) as client:
        for user in ("홍길동", "user_1"):
            client["chatbot"][f"office_log_{user}"].insert_one(
                {
                    "id": "c3f1a8e2-0000-4000-8000-000000000001",
                    "value": [
                        {"index": n, "input_data": f"질문 {n}", "output_data": f"답 {n}"}
                        for n in (1, 2)
                    ],
                }
            )
    yield server.url.replace("/?", "/chatbot?")
    server.stop()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """v1.7.4's folder."""
    folder = tmp_path / "ChatBot-AI"
    for name, text in {
        **{f"fastapi/ai_model/QuantFactory/{model}": model for model in MODELS},
        "fastapi/src/.env": SETTINGS,
        "fastapi/src/server.py": "pass\n",
        "fastapi/logs/office.log": "old\n",
        "fastapi/prompt/config-Llama.json": "{}\n",
        "nginx/nginx.conf": "server {}\n",
        "docker-compose.yml": "services: {}\n",
        "rebuild.bat": "docker compose up --build\r\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o640)
    return folder


def content(folder: Path) -> dict[str, str]:
    """Every file's path and hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("document", ["from-1.7.4.md", "from-1.7.4.ko.md"])
def test_every_command_of_the_guide(
    tmp_path: Path, old: Path, old_database: str, document: str
) -> None:
    """Models, keys and conversations arrive, and nothing of the old installation changes."""
    new = tmp_path / "chatbot-ai"
    (new / "scripts").mkdir(parents=True)
    (new / "scripts" / "set_env.sh").symlink_to(ROOT / "scripts" / "set_env.sh")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"docker": DOCKER, "curl": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    commands = "\n".join(BLOCK.findall((ROOT / "docs" / document).read_text("utf-8")))
    guides_address = "mongodb://root:PASSWORD@192.168.0.5:27017/chatbot?authSource=admin"
    assert guides_address in commands
    commands = commands.replace(guides_address, old_database).replace("~/ChatBot-AI", str(old))
    before = content(old)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=new,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "CALLS": str(tmp_path / "calls"),
            "DATA_DIR": str(new / "data"),
            "PROMPT_DIR": str(ROOT / "prompt"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert content(old) == before

    for model in MODELS:
        path = new / "ai_model" / "QuantFactory" / model
        assert path.samefile(old / "fastapi/ai_model/QuantFactory" / model)
        assert path.stat().st_mode & 0o444 == 0o444
    assert dotenv_values(new / ".env") == {
        "COMPOSE_PROJECT_NAME": "chatbot",
        "OPENAI_API_KEY": "sk-old",
        "GOOGLE_API_KEY": "g-old",
    }
    with sqlite3.connect(new / "data" / "chatbot.sqlite3") as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        (turns,) = store.execute("SELECT count(*) FROM turns").fetchone()
    assert turns == 4, tables

    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls.index("ChatBot-AI: compose stop") < calls.index(
        "chatbot-ai: compose up --detach --wait"
    )
    assert calls[-1].startswith("ChatBot-AI: compose down")
    assert not any("down" in call for call in calls if call.startswith("chatbot-ai:"))
