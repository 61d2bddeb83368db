"""The commands of the operators' guides: what they change, and what they must leave alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from chatbot_ai.gateway.nginx import find_nginx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GUIDES = ["operations", "deployment", "from-1.7.4"]
LANGUAGES = ["", ".ko"]
BLOCK = re.compile(r"^( *)```(console|sh|text|nginx)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"(?:^|\s+)#\s.*$", re.MULTILINE)


def blocks(document: Path) -> list[str]:
    """The document's fenced blocks without their indentation."""
    found = BLOCK.findall(document.read_text("utf-8"))
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, _, text in found]


def block_with(document: Path, text: str) -> str:
    """The one block that holds `text`."""
    (found,) = [block for block in blocks(document) if text in block]
    return found


@pytest.mark.parametrize("guide", GUIDES)
def test_both_languages_give_the_same_commands(guide: str) -> None:
    """Comments aside, the blocks of both languages are equal and in the same order."""
    english, korean = (
        [COMMENT.sub("", block) for block in blocks(DOCS / f"{guide}{language}.md")]
        for language in LANGUAGES
    )
    assert english == korean


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_no_command_forgets_the_gpus_or_settings(document: Path) -> None:
    """`-f` replaces COMPOSE_FILE, so services would come back without their GPUs; and no command
    writes `.env` but the script that keeps its other lines."""
    for block in blocks(document):
        assert not re.search(r"docker compose (?:-\S+ )*-f\b", block), block
        assert not re.search(r">\s*\.env\b", block), block


@pytest.mark.parametrize("language", LANGUAGES)
def test_monitoring_keeps_the_gpus(language: str) -> None:
    """The guide's command names the GPU file too, and every file that it names exists."""
    block = block_with(DOCS / f"operations{language}.md", "COMPOSE_PROFILES")
    (files,) = re.findall(r"^scripts/set_env.sh COMPOSE_FILE=(\S+)$", block, re.MULTILINE)
    names = files.split(":")
    assert {"docker-compose.yml", "docker-compose.gpu.yml"} < set(names)
    assert all((ROOT / name).is_file() for name in names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_settings_step_takes_the_gpus_that_are_there(tmp_path: Path, language: str) -> None:
    """Numbers come from nvidia-smi, whichever way round; a second run keeps MongoDB's password
    and what the operator wrote."""
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/set_env.sh", clone / "scripts")
    (clone / ".env").write_text("OPENAI_API_KEY=mine\n")
    nvidia_smi = tmp_path / "nvidia-smi"
    nvidia_smi.write_text(
        "#!/bin/sh\necho '0, NVIDIA GeForce RTX 2080'\necho '1, NVIDIA GeForce RTX 3060'\n"
    )
    nvidia_smi.chmod(0o755)
    command = block_with(DOCS / f"operations{language}.md", "MONGO_ADMIN_USER=chatbot")
    before: dict[str, str | None] = {}
    for _ in range(2):
        subprocess.run(
            ["bash", "-euc", f'PATH="{tmp_path}:$PATH"\n{command}'], cwd=clone, check=True
        )
        values = dotenv_values(clone / ".env")
        assert (values["CHARACTER_GPU"], values["OFFICE_GPU"]) == ("1", "0")
        assert values["OPENAI_API_KEY"] == "mine"
        assert len(values["MONGO_ADMIN_PASSWORD"] or "") == 48
        assert before in ({}, values)
        before = values


@pytest.mark.parametrize("language", LANGUAGES)
def test_nginx_takes_the_tls_example(tmp_path: Path, language: str) -> None:
    """The server blocks for a proxy on the host, with a certificate of their own."""
    text = block_with(DOCS / f"deployment{language}.md", "listen 443 ssl")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=chat"),
            *("-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"),
        ],
        check=True,
        capture_output=True,
    )
    text = text.replace("/etc/letsencrypt/live/chat.example.com", str(tmp_path))
    text = text.replace("listen 80;", "listen 18080;").replace("listen 443", "listen 18443")
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
        f"client_body_temp_path {tmp_path};\nproxy_temp_path {tmp_path};\n{text}}}\n"
    )
    done = subprocess.run(
        [find_nginx(), "-t", "-e", "stderr", "-p", tmp_path, "-c", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
