"""Read the original of a row of an index: only bytes that were indexed, and only from folders that are allowed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.locations import is_url, split_member
from imindex.indexer.core.url import Url
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.store.index import Index


class NoOriginal(ImindexError):
    """The original of a row is missing, has other bytes, or is where it may not be read."""


def read_original(
    index: Index, row: int, inside: Sequence[Path] = (), *, digest: bytes | None = None
) -> bytes:
    """Return the bytes of the picture of a row.

    Parameters
    ----------
    index : Index
    row : int
    inside : sequence of Path
        Folders that pictures may be in, besides the folder of the index and its named roots. Links are followed
        before the folder is compared.
    digest : bytes, optional
        The SHA-256 that the index records of the row, if the caller has it.

    Raises
    ------
    NoOriginal
        There is no such row; or the file is missing, leads out of these folders, or has other bytes than those that
        were indexed.
    """
    if not 0 <= row < index.n:
        raise NoOriginal(f"{index.path} has no row {row}. It has {index.n} rows, from 0.")
    where = np.array([row], np.int64)
    stored = index.text_at("path", where)[0]
    digest = bytes(index.column("sha256")[row]) if digest is None else digest
    full = index.places().full(stored)
    if full is None:
        raise NoOriginal(
            f"The picture of row {row} is in no folder or root that may be read. Name its root (--root)."
        )
    container = split_member(full)[0]
    if not is_url(container):
        folders = [folder for folder in (index.folder, *index.roots.values()) if not isinstance(folder, Url)]
        allowed = [Path(folder).resolve() for folder in (*folders, *inside) if not is_url(str(folder))]
        real = Path(container).resolve()
        if not any(real.is_relative_to(folder) for folder in allowed):
            raise NoOriginal(
                f"The picture of row {row} is outside the folder of the index and its named roots, so it is not read. "
                "Allow its folder (imindex serve --pictures-from FOLDER)."
            )
    try:
        data = read_bytes(full)
    except (OSError, BadPicture, ImindexError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or "it cannot be read"
        raise NoOriginal(f"The picture of row {row} is not there: {reason}. Put the file back.") from error
    if hashlib.sha256(data).digest() != digest:
        raise NoOriginal(f"The file of row {row} is not the picture that was indexed: it has other bytes.")
    return data
