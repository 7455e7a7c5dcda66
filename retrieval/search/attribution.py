"""Attribution of pictures to artists by conformal prediction. What depends on works alone is computed once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.store.index import Index
from imindex.indexer.system.cpu import in_background, products_alone
from imindex.retrieval.results import AttributedArtist, Attribution
from imindex.retrieval.search.digests import Digests
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.near_duplicates import linked, near_duplicate_threshold, rows_by_artist
from imindex.retrieval.vectors.rough import ERROR, RoughTable
from imindex.retrieval.vectors.select import Pictures, distinct, same_pictures_at
from imindex.retrieval.vectors.similarity import Widened, similarities
from imindex.stats.conformal import (
    NEIGHBOURS,
    TIE,
    conformal_attribution,
    conformal_decision,
    no_better,
)
from imindex.stats.duplicates import Links

_KEPT = NEIGHBOURS + 1
"""Number of cosines to nearest others that are kept of each work: one more than count, in case one is excluded."""
_AT_ONCE = 2_000
"""Up to this many works are compared with each other while a query waits: it takes some tenths of a second."""
_PARTITION_BYTES = 2**26
"""Size of the cosines that are partitioned at a time."""


def attribute(
    index: Index, vector: Float16, digest: bytes, works: npt.NDArray[np.bool_], confidence_level: float = 0.95
) -> Attribution:
    """Compute the set of artists among whose works a picture does not stand out; see `Attributions`, for many pictures.

    Parameters
    ----------
    index : Index
    vector : ndarray, shape (d,), float16
    digest : bytes
        SHA-256 of the picture. Works with these bytes are the picture itself and are excluded. Empty if unknown.
    works : ndarray, shape (n,), bool
        Rows that count as works.
    confidence_level : float

    Returns
    -------
    Attribution
        `set` contains the artists with p above 1 - level, best fit first. Copies of a picture under one artist count
        as one work.
    """
    known = Attributions(index, works, index.column("artist"), Digests(index.column("sha256")))
    return known.attribute(vector, digest, confidence_level)


class Attributions:
    """The works among which pictures may stand out, compared with each other once, for many pictures and threads.

    The threshold of near-duplicates rests on all works, those with the bytes of the picture as well.

    Parameters
    ----------
    index : Index
        The vectors and artists are kept, and need not stay open.
    works : ndarray, shape (n,), bool
        Rows that count as works.
    artist : ndarray, shape (n,), integers
        The column artist of the index.
    digests : Digests
        Those of the files.
    """

    def __init__(
        self,
        index: Index,
        works: npt.NDArray[np.bool_],
        artist: npt.NDArray[np.integer[Any]],
        digests: Digests,
    ):
        self._vectors, self._names = index.vectors, index.artists
        self._works, self._digests = works, digests
        self._rows = np.flatnonzero(works & (artist >= 0))
        self._artist = artist[self._rows].astype(np.int64)
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._compared: _Compared | None = None
        self._failed = False

    @property
    def is_ready(self) -> bool:
        """Whether a picture is attributed without a wait, or with one of some tenths of a second."""
        return self._compared is not None or self._failed or len(self._rows) <= _AT_ONCE

    def start(self) -> None:
        """Compare the works in a thread that gives way to others, unless that is done or under way."""
        with self._starting:
            if self._thread is None and not self.is_ready:
                self._thread = threading.Thread(target=self._compare_in_background, daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Compare the works, unless that is done; wait for it if it is under way."""
        self._among()

    def attribute(
        self,
        vector: Float16,
        digest: bytes,
        confidence_level: float = 0.95,
        *,
        rough: npt.NDArray[np.float32] | None = None,
    ) -> Attribution:
        """Compute the set of artists among whose works a picture does not stand out, by conformal prediction.

        Parameters
        ----------
        vector : ndarray, shape (d,), float16
        digest : bytes
            SHA-256 of the picture. Works with these bytes are the picture itself and are excluded. Empty if unknown.
        confidence_level : float
        rough : ndarray, shape (n,), float32, optional
            Rough cosines of the picture to all rows (`imindex.retrieval.vectors.rough`), if they are known.

        Returns
        -------
        Attribution
            `set` contains the artists with p above 1 - level, best fit first. Copies of a picture under one artist
            count as one work.

        Raises
        ------
        BadVectors
            If a vector is not a finite unit vector.
        """
        check_vectors(vector[None], "queries")
        itself = self._digests.rows(digest)
        found: list[tuple[int, _Fit]] = []
        if len(self._rows):
            among = self._among()
            fits = among.fits(vector, rough)
            found = [
                (
                    artist,
                    _Fit(
                        int(fits.n_no_better[a]), float(fits.score[a]), int(among.n[a]), int(among.n_works[a])
                    ),
                )
                for a, artist in enumerate(among.artists.tolist())
            ]
            for a, removed in among.without(itself).items():
                found[a] = (found[a][0], self._fit_without(among, a, removed, vector, found[a][1]))
        found = [(artist, fit) for artist, fit in found if fit.n_works]
        n_distinct = np.array([fit.n_distinct for _, fit in found], np.int64)
        decided = conformal_decision(
            np.array([fit.n_no_better for _, fit in found], np.int64),
            n_distinct,
            np.ones(len(found), np.bool_),
            confidence_level,
        )
        attributed = [
            AttributedArtist(
                artist=self._names[artist],
                p=decided.pvalue[place],
                n_works=fit.n_works,
                n_distinct_works=fit.n_distinct,
                smallest_p=decided.resolution[place],
                excludable=bool(decided.excludable[place]),
                in_set=bool(decided.in_set[place]),
                score=fit.score,
            )
            for place, (artist, fit) in enumerate(found)
        ]
        attributed.sort(key=lambda a: (-(a.p or 0.0), -(a.score or 0.0), a.artist))
        return Attribution(
            confidence_level=confidence_level,
            n_itself=int(np.count_nonzero(self._works[itself])),
            set=tuple(a.artist for a in attributed if a.in_set),
            artists=tuple(attributed),
        )

    def _among(self) -> _Compared:
        with self._lock:
            if self._compared is None:
                try:
                    self._compared = compare(self._vectors, self._rows, self._artist)
                except BaseException:
                    self._failed = True
                    raise
            return self._compared

    def _compare_in_background(self) -> None:
        with contextlib.suppress(Exception), in_background(), products_alone():
            self._among()  # an exception is raised again for the next picture

    def _fit_without(
        self, among: _Compared, a: int, removed: Int64, vector: Float16, unchanged: _Fit
    ) -> _Fit:
        """Return the fit to the works of an artist from which some rows are removed."""
        whether = among.loses(removed)
        if whether is None:
            own = among.rows_of(a)
            own = own[~np.isin(own, removed)]
            return self._fit_anew(own, vector, among.threshold)
        if not len(whether):
            return unchanged
        if unchanged.n_works == 1:
            return _Fit(0, float("nan"), 0, 0)
        count, score = among.fit_of(a, vector, dropped=int(whether[0]))
        return _Fit(count, score, unchanged.n_distinct - 1, unchanged.n_works - 1)

    def _fit_anew(self, rows: Int64, vector: Float16, threshold: float) -> _Fit:
        """Return the fit to works that are compared with each other now."""
        if not len(rows):
            return _Fit(0, float("nan"), 0, 0)
        vectors = np.asarray(self._vectors[rows])
        works = distinct(Pictures(rows, vectors, np.zeros(len(rows), np.int64)))[0].vectors
        result = conformal_attribution(
            similarities(vector[None], works)[0],
            similarities(works, works),
            np.zeros(len(works), np.int64),
            1,
            cluster=linked(works, threshold),
        )
        n = int(result.n_distinct[0])
        return _Fit(round(float(result.pvalue[0]) * (n + 1)), float(result.score[0]), n, len(works))


class _Fit(NamedTuple):
    """How a picture fits the works of an artist.

    Of the distinct works and the picture, `n_no_better` fit no better than the picture, whose fit is `score`.
    """

    n_no_better: int
    score: float
    n_distinct: int
    n_works: int


class _Fits(NamedTuple):
    n_no_better: Int64
    score: Float64


class _Compared:
    """Works, compared with each other: R works of A artists, of which F are each the first of a cluster.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
    threshold : float
        The cosine above which two works by one artist are near-duplicates.
    rows, row_artist : ndarray, shape (R,), int64
        The rows of all works, ascending, and their artists.
    same, n_same, cluster, n_cluster : ndarray, shape (R,), int64
        For each work, the row that represents all works with its vector and artist, the number of these, the row of the
        first work of its cluster, and the number of distinct works in the cluster.
    artists, n_works : ndarray, shape (A,), int64
        Numbers of the artists, ascending, and their numbers of distinct works.
    starts : ndarray, shape (A + 1,), int64
        Where the first works of each artist start and end.
    firsts : ndarray, shape (F,), int64
        Rows of the first works, by artist and row.
    nearest : ndarray, shape (F, _KEPT), float64
        Exact cosines of each first work to the nearest others of its artist, ascending; -inf if there are fewer.
    """

    def __init__(  # noqa: PLR0913 - arrays that belong together
        self,
        vectors: Any,
        threshold: float,
        rows: Int64,
        row_artist: Int64,
        same: Int64,
        n_same: Int64,
        cluster: Int64,
        n_cluster: Int64,
        artists: Int64,
        n_works: Int64,
        starts: Int64,
        firsts: Int64,
        nearest: Float64,
    ):
        self.threshold, self.artists, self.n_works = threshold, artists, n_works
        self._rows, self._row_artist = rows, row_artist
        self._same, self._n_same, self._cluster, self._n_cluster = same, n_same, cluster, n_cluster
        self._starts, self._firsts, self._nearest = starts, firsts, nearest
        self.n = np.diff(starts)
        """Number of first works of each artist."""
        self._table = RoughTable(vectors, firsts)
        self._k = np.minimum(NEIGHBOURS, self.n)
        self._artist = np.repeat(np.arange(len(artists), dtype=np.int32), self.n)
        k = self._k[self._artist]
        # The fit of a work is the mean of its k highest cosines, of which the picture may replace the lowest.
        self._low = nearest[np.arange(len(nearest)), _KEPT - k]
        self._rest = np.zeros(len(nearest))
        for place in range(1, NEIGHBOURS):
            self._rest[place < k] += nearest[place < k, _KEPT - place]
        self._base = (self._rest + self._low) / k
        self._low_rough = (self._low - 1.01 * ERROR).astype(np.float32)
        self._buckets = list(_buckets(starts))

    def rows_of(self, a: int) -> Int64:
        """Return the rows of all works of an artist, given the position of the artist."""
        return np.asarray(self._rows[self._row_artist == self.artists[a]])

    def without(self, rows: Int64) -> dict[int, Int64]:
        """Return the rows that are works, by the position of the artist."""
        if not len(rows):
            return {}
        place = np.searchsorted(self._rows, rows).clip(max=len(self._rows) - 1)
        place = place[self._rows[place] == rows]
        artist = np.searchsorted(self.artists, self._row_artist[place])
        return {int(a): self._rows[place[artist == a]] for a in np.unique(artist)}

    def loses(self, removed: Int64) -> Int64 | None:
        """Return the row of the distinct work that an artist loses with some rows, if any; None if more changes."""
        place = np.searchsorted(self._rows, removed)
        lost = []
        for row in np.unique(self._same[place]).tolist():
            at = place[self._same[place] == row]
            vanishes = len(at) == self._n_same[at[0]]
            in_series = self._n_cluster[at[0]] > 1
            if in_series and (vanishes or row in removed):
                return None
            if vanishes:
                lost.append(row)
        return np.array(lost, np.int64) if len(lost) <= 1 else None

    def fits(self, vector: Float16, rough_of_all: npt.NDArray[np.float32] | None = None) -> _Fits:
        """Return the fit of a picture to the works of each artist, optionally given its rough cosines to all rows."""
        cosines: npt.NDArray[Any]
        cosines = self._table.rough(vector) if rough_of_all is None else rough_of_all[self._firsts]
        places = self._highest(cosines)
        exact = self._table.exact(vector, places)
        if not np.abs(cosines[places] - exact).max() <= ERROR:  # a PyTorch that sums otherwise
            cosines = self._table.exact(vector)
            places = self._highest(cosines)
            exact = cosines[places]
        score = self._scores(places, exact)
        own = score[self._artist]
        may_change = cosines > self._low_rough
        difference = self._base - own
        doubtful = (difference > TIE / 2) & (difference < 2 * TIE) & ~may_change
        count = 1 + np.add.reduceat((difference <= TIE) & ~may_change, self._starts[:-1], dtype=np.int64)
        changing = np.flatnonzero(may_change)
        k = self._k[self._artist[changing]]
        rough = (self._rest[changing] + np.maximum(self._low[changing], cosines[changing])) / k
        near = np.abs(rough - own[changing]) <= 1.01 * ERROR
        count += self._per_artist(changing[~near & (rough < own[changing])])
        changing, k = changing[near], k[near]
        exact = self._table.exact(vector, changing)
        fit = (self._rest[changing] + np.maximum(self._low[changing], exact)) / k - own[changing]
        count += self._per_artist(changing[fit <= TIE])
        doubtful[changing[(fit > TIE / 2) & (fit < 2 * TIE)]] = True
        if doubtful.any():
            for a in np.unique(self._artist[doubtful]).tolist():
                count[a], score[a] = self.fit_of(a, vector)
        return _Fits(count, score)

    def fit_of(self, a: int, vector: Float16, *, dropped: int | None = None) -> tuple[int, float]:
        """Return count and score for an artist, optionally without one of the first works, given its row."""
        places = np.arange(self._starts[a], self._starts[a + 1])
        nearest = self._nearest[places]
        cosines = self._table.exact(vector, places)
        if dropped is not None:
            place = int(np.searchsorted(self._firsts[places], dropped))
            kept = np.arange(len(places)) != place
            gone = self._table.exact(self._table.vectors(places[place : place + 1])[0], places)[kept]
            nearest, cosines = _without_one(nearest[kept], gone), cosines[kept]
        k = min(NEIGHBOURS, len(cosines))
        counted = nearest[:, _KEPT - k :]
        fits = (counted[:, 1:].sum(axis=1) + np.maximum(counted[:, 0], cosines)) / k
        own = float(np.sort(cosines)[len(cosines) - k :].sum() / k)
        return no_better(fits, own) + 1, own

    def _highest(self, cosines: npt.NDArray[Any]) -> Int64:
        """Return the first works that may be among the k nearest of each artist."""
        padded = np.append(cosines, -np.inf)
        found = []
        for positions in self._buckets:
            table = padded[positions]
            k_th = np.partition(table, table.shape[1] - NEIGHBOURS, axis=1)[:, -NEIGHBOURS, None]
            found.append(positions[table >= k_th - 2.02 * ERROR])
        places = np.concatenate(found).astype(np.int64)
        return places[places < len(cosines)]

    def _scores(self, places: Int64, exact: Float64) -> Float64:
        """Return the mean of the k highest cosines of each artist. Sums of so few exact cosines are exact."""
        artist = self._artist[places]
        order = np.lexsort((exact, artist))
        artist, exact = artist[order], exact[order]
        ends = np.cumsum(np.bincount(artist, minlength=len(self.artists)))
        counts = ends[artist] - 1 - np.arange(len(artist)) < self._k[artist]
        sums = np.bincount(artist[counts], exact[counts], minlength=len(self.artists))
        return np.asarray(sums / self._k)

    def _per_artist(self, places: Int64) -> Int64:
        return np.bincount(self._artist[places], minlength=len(self.artists))


def compare(vectors: Any, rows: Int64, row_artist: Int64) -> _Compared:
    """Compare works with each other.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
        An array, or several files' or a remote file's vectors. Few of them are held at a time.
    rows, row_artist : ndarray, shape (R,), int64
        Rows of the works, ascending, and their artists. At least one.
    """
    dim = int(vectors.shape[1])
    same = same_pictures_at(lambda at: np.asarray(vectors[rows[at]]), row_artist, dim)
    known, of_known, n_same = np.unique(same, return_inverse=True, return_counts=True)
    artist = row_artist[known]
    threshold = near_duplicate_threshold(lambda at: np.asarray(vectors[rows[known[at]]]), artist, dim)
    cluster, firsts, nearest = np.empty(len(known), np.int64), [], []
    by_artist = rows_by_artist(artist)
    for own in by_artist:
        its_cluster, its_nearest = _compare_works(np.asarray(vectors[rows[known[own]]]), threshold)
        cluster[own] = own[its_cluster]
        firsts.append(own[np.unique(its_cluster)])
        nearest.append(its_nearest)
    n_cluster = np.bincount(cluster, minlength=len(known))[cluster]
    return _Compared(
        vectors,
        threshold,
        rows,
        row_artist,
        same=rows[same],
        n_same=n_same[of_known],
        cluster=rows[known[cluster[of_known]]],
        n_cluster=n_cluster[of_known],
        artists=np.array([artist[own[0]] for own in by_artist], np.int64),
        n_works=np.array([len(own) for own in by_artist], np.int64),
        starts=np.cumsum([0, *map(len, firsts)]),
        firsts=rows[known[np.concatenate(firsts)]],
        nearest=np.concatenate(nearest),
    )


def _compare_works(works: Float16, threshold: float) -> tuple[Int64, Float64]:
    """Return the clusters of an artist's works, and for the first of each the highest cosines to the other firsts."""
    links = Links(len(works))
    nearest = _highest_cosines(works, lambda some, cosines: links.add(*_above(some, cosines, threshold)))
    cluster = links.finish()
    first = np.unique(cluster)
    return cluster, nearest if len(first) == len(works) else _highest_cosines(works[first])


def _above(some: slice, cosines: Float64, threshold: float) -> tuple[Int64, Int64]:
    first, second = np.nonzero(cosines > threshold)
    return some.start + first, second


def _highest_cosines(
    works: Float16, observe: Callable[[slice, Float64], None] = lambda some, cosines: None
) -> Float64:
    """Return the `_KEPT` highest cosines of each work to the others, ascending; -inf if there are fewer."""
    n, wide = len(works), Widened(works)
    highest = np.full((n, _KEPT), -np.inf)
    kept = min(_KEPT, n)
    for some in blocks(n, n):
        cosines = wide.product(works[some].astype(np.float64))
        cosines[np.arange(len(cosines)), np.arange(some.start, some.stop)] = -np.inf
        observe(some, cosines)
        highest[some, _KEPT - kept :] = np.sort(
            np.partition(cosines, n - kept, axis=1)[:, n - kept :], axis=1
        )
    return highest


def _without_one(nearest: Float64, gone: Float64) -> Float64:
    """Take one cosine out of the highest of each work, if it is among them."""
    is_gone = nearest == gone[:, None]
    work = np.flatnonzero(is_gone.any(axis=1))
    rest = nearest.copy()
    rest[work, is_gone[work].argmax(axis=1)] = -np.inf
    return np.asarray(np.sort(rest, axis=1))


def _buckets(starts: Int64) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the positions of the first works of artists with similar numbers of them, shape (artists, width).

    They are padded with the number of all first works.
    """
    n = np.diff(starts)
    width = 2 ** np.ceil(np.log2(np.maximum(n, 2 * NEIGHBOURS))).astype(np.int64)
    for size in np.unique(width).tolist():
        members = np.flatnonzero(width == size)
        for some in blocks(len(members), size, _PARTITION_BYTES):
            chosen = members[some]
            positions = starts[chosen][:, None] + np.arange(size)
            positions[np.arange(size) >= n[chosen][:, None]] = starts[-1]
            yield positions.astype(np.int32)
