"""Whether the ports are free, and if not, who has them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatbot_ai.tools.doctor.finding import Finding, State, fail, ok, warn

_PROC = Path("/proc")
_LISTENING = "0A"  # linux/include/net/tcp_states.h TCP_LISTEN
_OWN_NAMES = ("chatbot-ai", "chatbot_ai")
_DOCKER_PROXY = "docker-proxy"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    command: str
    is_ours: bool


def check_ports(
    ports: Mapping[str, int], host: str, gateway_hosts: Sequence[str] = ()
) -> list[Finding]:
    """Try every port by binding it; a port that this system itself holds is fine.

    host           of every port
    gateway_hosts  further addresses of the gateway's port, on a machine that has them
    """
    found = [_check(service, port, host) for service, port in ports.items()]
    for other in gateway_hosts:
        finding = _check("gateway", ports["gateway"], other)
        if finding.state is not State.OK and finding.message != "port_address":
            found.append(finding)
    return found


def _check(service: str, port: int, host: str) -> Finding:
    facts: dict[str, str | int | float] = {"service": service, "port": port}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _taken(port, facts)
            reason = "port_forbidden" if error.errno == errno.EACCES else "port_address"
            return fail("port", reason, host=host, **facts)
    return ok("port", "port_free", **facts)


def _taken(port: int, facts: dict[str, str | int | float]) -> Finding:
    holder = find_holder(port)
    if holder is None:
        return fail("port", "port_taken", **facts)
    facts |= {"pid": holder.pid, "command": holder.command}
    if holder.is_ours:
        return ok("port", "port_ours", **facts)
    if holder.command == _DOCKER_PROXY:
        return warn("port", "port_docker", **facts)
    return fail("port", "port_taken_by", **facts)


def find_holder(port: int) -> Holder | None:
    """Return who listens on the port; None if that process belongs to another user."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in _PROC.iterdir():
        if process.name.isdecimal() and _holds(process, sockets):
            pid = int(process.name)
            return Holder(pid, _read(process / "comm"), any(map(_is_own, _lineage(pid))))
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(opened.readlink()) in sockets for opened in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False


def _lineage(pid: int) -> Iterator[int]:
    """The process and those that started it: a gateway is ours because its parent is."""
    while pid > 1:
        yield pid
        _, _, rest = _read(_PROC / str(pid) / "stat").rpartition(")")
        pid = int(rest.split()[1]) if rest else 0


def _is_own(pid: int) -> bool:
    arguments = _read(_PROC / str(pid) / "cmdline").split("\0")
    return any(name in Path(part).name.split(".") for part in arguments for name in _OWN_NAMES)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\n")
    except OSError:
        return ""
