"""The default of a setting stands in the settings and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from chatbot_ai.settings import AssistantSettings, ComposeSettings, Settings

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "chatbot_ai"
#: Names of settings that mean something else elsewhere: the command line's language, the address of
#: a load test or of the doctor's probe, the threads of a pool.
OTHER_MEANINGS = {"lang", "host", "port", "threads"}
NAMES = {
    name
    for settings in (Settings, AssistantSettings, ComposeSettings)
    for name in settings.model_fields
} - OTHER_MEANINGS


def _defaults(tree: ast.AST) -> Iterator[tuple[int, str, ast.expr]]:
    """Line, name and default of every parameter and every field of a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            given = node.args.defaults
            pairs = [
                *zip(positional[len(positional) - len(given) :], given, strict=True),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            yield from ((arg.lineno, arg.arg, value) for arg, value in pairs if value is not None)
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and field.value is not None
                ):
                    yield field.lineno, field.target.id, field.value


def _is_a_value(default: ast.expr) -> bool:
    """Whether it says more than that there is none."""
    if isinstance(default, ast.Call):
        # a field of pydantic or a dataclass: its first argument, or `default`
        values = [*default.args, *(k.value for k in default.keywords if k.arg == "default")]
        return any(_is_a_value(value) for value in values)
    if isinstance(default, ast.Constant):
        return default.value not in (None, "")
    return not (isinstance(default, ast.Tuple) and not default.elts)


def test_no_default_repeats_a_setting() -> None:
    """A parameter or a field that is named like a setting gets its value from there."""
    repeated = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "settings"
        for line, name, default in _defaults(ast.parse(path.read_text(encoding="utf-8")))
        if name in NAMES and _is_a_value(default)
    ]
    assert repeated == []
