"""Check the pictures of an index: are their bytes unchanged, and does the encoder reproduce their vectors?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.build.reader import NO_DIGEST, Read, read_all
from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

SAME = 0.9999
"""Minimum cosine between the stored vector of a picture and a newly encoded one."""
_MAX_LISTED = 1_000
Progress = Callable[[int], None]


@dataclass
class Originals:
    """State of the files of all rows. The four counts add up to the number of rows.

    Attributes
    ----------
    same, changed, missing, unreadable : int
        Files with the bytes recorded in the index, with other bytes, that do not exist, and that cannot be read.
    listed : list of (state, path)
        The first thousand files that are not the same.
    """

    same: int = 0
    changed: int = 0
    missing: int = 0
    unreadable: int = 0
    listed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Replay:
    """Result of encoding some pictures again.

    Attributes
    ----------
    asked, compared : int
        Number of pictures drawn, and of those whose bytes are unchanged and that were encoded.
    identical : int
        Number of vectors that equal the stored ones bit for bit.
    least : float
        The smallest cosine; NaN if none was compared.
    differing : tuple of str
        Paths of pictures with a cosine below `SAME`.
    """

    asked: int
    compared: int
    identical: int
    least: float
    differing: tuple[str, ...]


class _Everything:
    """A container of all digests, so that pictures are digested but not decoded."""

    def __contains__(self, digest: object) -> bool:
        return True


def check_pictures(index: Index, progress: Progress = lambda done: None) -> Originals:
    """Read the file of every row, and compare its SHA-256 with the one in the index.

    Parameters
    ----------
    index : Index
    progress : callable
        Called with the number of files done so far.
    """
    originals, done = Originals(), 0
    for start in range(0, index.n, STREAM_ROWS):
        paths, digests = _rows(index, slice(start, start + STREAM_ROWS))
        reads = read_all(_items(index, paths), _Everything(), index.encoder.preprocess)
        for path, digest, read in zip(paths, digests, reads, strict=True):
            state = _state(read, digest)
            setattr(originals, state, getattr(originals, state) + 1)
            if state != "same" and len(originals.listed) < _MAX_LISTED:
                originals.listed.append((state, path))
            progress(done := done + 1)
    return originals


def replay(
    index: Index, n: int, encoder: Encoder, *, seed: int = 0, progress: Progress = lambda done: None
) -> Replay:
    """Encode randomly drawn pictures of the index again, and compare the vectors with the stored ones.

    Parameters
    ----------
    index : Index
    n : int
        Number of rows to draw; all of them, if there are fewer.
    encoder : Encoder
        The encoder of the index.
    seed : int
        Seed for drawing the rows.
    progress : callable
        Called with the number of rows done so far.
    """
    import torch

    n = min(n, index.n)
    rows = (
        np.sort(np.random.default_rng(seed).choice(index.n, n, replace=False)) if n else np.empty(0, np.int64)
    )
    compared, identical, least, differing, done = 0, 0, float("inf"), [], 0
    for start in range(0, n, encoder.batch_size):
        batch = rows[start : start + encoder.batch_size]
        paths, digests = _rows(index, batch)
        reads = list(read_all(_items(index, paths), (), index.encoder.preprocess))
        unchanged = [i for i, read in enumerate(reads) if read.picture and read.digest == digests[i]]
        if unchanged:
            pixels = torch.stack(
                [read.picture.pixels for read in (reads[i] for i in unchanged) if read.picture]
            )
            encoded, stored = encoder.encode_images(pixels), np.asarray(index.vectors[batch[unchanged]])
            similarity = cosines(encoded, stored)
            identical += int((encoded.view(np.uint16) == stored.view(np.uint16)).all(axis=1).sum())
            least = min(least, float(similarity.min()))
            differing += [paths[unchanged[i]] for i in np.flatnonzero(similarity < SAME)]
            compared += len(unchanged)
        progress(done := done + len(batch))
    return Replay(n, compared, identical, least if compared else float("nan"), tuple(differing))


def own_encoder(index: Index, where: Mapping[str, Any]) -> Encoder:
    """Load the encoder of an index; `where` may give model, pretrained and device.

    Raises
    ------
    ImindexError
        If it cannot be loaded, or is another encoder than that of the index.
    """
    from imindex.indexer.encoders.load import load_as

    return load_as(index.encoder, **where)


def _rows(index: Index, rows: slice | npt.NDArray[np.int64]) -> tuple[list[str], list[bytes]]:
    """Return the paths and digests of some rows."""
    raw = index.raw()
    paths = [path.decode("utf-8", "surrogateescape") for path in raw.part("items/path", rows)]
    return paths, [bytes(digest) for digest in raw.part("items/sha256", rows)]


def _items(index: Index, paths: Sequence[str]) -> list[Item]:
    folder = Path(index.path).absolute().parent
    return [Item(os.path.normpath(folder / path), "", "", "") for path in paths]


def _state(read: Read, digest: bytes) -> str:
    if read.digest == digest:
        return "same"
    if read.digest != NO_DIGEST:
        return "changed"
    return "unreadable" if os.path.lexists(read.item.path) else "missing"


def cosines(first: npt.NDArray[np.float16], second: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair of corresponding rows; -1 where a row has no direction."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return np.where(np.isfinite(values), values, -1.0)
