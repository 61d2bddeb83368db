"""A Compose project seen from outside: its containers, how they die and how they heal."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey

#: As scripts/compose_test.sh set them; within a test the environment is another one.
ENVIRONMENT = dict(os.environ)
#: The clone that was deployed.
CLONE = Path(ENVIRONMENT.get("CHATBOT_COMPOSE_TEST", "/nonexistent"))
GATEWAY_PORT = ENVIRONMENT.get("GATEWAY_PORT", "8001")

#: Seconds until a container that was killed must serve again, beside all other tests.
HEAL_DEADLINE_S = 300.0
SERVICES = ("office", "character", "nginx", "mongo")

#: Ends the container's own main process, the child of its init: what a crash does. `docker kill`
#: would count as a wish to stop, and no restart policy would apply.
KILL_MAIN = """
for folder in /proc/[0-9]*; do
    read -r line <"$folder/stat" || continue
    set -- ${line##*) }
    if [ "$2" = 1 ]; then kill -9 "${folder#/proc/}"; fi
done
"""
SIGNAL_ENGINE = """
for folder in /proc/[0-9]*; do
    tr '\\0' ' ' <"$folder/cmdline" | grep -q "[e]ngine_process" || continue
    kill -"$0" "${folder#/proc/}"
done
"""
#: The most bytes that some program of the container has been sent and has not read: the receive
#: queues of /proc/net/tcp, in hexadecimal.
UNREAD = """
import pathlib
rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
print(max((int(row.split()[4].split(":")[1], 16) for row in rows), default=0))
"""
#: Reads a conversation as the service itself would, from whatever database it is configured for.
READ_TURNS = """
import asyncio, dataclasses, json, sys
from chatbot_ai.domain.conversation import ConversationKey
from chatbot_ai.server.stores import conversation_store
from chatbot_ai.settings import load_config

async def main():
    store = conversation_store(load_config().shared)
    await store.open()
    turns = await store.recent_turns(ConversationKey(**json.loads(sys.argv[1])), 1000)
    await store.close()
    print(json.dumps([{**dataclasses.asdict(turn), "output": turn.output} for turn in turns]))

asyncio.run(main())
"""
RUN_PYTHON = 'PYTHONPATH=/app/src:/opt/python-libs/current exec python -c "$0" "$1"'


class Deployment:
    """Everything through the command line, as an operator would."""

    def compose(self, *arguments: str) -> str:
        return _run("docker", "compose", "--progress", "quiet", *arguments)

    def container(self, service: str) -> dict[str, Any]:
        """What `docker inspect` says of the service's container, running or not."""
        names = self.compose("ps", "--all", "--quiet", service).split()
        found: dict[str, Any] = json.loads(_run("docker", "inspect", *names))[0]
        return found

    def kill_main_process(self, service: str) -> None:
        """Crash the service; returns when Docker has seen it and started it again."""
        before = self.container(service)["State"]["StartedAt"]
        # the shell in the container dies with it, so its exit code says nothing
        subprocess.run(
            ["docker", "compose", "exec", "-T", service, "sh", "-c", KILL_MAIN],
            check=False,
            capture_output=True,
            cwd=CLONE,
            env=ENVIRONMENT,
        )
        self.poll(lambda: self._started_after(service, before), f"{service} to be started again")

    def signal_engine(self, service: str, signal: str) -> None:
        """Send the engine KILL, or STOP until CONT."""
        self.compose("exec", "-T", service, "sh", "-c", SIGNAL_ENGINE, signal)

    def unread_bytes(self, service: str) -> int:
        """How much a halted program of the service has been sent."""
        return int(self.compose("exec", "-T", service, "python", "-c", UNREAD))

    def gateway_of(self, network: str) -> str:
        """This machine's address in one of the project's networks: whom a container sees."""
        name = f"{ENVIRONMENT['COMPOSE_PROJECT_NAME']}_{network}"
        form = "{{(index .IPAM.Config 0).Gateway}}"
        return _run("docker", "network", "inspect", "--format", form, name).strip()

    def command(self, *arguments: str) -> str:
        """`chatbot-ai` in the running office service."""
        return self.compose("exec", "-T", "office", "chatbot-ai", *arguments)

    def script(self, name: str, *arguments: str) -> str:
        """A script of the clone, which calls Compose itself."""
        return _run(str(CLONE / "scripts" / name), *arguments)

    def merged_configuration(self, folder: Path) -> dict[str, Any]:
        """What Compose makes of the files and the .env of another folder."""
        environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("COMPOSE_")}
        done = subprocess.run(
            ["docker", "compose", "config", "--format", "json"],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=True,
        )
        merged: dict[str, Any] = json.loads(done.stdout)
        return merged

    def wait_healthy(self, service: str) -> None:
        self.poll(
            lambda: self.container(service)["State"]["Health"]["Status"] == "healthy",
            f"{service} to be healthy",
        )

    def poll(self, holds: Any, what: str) -> None:
        limit = time.monotonic() + HEAL_DEADLINE_S
        while not holds():
            if time.monotonic() > limit:
                logs = self.compose("logs", "--tail", "20")
                raise AssertionError(f"waited {HEAL_DEADLINE_S} s for {what}\n{logs}")
            time.sleep(0.25)

    def memory_bytes(self, service: str) -> int:
        """What the container's processes hold, without the kernel's file cache."""
        container: str = self.container(service)["Id"]
        shown = _run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", container)
        number = shown.split("/")[0].strip()
        for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)):
            if number.endswith(unit):
                return int(float(number.removesuffix(unit)) * factor)
        raise AssertionError(shown)

    def turns(self, key: ConversationKey) -> list[dict[str, Any]]:
        """The conversation's turns as they lie in the database."""
        asked = json.dumps(asdict(key))
        found: list[dict[str, Any]] = json.loads(
            self.compose("exec", "-T", "character", "sh", "-c", RUN_PYTHON, READ_TURNS, asked)
        )
        return found

    def _started_after(self, service: str, before: str) -> bool:
        state = self.container(service)["State"]
        return bool(state["Running"] and state["StartedAt"] > before)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=CLONE, env=ENVIRONMENT
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
