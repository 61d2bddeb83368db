"""Docker, Compose, and whether containers can see the GPUs."""

from __future__ import annotations

import json
from typing import Any

from chatbot_ai.doctor.finding import Finding, ok, warn
from chatbot_ai.doctor.program import ask, is_installed


def check_docker() -> list[Finding]:
    """Look at the daemon, Compose v2 and the NVIDIA toolkit. Docker is optional, so none fails."""
    if not is_installed("docker"):
        return [ok("docker", "docker_none")]
    info = _info()
    if info is None:
        return [warn("docker", "docker_unreachable")]
    findings = [ok("docker", "docker_ok", version=str(info["ServerVersion"]))]
    compose = ask("docker", "compose", "version", "--short")
    if compose is None or compose.status != 0:
        findings.append(warn("docker", "compose_missing"))
    if is_installed("nvidia-smi"):
        findings.append(_toolkit(info))
    return findings


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
