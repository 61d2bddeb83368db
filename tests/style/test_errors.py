"""The tree on top of domain/errors.py is the whole truth about what is raised on purpose."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from chatbot_ai.domain import errors

PACKAGE = Path(errors.__file__).parents[1]
TREES = [ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
LINE = re.compile(r"    ([│├└─ ]*)(\w+)(?: .*)?")
#: For a programmer's mistake, and for what the same module catches again.
BUILTIN = {
    "AssertionError", "TypeError", "ValueError", "RuntimeError", "BrokenPipeError", "TimeoutError",
}  # fmt: skip
#: What a library asks its callbacks to raise.
FOREIGN = {"PydanticCustomError", "Exit", "DDGSException", "RatelimitException"}
HTTP_WORDS = re.compile(r"\bHTTP\b|\b[Hh]eaders?\b|Retry-After|X-[A-Z]\w+-|status code")


Node = TypeVar("Node", bound=ast.AST)


def nodes(kind: type[Node]) -> Iterator[Node]:
    """Every node of that kind in the package."""
    return (node for tree in TREES for node in ast.walk(tree) if isinstance(node, kind))


def is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def drawn() -> dict[str, str]:
    """The class above each one in the drawing."""
    above: list[str] = []
    tree = {}
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        above = [*above[:depth], found[2]]
        tree[found[2]] = above[-2] if depth else "Exception"
    return tree


def defined(tree: dict[str, str]) -> dict[str, str]:
    """The class above each public error of the source."""
    found = {}
    for node in nodes(ast.ClassDef):
        for base in node.bases:
            name = base.id if isinstance(base, ast.Name) else ""
            if not node.name.startswith("_") and (name in tree or is_error(name)):
                found[node.name] = name
    return found


def test_the_tree_is_drawn_as_it_is() -> None:
    """Every public error of every package stands in the drawing, at its place, and nothing else."""
    tree = drawn()
    assert tree["ChatbotError"] == "Exception"
    assert tree == defined(tree)


def test_only_errors_of_the_tree_are_raised() -> None:
    """Whatever is raised or made to be raised is drawn, a programmer's mistake, or a library's."""
    known = set(drawn()) | BUILTIN | FOREIGN
    for node in nodes(ast.Raise):
        made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name: str | None = getattr(made, "attr", getattr(made, "id", None))
        # a variable or a function: what it holds or makes was made by one of the calls below
        assert name is None or name in known or name.lstrip("_").islower(), ast.unparse(node)
    for call in nodes(ast.Call):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        assert not is_error(name) or name in known, ast.unparse(call)


def test_no_http_in_the_domain() -> None:
    """How an error or a limit is told over HTTP is decided in api/ alone."""
    found = [
        f"{path.name}: {match.group()}"
        for path in sorted((PACKAGE / "domain").glob("*.py"))
        for match in HTTP_WORDS.finditer(path.read_text("utf-8"))
    ]
    assert found == []
