"""Near-copies: imitations that repeat one work, which is another finding than having an artist's style."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.pool import picture_of
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.sources.local import read_bytes
from imindex.indexer.store.index import Index
from imindex.retrieval.results import Copies, CopyPair
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.select import Pictures, pictures
from imindex.retrieval.vectors.similarity import similarities, similarity_blocks

SIDE = 32
COMPOSITION = 0.8
"""From this correlation of the pixels on a candidate may have the work's composition."""
SAME_WORK = 0.98
"""Works that correlate as much are one work twice (two scans, two encodings), and say nothing of a series."""
NEAREST = 5
"""Works that each imitation is compared with, from the threshold on."""
SERIES = 50
"""Other works of the artist that the work is compared with, the nearest first."""
MOST = 200
"""Pairs of a release that are listed: every near-copy, then the nearest other candidates; all are looked at."""
_LOOK = Preprocess(size=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode="squash")


def nearest_works(imitations: Float16, works: Float16, k: int = NEAREST) -> tuple[Int64, Float64]:
    """The k nearest works of each imitation, and the cosines.

    Parameters
    ----------
    imitations : ndarray, shape (m, d), float16, unit norm
    works : ndarray, shape (w, d), float16, unit norm

    Returns
    -------
    work : ndarray, shape (m, min(k, w)), int64
        The nearest first; of equal ones the first.
    cosine : ndarray, of that shape, float64
    """
    k = min(k, len(works))
    work, cosine = np.empty((len(imitations), k), np.int64), np.empty((len(imitations), k))
    for rows, block in similarity_blocks(imitations, works, names=("imitations", "works")):
        work[rows] = np.argsort(-block, axis=1, kind="stable")[:, :k]
        cosine[rows] = np.take_along_axis(block, work[rows], axis=1)
    return work, cosine


def composition(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """How alike two small pictures are pixel by pixel: Pearson's correlation, mirrored or not.

    Each channel is centred by itself, so that a common colour counts for nothing. A style leaves this near 0, a copy
    makes it near 1; cropped or redrawn copies may escape it.

    Parameters
    ----------
    a, b : ndarray, shape (3, h, w), uint8

    Returns
    -------
    float
        From -1 to 1; 0 if either picture is of one colour.

    Examples
    --------
    >>> a = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    >>> composition(a, a), composition(a, a[:, :, ::-1]), composition(a, np.zeros_like(a))
    (1.0, 1.0, 0.0)
    """
    return max(_correlation(a, b), _correlation(a, b[:, :, ::-1]))


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    wide = [pixels.astype(np.float64) for pixels in (a, b)]
    x, y = ((pixels - pixels.mean(axis=(1, 2), keepdims=True)).ravel() for pixels in wide)
    sizes = float(x @ x), float(y @ y)
    if not all(sizes):
        return 0.0
    return round(float(x @ y) / float(np.sqrt(sizes[0] * sizes[1])), 12)


def copies(index: Index, collection: str, threshold: float) -> Copies:
    """List the imitations of a release that come very near one work, of whomever it is.

    Parameters
    ----------
    index : Index
        The pictures lie where it says.
    collection : str
        The release.
    threshold : float
        Cosine from which a pair of an imitation and its nearest work is a candidate.

    Returns
    -------
    Copies
        `pairs`, the nearest first: the candidates. One is a near-copy (`copy`) if it has the work's bytes; or if its
        pixels correlate with the work's at `COMPOSITION` or more, and stand at most half as far from 1 as those of any
        other work of that artist do (`series`): an artist who always paints one composition is not copied by a picture
        that has it too. The `NEAREST` works from the threshold on are looked at, and the one that is copied is named.
    """
    made = pictures(index, "imitations", collections=[collection])
    works = pictures(index, "works", "background")
    nearest, cosine = nearest_works(made.vectors, works.vectors)
    near = np.flatnonzero(cosine[:, 0] >= threshold)
    near = near[np.lexsort((near, -cosine[near, 0]))]
    looks = _Looks(index, works)
    pairs = []
    for place in near.tolist():
        among = nearest[place][cosine[place] >= threshold].tolist()
        found = [
            looks.compare(int(made.rows[place]), work, float(cosine[place, n]))
            for n, work in enumerate(among)
        ]
        # Of the works that come near enough the one that is copied, else the nearest.
        pairs.append(max(enumerate(found), key=lambda one: (one[1].same_bytes, one[1].copy, -one[0]))[1])
    listed = sorted(range(len(pairs)), key=lambda place: not pairs[place].copy)
    listed = sorted(listed[: max(MOST, sum(pair.copy for pair in pairs))])
    return Copies(
        threshold=threshold,
        composition_threshold=COMPOSITION,
        n_candidates=len(near),
        n_looked_at=len(pairs),
        pairs=tuple(pairs[place] for place in listed),
    )


class _Looks:
    """Small versions of the pictures of an index, each read once."""

    def __init__(self, index: Index, works: Pictures):
        self._works = works
        self._folder = index.path.parent
        self._columns = {name: index.column(name) for name in ("artist", "path", "prompt", "seed", "sha256")}
        self._artists = index.artists
        self._seen: dict[int, npt.NDArray[np.uint8] | None] = {}
        self._series: dict[int, float] = {}

    def compare(self, imitation: int, work: int, cosine: float) -> CopyPair:
        """An imitation (row) beside a work (position among the works)."""
        row = int(self._works.rows[work])
        path, digest = self._columns["path"], self._columns["sha256"]
        same = bytes(digest[imitation]) == bytes(digest[row])
        alike, series = self._alike(imitation, row), self._among_own(work)
        return CopyPair(
            artist=self._artists[self._columns["artist"][imitation]],
            imitation=path[imitation],
            prompt=self._columns["prompt"][imitation],
            seed=int(self._columns["seed"][imitation]),
            work=path[row],
            work_artist=self._artists[self._columns["artist"][row]],
            cosine=min(cosine, 1.0),
            composition=alike,
            series=series,
            same_bytes=same,
            copy=same or (alike >= COMPOSITION and not 1 - alike > (1 - series) / 2),
        )

    def _among_own(self, work: int) -> float:
        """The highest correlation of a work with the artist's other works; NaN if there are none to be read."""
        if work not in self._series:
            vectors, rows = self._works.vectors, self._works.rows
            digests = self._columns["sha256"][rows]
            other = (self._works.artist == self._works.artist[work]) & (digests != digests[work]).any(axis=1)
            places = np.flatnonzero(other)
            if len(places):
                near = similarities(vectors[[work]], vectors[places], names=("works", "works"))[0]
                places = places[np.argsort(-near, kind="stable")[:SERIES]]
            alike = [self._alike(int(rows[place]), int(rows[work])) for place in places]
            known = [value for value in alike if value < SAME_WORK]
            self._series[work] = max(known, default=float("nan"))
        return self._series[work]

    def _alike(self, a: int, b: int) -> float:
        left, right = self._look(a), self._look(b)
        return float("nan") if left is None or right is None else composition(left, right)

    def _look(self, row: int) -> npt.NDArray[np.uint8] | None:
        if row not in self._seen:
            try:
                data = read_bytes(str(self._folder / self._columns["path"][row]))
                self._seen[row] = picture_of(data, _LOOK).pixels.numpy()
            except (OSError, BadPicture):
                self._seen[row] = None  # gone or moved since: what the vectors say stands
        return self._seen[row]
