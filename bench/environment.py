"""An environment of its own for what a comparison runs beside us."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path


def environment(home: Path, package: str, version: str, extra: str = "") -> Path:
    """The folder of the programs of an environment at `home` that has `package` in this version;
    made once, and again where the version is another.

    extra  what to install along with it, in brackets, as in `litellm[proxy]`
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
        subprocess.run([str(python), "-m", "pip", "install", "-q", wanted], check=True)
    return programs
