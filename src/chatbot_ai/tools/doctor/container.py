"""Docker, Compose, and whether containers can see the GPUs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from chatbot_ai.tools.doctor.finding import Finding, State, fail, ok, warn
from chatbot_ai.tools.doctor.program import ask, is_installed

#: `start_interval` of health checks came with this Engine, `required: false` and this Compose
#: file's other means with this Compose.
OLDEST_ENGINE, OLDEST_COMPOSE = (25, 0), (2, 26)
#: Before, machines of the same network could reach ports published on 127.0.0.1 (moby#45610).
LOOPBACK_SINCE = (28, 0)
#: What a deployment in containers cannot do without.
NEEDED = frozenset({"docker_unreachable", "docker_old", "compose_missing", "compose_old"})


def check_docker(*, required: bool = False) -> list[Finding]:
    """Look at the daemon, Compose v2 and the NVIDIA toolkit.

    Docker is optional and nothing fails, unless this deployment runs on it (`required`).
    """
    if not is_installed("docker"):
        return [fail("docker", "docker_missing") if required else ok("docker", "docker_none")]
    findings = _look()
    if required:
        findings = [
            replace(one, state=State.FAIL) if one.message in NEEDED else one for one in findings
        ]
    return findings


def _look() -> list[Finding]:
    info = _info()
    if info is None:
        return [warn("docker", "docker_unreachable")]
    findings = [_engine(str(info["ServerVersion"]))]
    compose = ask("docker", "compose", "version", "--short")
    if compose is None or compose.status != 0:
        findings.append(warn("docker", "compose_missing"))
    elif _version(compose.stdout) < OLDEST_COMPOSE:
        facts = {"version": compose.stdout.strip(), "oldest": _text(OLDEST_COMPOSE)}
        findings.append(warn("docker", "compose_old", **facts))
    if is_installed("nvidia-smi"):
        findings.append(_toolkit(info))
    return findings


def _engine(version: str) -> Finding:
    if _version(version) < OLDEST_ENGINE:
        return warn("docker", "docker_old", version=version, oldest=_text(OLDEST_ENGINE))
    if _version(version) < LOOPBACK_SINCE:
        return warn("docker", "docker_loopback", version=version, since=_text(LOOPBACK_SINCE))
    return ok("docker", "docker_ok", version=version)


def _version(text: str) -> tuple[int, ...]:
    """26.1.5+dfsg1 as (26, 1); what is no version counts as older than all."""
    match = re.match(r"\s*v?(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else ()


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _info() -> dict[str, Any] | None:
    """Return what the daemon says of itself, None if it does not answer.

    The client prints JSON without a server's version, and status 1, when it reaches no daemon.
    """
    output = ask("docker", "info", "--format", "{{json .}}")
    try:
        info = json.loads(output.stdout) if output else None
    except ValueError:
        return None
    return info if isinstance(info, dict) and info.get("ServerVersion") else None


def _toolkit(info: dict[str, Any]) -> Finding:
    """A GPU reaches containers through the `nvidia` runtime or through CDI devices."""
    if "nvidia" in (info.get("Runtimes") or {}):
        return ok("toolkit", "toolkit_ok", way="nvidia runtime")
    devices = info.get("DiscoveredDevices") or []
    if any(str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices):
        return ok("toolkit", "toolkit_ok", way="CDI")
    if is_installed("nvidia-ctk"):
        return warn("toolkit", "toolkit_unconfigured")
    return warn("toolkit", "toolkit_missing")
