"""Check the pictures of an index: are their bytes unchanged, and does the encoder reproduce their vectors?"""

from __future__ import annotations

import errno
import math
import os
import secrets
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.core.locations import is_url, split_member, with_container
from imindex.indexer.core.paths import PicturePaths, merged_roots, split_rooted
from imindex.indexer.core.schema import BLOCKED
from imindex.indexer.core.url import Url
from imindex.indexer.decode.formats import is_missing
from imindex.indexer.decode.limits import Limits
from imindex.indexer.runners.base import NO_DIGEST, Read
from imindex.indexer.runners.reader import read_all
from imindex.indexer.sources.arms import ALL_BLACK
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture
    from imindex.indexer.encoders.base import Encoder

SAME = {"fp32": 1 - 1e-6, "bf16": 0.9999, "fp16": 0.9999}
"""Minimum cosine between the stored vector of a picture and a newly encoded one, by the precision of the encoder.

Other batches, numbers of threads and instruction sets (AVX-512, AVX2, SSE4) lowered the cosine by at most 4e-9 in fp32
and 4.5e-5 in bf16 (`scripts/bench/replay`, 2026-11-28); fp16 was not measured.
"""
NOT_OPENED = "is a reject that was not compared, because it is outside the folder of the index"
NOT_FOUND = "is a reject whose file is missing or cannot be read"
"""Problems of a reject that was not compared; every other problem is one of a file that was read."""
_NO_FILE = f"cannot be read: {os.strerror(errno.ENOENT)}"
_MAX_LISTED = 1_000
_SEED_BITS = 53
"""Bits of a seed from the operating system: JSON readers that use doubles keep them."""
Progress = Callable[[int], None]


@dataclass
class Originals:
    """State of the files of all rows. The five counts add up to the number of rows.

    Attributes
    ----------
    same, changed, missing, unreadable, outside : int
        Files with the bytes recorded in the index, with other bytes, that do not exist, that cannot be read, and that
        were not opened because they are outside the permitted folders.
    listed : list of (state, path)
        The first thousand files that are not the same.
    """

    same: int = 0
    changed: int = 0
    missing: int = 0
    unreadable: int = 0
    outside: int = 0
    listed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Replay:
    """Result of encoding some pictures again.

    Attributes
    ----------
    seed : int
        Seed that drew the rows; the same seed draws them again.
    asked, compared : int
        Number of pictures drawn, and of those whose bytes are unchanged and that were encoded.
    identical : int
        Number of vectors that equal the stored ones bit for bit.
    least : float
        The smallest cosine; NaN if none was compared.
    differing : tuple of str
        Paths of pictures with a cosine below the limit.
    uncompared : tuple of (state, path)
        Pictures that were drawn and not compared; the states are those of `Originals`.
    most_false : int
        With a confidence of 95 %, at most this many rows have a vector that differs by more than the limit, if
        `differing` is empty.
    """

    seed: int
    asked: int
    compared: int
    identical: int
    least: float
    differing: tuple[str, ...]
    uncompared: tuple[tuple[str, str], ...]
    most_false: int


@dataclass(frozen=True)
class Folders:
    """The folders in which pictures of an index may be opened: that of the index, and further ones that the user names.

    An index may come from a stranger, and its paths and the places of its roots may point anywhere: a root that the
    index names is a permitted folder only if the user names its folder, too. Links are resolved before the comparison.

    Parameters
    ----------
    folder : Path or Url
        The folder of the index.
    roots : sequence of Path or str
        Further folders, or prefixes of URLs.
    named : mapping of str to str
        Where the named roots of the index are.
    """

    folder: Path | Url
    roots: Sequence[Path | str] = ()
    named: Mapping[str, str] = field(default_factory=dict)

    def path(self, stored: str) -> str | None:
        """Return the path of a picture; None if it is outside the folders."""
        full = PicturePaths(self.folder, self.named, self._remote).full(stored)
        return full if full is not None and (is_url(full) or self._is_inside(full)) else None

    def moved_to(self, stored: str) -> str | None:
        """Return the file in one of the further folders that ends as a stored path does; None if there is none.

        It is looked for where the pictures were moved: by the longest end of the path first.
        """
        container, _ = split_member(stored)
        rooted = split_rooted(container)
        parts = [
            part
            for part in (container if rooted is None else "/".join(rooted)).split("/")
            if part not in ("", ".", "..")
        ]
        for start in range(len(parts)):
            for root in self._folders:
                full = os.path.normpath(root.absolute().joinpath(*parts[start:]))
                if "\0" not in full and os.path.lexists(full) and self._is_inside(full):
                    return with_container(stored, full)
        return None

    def _is_inside(self, full: str) -> bool:
        try:
            real = Path(split_member(full)[0]).resolve()
        except (OSError, RuntimeError, ValueError):  # links in a circle, a zero byte
            return False
        return any(real.is_relative_to(root) for root in self._resolved)

    @cached_property
    def _resolved(self) -> tuple[Path, ...]:
        own = () if isinstance(self.folder, Url) else (self.folder,)
        return tuple(root.resolve() for root in (*own, *self._folders))

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return tuple(Path(root) for root in self.roots if not is_url(os.fspath(root)))

    @cached_property
    def _remote(self) -> tuple[str, ...]:
        return tuple(url for root in self.roots if is_url(url := os.fspath(root)))


class _Everything:
    """A container of all digests, so that pictures are digested but not decoded."""

    def __contains__(self, digest: object) -> bool:
        return True


def check_pictures(
    index: Index,
    progress: Progress = lambda done: None,
    *,
    roots: Sequence[Path | str] = (),
    named: Mapping[str, Path | str] | None = None,
) -> Originals:
    """Read the file of every row, and compare its SHA-256 with the one in the index.

    A picture that is not where the index says is looked for in `roots`, by the end of its path.

    Parameters
    ----------
    index : Index
    progress : callable
        Called with the number of files done so far.
    roots : sequence of Path or str
        Folders outside that of the index in which files may be opened.
    named : mapping of str to Path or str, optional
        Where named roots of the index are now. They are permitted only if they are in `roots`.
    """
    originals, done, folders = Originals(), 0, _folders(index, roots, named)
    for start in range(0, index.n, STREAM_ROWS):
        paths, digests = _rows(index, slice(start, start + STREAM_ROWS))
        reads = _reads(index, folders, paths, _Everything())
        for path, digest, read in zip(paths, digests, reads, strict=True):
            state = _state(read, digest, folders.path(path))
            setattr(originals, state, getattr(originals, state) + 1)
            if state != "same" and len(originals.listed) < _MAX_LISTED:
                originals.listed.append((state, path))
            progress(done := done + 1)
    return originals


def check_rejects(
    index: Index,
    progress: Progress = lambda done: None,
    *,
    roots: Sequence[Path | str] = (),
    named: Mapping[str, Path | str] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    trust_manifest: bool = False,
) -> list[tuple[str, str]]:
    """Decode the file of every reject again: a picture that can be used must not be hidden among the rejects.

    The reason in the index is not believed. A picture that was rejected by a lower limit than the default is confirmed
    only if the caller passes that limit. A blocked picture is confirmed if it is black; otherwise only its manifest
    says that it is blocked.

    Parameters
    ----------
    index : Index
    progress : callable
        Called with the number of files done so far.
    roots : sequence of Path or str
        Folders outside that of the index in which files may be opened.
    named : mapping of str to Path or str, optional
        Where named roots of the index are now.
    limits : Limits
        A picture that exceeds them cannot be used.
    trust_manifest : bool
        Confirm a picture that its manifest marks as blocked even if it can be decoded.

    Returns
    -------
    list of (path, problem)
        Rejects that can be decoded, whose bytes are not those of the index, or that were not compared: `NOT_OPENED` or
        `NOT_FOUND`.
    """
    rejects, folders = index.rejects(), _folders(index, roots, named)
    problems: list[tuple[str, str]] = []
    paths = rejects["path"].tolist()
    reads = _reads(index, folders, paths, (), limits)
    rows = zip(paths, rejects["sha256"], rejects["reason"], reads, strict=True)
    for done, (path, digest, reason, read) in enumerate(rows, 1):
        if problem := _reject_problem(bytes(digest), reason, read, trust_manifest=trust_manifest):
            problems.append((path, problem))
        progress(done)
    return problems


def _reject_problem(digest: bytes, reason: str, read: Read | None, *, trust_manifest: bool) -> str:
    if read is None:
        return NOT_OPENED
    if read.digest != digest:
        if read.digest == NO_DIGEST:
            return NOT_FOUND
        return f"is a reject whose file {'can be read now' if digest == NO_DIGEST else 'has changed'}"
    if read.picture is None or digest == NO_DIGEST:
        return ""
    marked = trust_manifest and reason != BLOCKED + ALL_BLACK
    if reason.startswith(BLOCKED) and (marked or read.picture.black):
        return ""
    if is_missing(reason):
        return f"was rejected ({reason}), and can be decoded now: `imindex build` adds it"
    return f"was rejected ({reason}), but can be decoded"


def replay(
    index: Index,
    n: int | None,
    encoder: Encoder,
    *,
    seed: int | None = None,
    roots: Sequence[Path | str] = (),
    named: Mapping[str, Path | str] | None = None,
    progress: Progress = lambda done: None,
) -> Replay:
    """Encode randomly drawn pictures of the index again, and compare the vectors with the stored ones.

    Parameters
    ----------
    index : Index
    n : int or None
        Number of rows to draw; all of them if there are fewer, or with None.
    encoder : Encoder
        The encoder of the index.
    seed : int, optional
        Seed for drawing the rows. By default it comes from the operating system, so that nobody who prepares a file
        can know which rows will be compared.
    roots : sequence of Path or str
        Folders outside that of the index in which files may be opened.
    named : mapping of str to Path or str, optional
        Where named roots of the index are now.
    progress : callable
        Called with the number of rows done so far.
    """
    import torch

    n = index.n if n is None else min(n, index.n)
    seed = secrets.randbits(_SEED_BITS) if seed is None else seed
    rows = (
        np.sort(np.random.default_rng(seed).choice(index.n, n, replace=False)) if n else np.empty(0, np.int64)
    )
    compared, identical, least, differing, uncompared, done = 0, 0, float("inf"), [], [], 0
    folders = _folders(index, roots, named)
    for start in range(0, n, encoder.batch_size):
        batch = rows[start : start + encoder.batch_size]
        paths, digests = _rows(index, batch)
        reads = list(_reads(index, folders, paths, ()))
        states = [
            _state(read, digest, folders.path(path))
            for read, digest, path in zip(reads, digests, paths, strict=True)
        ]
        states = [
            "unreadable" if state == "same" and read and not read.picture else state
            for state, read in zip(states, reads, strict=True)
        ]
        uncompared += [(state, path) for state, path in zip(states, paths, strict=True) if state != "same"]
        unchanged = [i for i, state in enumerate(states) if state == "same"]
        if unchanged:
            pixels = torch.stack(
                [
                    cast("Picture", read.picture).pixels
                    for read in (reads[i] for i in unchanged)
                    if read and read.picture
                ]
            )
            encoded, stored = encoder.encode_images(pixels), np.asarray(index.vectors[batch[unchanged]])
            similarity = cosines(encoded, stored)
            identical += int((encoded.view(np.uint16) == stored.view(np.uint16)).all(axis=1).sum())
            least = min(least, float(similarity.min()))
            differing += [paths[unchanged[i]] for i in np.flatnonzero(similarity < limit_of(encoder))]
            compared += len(unchanged)
        progress(done := done + len(batch))
    return Replay(
        seed=seed,
        asked=n,
        compared=compared,
        identical=identical,
        least=shown_cosine(least) if compared else float("nan"),
        differing=tuple(differing),
        uncompared=tuple(uncompared),
        most_false=most_false(index.n, compared),
    )


def most_false(rows: int, drawn: int, confidence_level: float = 0.95) -> int:
    """Return an upper confidence limit of the number of false rows, if none was found among those drawn.

    Parameters
    ----------
    rows : int
        Number of rows.
    drawn : int
        Number of rows drawn at random without replacement, all of them right.
    confidence_level : float

    Returns
    -------
    int
        The largest number k of false rows for which a draw without any of them has a probability above
        ``1 - confidence_level``. That probability is hypergeometric, C(rows - k, drawn) / C(rows, drawn).
    """
    left = rows - np.arange(drawn)
    least, most = 0, rows - drawn
    while least < most:
        middle = (least + most + 1) // 2
        if np.log1p(-middle / left).sum() > math.log(1 - confidence_level):
            least = middle
        else:
            most = middle - 1
    return least


def limit_of(encoder: Encoder) -> float:
    """Return the minimum cosine for an encoder."""
    return SAME[encoder.info.precision]


def replay_text(index: Index, encoder: Encoder) -> float | None:
    """Encode the text probe of the index again, and return its cosine with the stored vector; None without a probe."""
    from imindex.indexer.encoders.probe import probe_cosine

    cosine = probe_cosine(index.encoder, encoder)
    return None if cosine is None else shown_cosine(cosine)


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


def _reads(
    index: Index,
    folders: Folders,
    paths: Sequence[str],
    known: Container[bytes],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[Read | None]:
    """Read files in order; None for each that is outside the folders."""
    full = [_path_to_read(folders, path) for path in paths]
    items = [Item(path, "", "", "") for path in full if path is not None]
    reads = read_all(items, known, index.encoder.preprocess, limits=limits)
    return (next(reads) if path is not None else None for path in full)


def _folders(index: Index, roots: Sequence[Path | str], named: Mapping[str, Path | str] | None) -> Folders:
    return Folders(index.folder, roots, merged_roots(index.roots, named or {}))


def _path_to_read(folders: Folders, stored: str) -> str | None:
    """Return the path of a picture or, if it is not there, that of the file that it may have been moved to."""
    own = folders.path(stored)
    if not folders.roots or (own is not None and (is_url(own) or os.path.lexists(split_member(own)[0]))):
        return own
    return folders.moved_to(stored) or own


def _state(read: Read | None, digest: bytes, own: str | None) -> str:
    """Return the state of a picture, of which `own` is the path."""
    if read is None:
        return "outside"
    if read.digest == digest:
        return "same"
    if read.item.path != own:  # the file that was found elsewhere is another one
        return "outside" if own is None else "missing"
    if read.digest != NO_DIGEST:
        return "changed"
    if is_url(read.item.path):
        return "missing" if read.reason == _NO_FILE else "unreadable"
    return "unreadable" if os.path.lexists(read.item.path) else "missing"


def cosines(first: npt.NDArray[np.float16], second: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair of corresponding rows; -1 where a row has no direction."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return np.where(np.isfinite(values), values, -1.0)
