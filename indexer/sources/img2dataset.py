"""Recognise the output of img2dataset, whose numbered folders hold samples, and are no artists."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imindex.indexer.sources.remote_folder import RemoteFolder

_NUMBER = re.compile(r"\d{4,}")
_BESIDE = re.compile(r"(.+)(\.parquet|_stats\.json)")


def numbered_parts(folder: Path | RemoteFolder, name: str) -> bool:
    """Return whether a folder is a part that img2dataset wrote with `--output_format files`.

    Its name is a number, and beside it is `NNNNN_stats.json` or `NNNNN.parquet`.
    """
    if not _NUMBER.fullmatch(name):
        return False
    return any((folder / f"{name}{suffix}").is_file() for suffix in ("_stats.json", ".parquet"))


def is_beside(name: str, names: Collection[str]) -> bool:
    """Return whether a file of a folder belongs to a shard or a numbered part in it, as its list or statistics.

    Examples
    --------
    >>> is_beside("00000_stats.json", {"00000.tar"}), is_beside("00000.parquet", {"00000"})
    (True, True)
    >>> is_beside("a.json", {"a.tar"}), is_beside("Ada.parquet", {"Ada"})
    (False, False)
    """
    match = _BESIDE.fullmatch(name)
    return match is not None and (
        f"{match[1]}.tar" in names or (match[1] in names and bool(_NUMBER.fullmatch(match[1])))
    )
