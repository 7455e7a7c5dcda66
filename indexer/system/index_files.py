"""The files that a user names as an index: one path, a pattern of several, or a list of these."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Union

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.secrets import split_secrets
from imindex.indexer.core.url import Url
from imindex.indexer.system.atomic import SUFFIX
from imindex.indexer.system.input_files import exists

Named = Union[str, "os.PathLike[str]", Sequence["str | os.PathLike[str]"]]
"""What names an index: a path or a pattern such as ``part-*.h5``, or several of them."""
_PATTERN = re.compile(r"[*?[]")
_DIGITS = re.compile(r"(\d+)")
MERGE_FIRST = "Merge them first (imindex merge FILE... -o all.h5), or name one of them."
"""The remedy where only one file will do."""


def index_files(place: Named) -> list[Path | Url]:
    """Return the files that a path, a URL, a pattern or a list of these names, in order; each file once.

    A URL is returned without its credentials, and is no pattern.

    Raises
    ------
    ImindexError
        If nothing is named, or a pattern matches no file.
    """
    words = [place] if isinstance(place, (str, os.PathLike)) else list(place)
    if not words:
        raise ImindexError("No index is named. Pass -i FILE.")
    paths: list[Path | Url] = []
    for word in words:
        paths += _matching(os.fspath(word))
    known: dict[tuple[int, int] | str, Path | Url] = {}
    for path in paths:
        known.setdefault(_identity(path), path)
    return list(known.values())


def named_files(place: Named) -> str | tuple[str, ...]:
    """Return the path of the one file that is named, or a tuple of the paths of several, as results name them."""
    files = index_files(place)
    return str(files[0]) if len(files) == 1 else tuple(map(str, files))


def are_files(place: Named) -> bool:
    """Return whether there is at least one file, and everything that is named is one."""
    try:
        return all(isinstance(path, Url) or path.is_file() for path in index_files(place))
    except ImindexError:
        return False


def one_file(place: Named, what: str) -> Path | Url:
    """Return the only file that is named, for what takes one.

    Parameters
    ----------
    place : path-like, or sequence of path-like
    what : str
        What takes one file, such as ``imindex optimize``.

    Raises
    ------
    ImindexError
        If several are named; or as in `index_files`.
    """
    files = index_files(place)
    if len(files) > 1:
        raise ImindexError(
            f"{what} takes one index, and {shown_place(place)} is {len(files)} files. {MERGE_FIRST}"
        )
    return files[0]


def shown_place(place: Named) -> str:
    """Return what was named, as a message shows it."""
    words = [place] if isinstance(place, (str, os.PathLike)) else list(place)
    shown = [split_secrets(text).public if is_url(text := os.fspath(word)) else text for word in words]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"{', '.join(shown[:3])}{more}"


def has_match(pattern: str | os.PathLike[str]) -> bool:
    """Return whether a pattern matches any file that may be an index."""
    return any(map(_may_be_index, glob.glob(os.fspath(pattern))))  # noqa: PTH207 - keeps the spelling


def _matching(word: str) -> Sequence[Path | Url]:
    if is_url(word):
        return [Url(split_secrets(word).public)]
    if not _PATTERN.search(word) or exists(word):
        return [Path(word)]
    found = [path for path in glob.glob(word) if _may_be_index(path)]  # noqa: PTH207 - keeps the spelling
    if not found:
        raise ImindexError(
            f"{word} matches no files. Check the pattern, or build an index with `imindex build SOURCE... -i FILE`."
        )
    return [Path(path) for path in sorted(found, key=_natural)]


def _may_be_index(path: str) -> bool:
    """Return whether a file that matches a pattern counts: no folder, and no temporary file or lock of imindex."""
    return not (Path(path).is_dir() or path.endswith((SUFFIX, ".lock")))


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Return a key that orders numbers in names by their value."""
    return [
        (0, int(piece), piece) if piece.isdecimal() else (1, 0, piece)
        for piece in _DIGITS.split(path)
        if piece
    ]


def _identity(path: Path | Url) -> tuple[int, int] | str:
    if isinstance(path, Url):
        return path
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.fspath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else str(path.resolve())
