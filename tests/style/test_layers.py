"""The architecture's directions, read from the imports themselves."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "chatbot_ai"
FILES = sorted(PACKAGE.rglob("*.py"))

#: What each package may import of ours, besides itself; `server` and `cli` may import everything.
ALLOWED = {
    "domain": set(),
    "messages": {"domain"},
    "core": {"domain", "cards"},
    "llm": {"domain"},
    "storage": {"domain", "sqlite"},
    "search": {"domain"},
    "access": {"domain", "sqlite"},
    "cards": {"domain"},
    "models": {"domain", "messages"},
    "gateway": {"domain", "messages"},
    "settings": {"domain", "messages"},
    "tools": {"domain", "models"},
    "api": {"core", "domain", "cards", "messages"},
}
#: Where a broad `except Exception` stands at an edge of the process, each with a log line.
EDGES = {
    "api/middleware.py",
    "api/streaming.py",
    "server/service.py",
    "core/streams.py",
    "tools/doctor/check.py",
    "search/page_text.py",
    "storage/outbox.py",
}


def imported(path: Path) -> set[str]:
    """Our packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "chatbot_ai" and len(parts) > 1:
                found.add(parts[1])
    return found


def modules_imported(path: Path, modules: Collection[str]) -> set[str]:
    """Those of `modules` that a file imports; `from package import module` names the module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & set(modules) or {node.module}
    return found & set(modules)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_its_layer_may(package: str) -> None:
    """Imports run in one direction: api to core to domain, adapters to domain."""
    wrong = {
        str(path.relative_to(PACKAGE)): extra
        for path in (PACKAGE / package).rglob("*.py")
        if (extra := imported(path) - ALLOWED[package] - {package})
    }
    assert wrong == {}


def test_no_modules_import_each_other() -> None:
    """Within a package too: no circle, not even for the type checker or inside a function."""
    modules = {}
    for path in FILES:
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = path
    imports = {name: modules_imported(path, modules) for name, path in modules.items()}
    assert imports["chatbot_ai.core.chat"] > {"chatbot_ai.core.queue", "chatbot_ai.core.prompt"}
    TopologicalSorter(imports).prepare()


def test_every_package_has_its_layer() -> None:
    """A new package is given its place here."""
    packages = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert packages - {"server", "cli"} == set(ALLOWED)


def test_the_domain_needs_only_the_standard_library() -> None:
    """Values and contracts do not depend on any framework."""
    outside = set()
    for path in (PACKAGE / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                outside |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                outside.add(node.module.split(".")[0])
    assert outside - set(sys.stdlib_module_names) == {"chatbot_ai"}


def test_only_settings_read_the_environment() -> None:
    """os.environ and os.getenv appear in settings/ alone."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv", "environb")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert {r for r in readers if not r.startswith("settings/")} == set()


def test_broad_excepts_stand_at_the_edges_only() -> None:
    """`except Exception` exists where a process ends, nowhere else; bare excepts nowhere."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, path
                if isinstance(node.type, ast.Name) and node.type.id == "Exception":
                    found.add(str(path.relative_to(PACKAGE)))
    assert found <= EDGES


def test_files_stay_short() -> None:
    """A source file has at most 400 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in FILES
        if (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}
