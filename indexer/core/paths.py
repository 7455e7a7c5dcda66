"""The path under which a picture is stored in an index: relative to the folder of the index where possible."""

from __future__ import annotations

import os
from pathlib import Path


def stored_path(path: str, folder: Path) -> str:
    """Return a path as stored in /items: relative to the folder of the index, with forward slashes."""
    full = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
    try:
        return os.path.relpath(full, folder.absolute()).replace(os.sep, "/")
    except ValueError:  # another drive
        return full.replace(os.sep, "/")


class StoredPaths:
    """`stored_path` for many files, cached per folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        head, _, name = path.rpartition(os.sep)
        prefix = self._known.get(head)
        if prefix is None or name in ("", ".", ".."):
            if not head or name in ("", ".", ".."):
                return stored_path(path, self._folder)
            prefix = stored_path(head, self._folder)
            prefix = self._known[head] = "" if prefix == "." else prefix.rstrip("/") + "/"
        return prefix + name
