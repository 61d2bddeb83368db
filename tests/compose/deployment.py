"""A Compose project seen from outside: its containers, how they die and how they heal."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from chatbot_ai.domain.conversation import ConversationKey, Turn
from chatbot_ai.storage.mongodb import MongoConversationStore

#: Seconds until a container that was killed must serve again.
HEAL_DEADLINE_S = 120.0
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
KILL_ENGINE = """
for folder in /proc/[0-9]*; do
    tr '\\0' ' ' <"$folder/cmdline" | grep -q "[e]ngine_process" || continue
    kill -9 "${folder#/proc/}"
done
"""


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
        )
        self.poll(lambda: self._started_after(service, before), f"{service} to be started again")

    def kill_engine(self, service: str) -> None:
        self.compose("exec", "-T", service, "sh", "-c", KILL_ENGINE)

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

    async def turns(self, key: ConversationKey) -> list[Turn]:
        """The conversation's turns as they lie in the database."""
        networks = self.container("mongo")["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAddress"]
        store = MongoConversationStore(
            f"mongodb://{address}:27017/?directConnection=true", "chatbot_ai"
        )
        await store.open()
        try:
            return list(await store.recent_turns(key, 1000))
        finally:
            await store.close()

    def _started_after(self, service: str, before: str) -> bool:
        state = self.container(service)["State"]
        return bool(state["Running"] and state["StartedAt"] > before)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
