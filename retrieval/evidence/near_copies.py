"""Near-copies: imitations that reproduce one work, as distinct from imitations of an artist's style."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.match.nearest_works import NearestWorks
from imindex.retrieval.match.similarity_pass import Columns, Watch, walk
from imindex.retrieval.results import Copies, CopyPair
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_pair

COMPOSITION = 0.8
"""Minimum correlation of the pixels at which a candidate may have the work's composition."""
SAME_WORK = 0.98
"""Works with at least this correlation are the same work (two scans, two encodings), and not evidence of a series."""
NEAREST = 5
"""Maximum number of works that each imitation is compared with, all at or above the threshold."""
SERIES = 50
"""Maximum number of the artist's other works that a work is compared with, nearest first."""
MOST = 200
"""Number of pairs to list per release: all near-copies, then the nearest other candidates. All pairs are compared."""
TOGETHER = 256
"""Number of imitations whose pictures are read at a time."""


def nearest_works(imitations: Float16, works: Float16, k: int = NEAREST) -> tuple[Int64, Float64]:
    """Find the k nearest works of each imitation, and their cosines.

    Parameters
    ----------
    imitations : ndarray, shape (m, d), float16, unit norm
    works : ndarray, shape (w, d), float16, unit norm

    Returns
    -------
    work : ndarray, shape (m, min(k, w)), int64
        Nearest first; ties are ordered by number.
    cosine : ndarray, of that shape, float64
    """
    imitations, works = check_pair(imitations, works, ("imitations", "works"))
    n_works = len(works)
    observer = NearestWorks(np.arange(len(imitations)), min(k, n_works))
    columns = Columns.of(imitations, np.zeros(len(imitations), np.int64), 1)
    walk(works, np.zeros(n_works, np.int64), [columns], [Watch(observer, (0,), np.arange(n_works))])
    return observer.finish()


def composition(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Compute Pearson's correlation of the pixels of two small pictures, or of one and the other mirrored if higher.

    Each channel is centred separately, so a common colour does not contribute. Pictures that share only a style have
    a correlation near 0, and copies near 1. Cropped or redrawn copies may go undetected.

    Parameters
    ----------
    a, b : ndarray, shape (3, h, w), uint8

    Returns
    -------
    float
        From -1 to 1; 0 if either picture is a single colour.

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


def copies(index: Index, collection: str, threshold: float, *, observed: Observed | None = None) -> Copies:
    """List the imitations of a release that are very near one work of any artist.

    Parameters
    ----------
    index : Index
        Its pictures must still be at their recorded paths.
    collection : str
        The release.
    threshold : float
        Minimum cosine at which a pair of an imitation and its nearest work is a candidate.
    observed : Observed, optional
        The release, if it was observed before, with at least `NEAREST` nearest works.

    Returns
    -------
    Copies
        `pairs` lists the candidates, nearest first. A candidate is a near-copy (`copy`) if it is byte-identical to the
        work; or if its pixels have a correlation with the work's of at least `COMPOSITION`, whose distance from 1 is at
        most half that of the artist's other works (`series`). The second condition is needed because an artist may use
        one composition throughout. Up to `NEAREST` works at or above the threshold are compared with each imitation;
        the pair names the copied work, if any.
    """
    if observed is None:
        observed = observe(Shared(index), [Wanted(collection, nearest=NEAREST)])[collection]
    rows, nearest, cosine = _candidates(observed)
    near = np.flatnonzero(cosine[:, 0] >= threshold)
    near = near[np.lexsort((near, -cosine[near, 0]))]
    compared = _Compared(observed.shared)
    pairs: list[CopyPair] = []
    for start in range(0, len(near), TOGETHER):
        batch = near[start : start + TOGETHER].tolist()
        among = [nearest[place][cosine[place] >= threshold].tolist() for place in batch]
        compared.load(rows[batch].tolist(), among)
        for place, works in zip(batch, among, strict=True):
            candidates = [
                compared.pair(int(rows[place]), work, float(cosine[place, n])) for n, work in enumerate(works)
            ]
            # Of the works that are near enough, list the copied one, or else the nearest.
            best = max(range(len(works)), key=lambda n: (candidates[n].same_bytes, candidates[n].copy, -n))
            pairs.append(candidates[best])
        compared.forget(rows[batch].tolist())
    listed = sorted(range(len(pairs)), key=lambda place: not pairs[place].copy)
    listed = sorted(listed[: max(MOST, sum(pair.copy for pair in pairs))])
    return Copies(
        threshold=threshold,
        composition_threshold=COMPOSITION,
        n_candidates=len(near),
        n_looked_at=len(pairs),
        pairs=tuple(pairs[place] for place in listed),
    )


def _candidates(observed: Observed) -> tuple[Int64, Int64, Float64]:
    """Return the rows of all imitations, their nearest works (positions in `every_work`), and the cosines.

    Repetitions of imitations and works are listed separately.
    """
    assert observed.nearest is not None
    shared, rows = observed.shared, observed.every_row
    known, cosine = observed.nearest.finish()
    column = observed.columns_of(rows)
    k = min(NEAREST, len(shared.every_work.rows))
    members = np.argsort(shared.known_of, kind="stable")
    counts = np.bincount(shared.known_of)
    if counts.max() == 1:
        return rows, members[known[column, :k]], cosine[column, :k]
    ends, distinct_columns = np.cumsum(counts), len(known)
    nearest, cosines = np.empty((distinct_columns, k), np.int64), np.empty((distinct_columns, k))
    for place in range(distinct_columns):
        groups = [members[ends[work] - counts[work] : ends[work]] for work in known[place].tolist()]
        works = np.concatenate(groups)
        near = np.repeat(cosine[place], [len(group) for group in groups])
        order = np.lexsort((works, -near))[:k]
        nearest[place], cosines[place] = works[order], near[order]
    return rows, nearest[column], cosines[column]


class _Compared:
    """Compares imitations with works of an index, pixel by pixel."""

    def __init__(self, shared: Shared):
        self._shared, self._works, self._looks = shared, shared.every_work, shared.looks
        index = shared.index
        self._folder = index.path.parent
        self._columns = {name: index.column(name) for name in ("artist", "path", "prompt", "seed", "sha256")}
        self._artists = index.artists
        self._series = shared.series
        self._digests = self._columns["sha256"][self._works.rows]
        self._near: dict[int, list[int]] = {}

    def load(self, imitations: list[int], works: list[list[int]]) -> None:
        """Read the pictures that are needed to compare imitations (rows) with works (positions)."""
        distinct = sorted({work for candidates in works for work in candidates})
        paths = [*map(self._path, imitations), *(self._path_of_work(work) for work in distinct)]
        for work in distinct:
            if work not in self._series:
                paths += map(self._path_of_work, self._others(work))
        self._looks.load(paths)

    def forget(self, imitations: list[int]) -> None:
        """Remove imitations from the cache."""
        self._looks.forget(map(self._path, imitations))

    def pair(self, imitation: int, work: int, cosine: float) -> CopyPair:
        """Compare an imitation (row) with a work (position)."""
        row = int(self._works.rows[work])
        path, digest = self._columns["path"], self._columns["sha256"]
        same = bytes(digest[imitation]) == bytes(digest[row])
        (correlation,) = self._looks.alike(self._path(imitation), [self._path(row)])
        series = self._among_own(work)
        return CopyPair(
            artist=self._artists[self._columns["artist"][imitation]],
            imitation=path[imitation],
            prompt=self._columns["prompt"][imitation],
            seed=int(self._columns["seed"][imitation]),
            work=path[row],
            work_artist=self._artists[self._columns["artist"][row]],
            cosine=min(cosine, 1.0),
            composition=correlation,
            series=series,
            same_bytes=same,
            copy=same or (correlation >= COMPOSITION and not 1 - correlation > (1 - series) / 2),
        )

    def _among_own(self, work: int) -> float:
        """Return the highest correlation of a work with the artist's other works; NaN if none can be read."""
        if work not in self._series:
            paths = [self._path_of_work(place) for place in self._others(work)]
            correlations = self._looks.alike(self._path_of_work(work), paths) if paths else []
            self._series[work] = max((c for c in correlations if c < SAME_WORK), default=float("nan"))
        return self._series[work]

    def _others(self, work: int) -> list[int]:
        """Return the artist's nearest other works, without files that are identical to this one."""
        if work not in self._near:
            places = np.flatnonzero(self._works.artist == self._works.artist[work])
            places = places[(self._digests[places] != self._digests[work]).any(axis=1)]
            if len(places):
                near = self._shared.similarity_to(work, places)
                places = places[np.argsort(-near, kind="stable")[:SERIES]]
            self._near[work] = places.tolist()
        return self._near[work]

    def _path_of_work(self, work: int) -> str:
        return self._path(int(self._works.rows[work]))

    def _path(self, row: int) -> str:
        return str(self._folder / self._columns["path"][row])
