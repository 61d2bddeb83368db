"""What child processes get to know of the operator's secrets."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from chatbot_ai.server.supervisor import ProcessSpec, Supervisor
from chatbot_ai.settings.load import secret_names, without_secrets
from support.engines import options_for
from support.waiting import HANG_S

TELL = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(60)"
SECRETS = {
    "OPENAI_API_KEY": "a",
    "MONGODB_URL": "mongodb://u:p@h",
    "MONGO_ADMIN_PASSWORD": "b",
    "HF_TOKEN": "c",
    "GOOGLE_API_KEY": "d",
    "OFFICE_ENGINE_API_KEY": "e",
    "CHARACTER_ENGINE_API_KEY": "f",
    "CHATBOT_ENGINE_API_KEY": "g",
    "CHATBOT_AI_KEY": "h",
    "AWS_SECRET_ACCESS_KEY": "i",
    "GITHUB_TOKEN": "j",
    "DB_PASSWORD": "k",
}
PLAIN = {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/opt/cuda", "LANG": "C", "OFFICE_PORT": "1"}


def test_every_secret_setting_is_taken_away() -> None:
    """Each setting that is a secret, and what other programs name like one, is left out."""
    assert without_secrets(SECRETS | PLAIN) == PLAIN
    assert set(SECRETS) - {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD"} <= secret_names()


async def test_only_children_that_need_secrets_have_them() -> None:
    """The engine and the gateway start without; a service has them, and its own environment."""
    told: dict[str, dict[str, str]] = {}

    def spec(name: str, *, with_secrets: bool) -> ProcessSpec:
        async def ready() -> bool:
            return name in told

        return ProcessSpec(
            name=name,
            command=[sys.executable, "-c", TELL],
            ready=ready,
            environment={"OWN": name},
            on_line=lambda line: told.__setitem__(name, json.loads(line)),
            with_secrets=with_secrets,
        )

    children = [spec("engine", with_secrets=False), spec("office", with_secrets=True)]
    supervisor = Supervisor(children, SECRETS | PLAIN)
    supervisor.start()
    try:
        async with asyncio.timeout(HANG_S):
            await supervisor.wait_ready()
        engine = supervisor.children["engine"]
        environ = await asyncio.to_thread(Path(f"/proc/{engine.pid}/environ").read_bytes)
        mode = (await asyncio.to_thread(Path(f"/proc/{engine.pid}/environ").stat)).st_mode
    finally:
        await supervisor.stop()
    assert not set(SECRETS) & set(told["engine"])
    assert set(SECRETS) <= set(told["office"])
    assert (told["engine"]["OWN"], told["office"]["OWN"]) == ("engine", "office")
    assert b"OPENAI_API_KEY" not in environ
    assert mode & 0o077 == 0


def test_the_engine_key_is_on_no_command_line() -> None:
    """What `ps` shows of the engine holds no secret; the key goes over standard input."""
    options = options_for(Path("m.gguf"), api_key="s3cret")
    assert "s3cret" not in " ".join(options.command())
    assert b"s3cret" in options.standard_input()
