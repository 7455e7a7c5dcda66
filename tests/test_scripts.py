"""The names that scripts import from imindex and its tests exist, although nothing imports the scripts."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.places import ROOT

OURS = ("imindex", "tests")
SCRIPTS = sorted(
    path
    for path in (ROOT / "scripts").rglob("*")
    if path.is_file() and (path.suffix == ".py" or path.read_bytes().startswith(b"#!/usr/bin/env python"))
)


def is_ours(module: str, path: Path) -> bool:
    beside = path.parent / f"{module.partition('.')[0]}.py"
    return module.partition(".")[0] in OURS or beside.exists() or (ROOT / "scripts" / module).is_dir()


def imported(tree: ast.AST, path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the module, the imported name (empty for the module itself), and its name here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and is_ours(node.module, path):
            for alias in node.names:
                yield node.module, alias.name, alias.asname or alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if is_ours(alias.name, path):
                    yield alias.name, "", alias.asname or alias.name


def taken(module: str, name: str) -> object:
    """Return what an import statement would bind."""
    found = importlib.import_module(module)
    if not name:
        return found
    return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_of_scripts_exist(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(path.parent), str(ROOT / "scripts"), *sys.path])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {}
    for module, name, called in imported(tree, path):
        found = taken(module, name)
        if isinstance(found, ModuleType):
            modules[called] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"line {node.lineno}: {ast.unparse(node)}"


def test_every_script_is_checked() -> None:
    names = {path.name for path in SCRIPTS}
    assert {"check_bounds", "fetch-designers", "crash", "shared.py", "train_demo_clip"} < names
