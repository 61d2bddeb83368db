"""Examples of a Markdown file: its `console` blocks, run and compared."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.waiting import HANG_S

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: In an example's output: what differs each time. Alone on a line it stands for any lines.
ANYTHING = "…"
#: What a stream says while nothing else is said; on a slow machine it may stand anywhere.
HEARTBEAT = ": keep-alive\n\n"


@dataclass(frozen=True, slots=True)
class Example:
    """One command and what it prints. `line` is the command's line in its file."""

    line: int
    command: str
    output: str

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = []
        for line in self.output.rstrip().split("\n"):
            if line.strip() == ANYTHING:
                parts.append(r"(?:[^\n]*\n)*?")
            else:
                texts = [re.escape(text) for text in line.rstrip().split(ANYTHING)]
                parts.append(r"[^\n]*?".join(texts) + r"[ ]*\n")
        return re.compile("".join(parts))

    def matches(self, printed: str) -> bool:
        spoken = printed.replace(HEARTBEAT, "")
        return self.pattern.fullmatch(spoken.rstrip() + "\n") is not None


def examples(path: Path) -> list[Example]:
    """Every example of the file, in order; a command begins with `$ ` and takes one line."""
    text = path.read_text("utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        command, at, output = "", line, list[str]()
        for number, content in enumerate(block.group(1).splitlines(), line):
            if content.startswith("$ "):
                if command:
                    found.append(Example(at, command, "\n".join(output)))
                command, at, output = content.removeprefix("$ "), number, []
            else:
                output.append(content)
        if command:
            found.append(Example(at, command, "\n".join(output)))
    return found


def run(example: Example, folder: Path, base_url: str) -> str:
    """What the example prints, run in `folder` against the deployment at `base_url`."""
    command = example.command.replace("http://localhost:8001", base_url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, f"line {example.line}: {done.stderr}"
    return done.stdout
