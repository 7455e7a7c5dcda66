"""The layout of the tests: shared helpers are in tests/support, and no test module imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_imports_a_test_module() -> None:
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert len(files) > 80
    for path in files:
        for name in imported(path):
            parts = name.split(".")
            assert not any(part.startswith("test_") or part == "conftest" for part in parts[:-1]), (
                path,
                name,
            )
            assert parts[0] != "tests" or parts[:2] == ["tests", "support"], (path, name)
