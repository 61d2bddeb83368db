"""An environment of its own for what a comparison runs beside us."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path


def environment(home: Path, package: str, version: str, extra: str = "", cmake: str = "") -> Path:
    """The folder of the programs of an environment at `home` that has `package` in this version;
    made once, and again where the version is another.

    extra  what to install along with it, in brackets, as in `litellm[proxy]`
    cmake  arguments for a package that is compiled; then none that was compiled otherwise is used
    """
    programs = home / "bin"
    python = programs / "python"
    found = ""
    if python.exists():
        probe = f"from importlib.metadata import version; print(version({package!r}))"
        done = subprocess.run(
            [str(python), "-c", probe], capture_output=True, text=True, check=False
        )
        found = done.stdout.strip()
    if found != version:
        venv.create(home, with_pip=True)
        wanted = f"{package}{extra}=={version}"
        install = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run(
            [*install, *(["--no-cache-dir"] if cmake else []), wanted],
            check=True,
            env=os.environ | ({"CMAKE_ARGS": cmake} if cmake else {}),
        )
    return programs
