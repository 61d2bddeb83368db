"""Write the generated parts of the documentation: settings, commands, environment example.

A part stands between `<!-- generated:NAME -->` and `<!-- /generated -->` in a Markdown file.
`--check` writes nothing and fails if a part is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic_settings import BaseSettings

from chatbot_ai.settings import AssistantSettings, ComposeSettings, Settings

ROOT = Path(__file__).resolve().parents[1]
PART = re.compile(r"(<!-- generated:([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def rows(cls: type[BaseSettings]) -> list[tuple[str, str, str]]:
    """Name, default and help of every setting."""
    found = []
    for name, field in cls.model_fields.items():
        if name == "name":
            continue
        default = field.default
        shown = "" if default is None or default == "" else str(default)
        if isinstance(default, bool):
            shown = str(default).lower()
        found.append((name.upper(), shown, field.description or ""))
    return found


def settings_table(cls: type[BaseSettings] = Settings) -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, default, meaning in rows(cls):
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |")
    return "\n".join(lines) + "\n"


def assistant_table() -> str:
    lines = ["| setting (`OFFICE_…`, `CHARACTER_…`) | default | meaning |", "|---|---|---|"]
    for name, default, meaning in rows(AssistantSettings):
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |")
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "compose-settings": lambda: settings_table(ComposeSettings),
    "assistant-settings": assistant_table,
}


def env_example() -> str:
    lines = [
        "# Copy to .env and set what you need; every line shows a default.",
        "# Precedence: command line, environment, this file, default.",
        "",
    ]
    for name, default, meaning in rows(Settings):
        if name == "LANG":
            continue
        lines += [f"# {meaning}", f"#{name}={default}", ""]
    lines += ["# --- Docker Compose alone ---", ""]
    for name, default, meaning in rows(ComposeSettings):
        lines += [f"# {meaning}", f"#{name}={default}", ""]
    lines += [
        "# --- One assistant: OFFICE_X or CHARACTER_X; CHATBOT_X is for both ---",
        "",
    ]
    for name, default, meaning in rows(AssistantSettings):
        lines += [f"# {meaning}", f"#OFFICE_{name}={default}", f"#CHARACTER_{name}={default}", ""]
    return "\n".join(lines).rstrip() + "\n"


def outputs() -> dict[Path, str]:
    """Every generated file with its right content."""
    found = {ROOT / ".env.example": env_example()}
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        text = path.read_text("utf-8")
        if "<!-- generated:" in text:
            found[path] = PART.sub(lambda m: m.group(1) + PARTS[m.group(2)]() + m.group(3), text)
    return found


def main() -> int:
    stale = []
    for path, text in outputs().items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"out of date, run `make docs`: {', '.join(map(str, stale))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
