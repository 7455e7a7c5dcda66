"""Find stored paths and sources that reach the same file by different paths.

They do after the index, or a folder of pictures, was moved into the other; through symbolic links; and after a folder
became a named root. Folders are compared by their real paths, so the cost grows with their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property

from imindex.indexer.build.row_keys import Key, Paths
from imindex.indexer.core.locations import is_url, split_folder, split_member, with_container
from imindex.indexer.core.paths import PicturePaths


class SameFiles:
    """Look up the stored or listed path that reaches the same file as a new one.

    Parameters
    ----------
    places : PicturePaths
    stored : Paths
        Rows and rejects of the index.
    listed : Paths
        The positions of the sources.
    full_of : callable
        Takes a position; returns the path of its file.
    """

    def __init__(
        self, places: PicturePaths, stored: Iterable[Paths], listed: Paths, full_of: Callable[[int], str]
    ):
        self._places = places
        self._stored = tuple(stored)
        self._listed = listed
        self._full_of = full_of
        self._real_folders: dict[str, str] = {}

    def find(self, key: Key, position: int) -> tuple[Key | None, bool]:
        """Look for another path of the file at a position of the sources, which no row or reject has.

        Returns
        -------
        Key or None
            The key of a row or reject whose path reaches the file, and is not listed itself.
        bool
            Whether the sources list the file under another path as well, which is used instead.
        """
        full = self._full_of(position)
        if is_url(full):
            return None, False
        container = split_member(full)[0]
        is_link = os.path.islink(container)  # noqa: PTH114 - many
        head, name = split_folder(
            with_container(full, os.path.realpath(container)) if is_link else full, os.sep
        )
        real = head if is_link else self._real(head)
        for prefix in self._prefixes.get(real, ()):
            other = key[0], key[1], f"{prefix}/{name}" if prefix else name
            if other == key:
                continue
            listed = self._listed.get(other)
            if listed is not None and (is_link or listed < position or self._is_stored(other)):
                return None, True
            if listed is None and self._is_stored(other):
                return other, False
        return None, False

    def _is_stored(self, key: Key) -> bool:
        return any(key in paths for paths in self._stored)

    def _real(self, folder: str) -> str:
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return self._real_folders[folder]

    @cached_property
    def _prefixes(self) -> dict[str, list[str]]:
        """The folders of stored and listed paths, by their real paths."""
        folders: dict[str, str] = {}
        for paths, full_of in (
            *((paths, None) for paths in self._stored),
            (self._listed, self._full_of),
        ):
            for (_, _, path), position in paths:
                prefix = split_folder(path)[0]
                if prefix not in folders:
                    full = self._places.full(path) if full_of is None else full_of(position)
                    if full is not None and not is_url(full):
                        folders[prefix] = self._real(split_folder(full, os.sep)[0])
        prefixes: dict[str, list[str]] = {}
        for prefix, real in folders.items():
            prefixes.setdefault(real, []).append(prefix)
        return prefixes
