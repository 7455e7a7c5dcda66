"""The examples in the docstrings of every module."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import imindex

SKIPPED = ("imindex.tests", "imindex.scripts", "imindex.__main__")
"""An editable install exposes the whole checkout; these folders are not part of the package."""


def modules() -> list[str]:
    found = (info.name for info in pkgutil.walk_packages(imindex.__path__, "imindex."))
    return sorted(name for name in found if not name.startswith(SKIPPED))


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
