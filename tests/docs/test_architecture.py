"""docs/architecture.md names files, functions and imports as they are."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "chatbot_ai"
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NAMES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", TEXT)))
FILES = sorted(set(re.findall(r"`([\w/]+\.py)(?::[\w.]+)?`", TEXT)))


def find(body: ast.AST, name: str) -> ast.AST | None:
    """The class or function of that name anywhere in `body`."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for node in ast.walk(body) if isinstance(node, kinds) and node.name == name)
    return next(found, None)


@pytest.mark.parametrize("name", FILES)
def test_every_named_file_exists(name: str) -> None:
    assert (PACKAGE / name).is_file() or (ROOT / name).is_file()


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_every_named_function_is_in_its_file(path: str, name: str) -> None:
    node: ast.AST | None = ast.parse((PACKAGE / path).read_text("utf-8"))
    for part in name.split("."):
        assert node is not None
        node = find(node, part)
    assert node is not None, f"{path} has no {name}"


def test_every_step_of_the_trace_names_a_function() -> None:
    trace = TEXT.partition("## One request, traced")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. .*", trace, re.MULTILINE)
    assert len(steps) > 5
    assert all("`" in step and ".py:" in step for step in steps[1:])


def test_the_table_of_layers_is_what_the_imports_test_allows() -> None:
    path = ROOT / "tests" / "style" / "test_layers.py"
    spec = importlib.util.spec_from_file_location("layers", path)
    assert spec is not None
    assert spec.loader is not None
    layers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layers)
    table = TEXT.partition("## Layers")[2].partition("\n## ")[0]
    written = {}
    for packages, _, imports in re.findall(r"^\| (`.*) \| (.*) \| (.*) \|$", table, re.MULTILINE):
        for package in re.findall(r"`(\w+)`", packages):
            written[package] = set(re.findall(r"`(\w+)`", imports))
    assert {name: written.get(name) for name in layers.ALLOWED} == layers.ALLOWED
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert set(written) == packages | modules
