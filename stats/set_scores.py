"""From ranks of imitations to what the tests compare: exact sums over sets of imitations.

Every picture that a release made of one name is one *set*: of a tested artist, of a background artist, or of a
placebo name. Artists and sets share one numbering: set ``a`` is what was made of the name of artist ``a``.
A placebo is a number that has a set and no works.

Ranks come in blocks, so that the matrix of works by imitations need never be held. They come as whole numbers,
twice the midrank from below, and are added up as whole numbers: equal sets tie exactly, whatever the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from imindex.stats.keyed import Rngs, one_each

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

SHARE_OF_SETS = 0.9
"""Sets are compared at the largest size that this share of them has."""


@dataclass(frozen=True, eq=False)
class SetScores:
    """How near each set of imitations is to each artist's works. W works, A artists (and as many sets).

    Attributes
    ----------
    own : tuple of A ndarrays, shape (n_works, n_imitations), float64
        For each work of the artist and each own imitation: the share of the others' imitations that are further
        from the work, ties one half. Its mean is the artist's AUC. Empty without works, imitations or others.
    per_work : ndarray, shape (W, A), float64
        Mean rank percentile (1 the nearest, 0 the furthest) of each whole set, for each work. NaN: no such set.
    sizes : ndarray, shape (A,), int64
        How many imitations the artist's own set is compared at; 0 without works or imitations.
    sums : mapping from size to ndarray, shape (A, A), int64
        Row a, column s: sum over the works of a, and over that many imitations of set s (drawn at random, the
        same for all rows), of twice the midrank from below. -1 where the set is smaller or a has no works.
    designs : mapping from size to ndarray, shape (A,), int64
        Sets with one number have, in what is compared of them, as many prompts and as many pictures of each. -1
        where the set is smaller. Only such sets can be exchangeable.
    n_works, n_imitations : ndarray, shape (A,), int64
    work_artist : ndarray, shape (W,), int64
    n_ranked : int
        Imitations in all.
    order : ndarray, shape (M,), int64
        The imitations in the order of the sets; the columns of `own` are those of each set in this order.
    """

    own: tuple[Float64, ...]
    per_work: Float64
    sizes: Int64
    sums: dict[int, Int64]
    designs: dict[int, Int64]
    n_works: Int64
    n_imitations: Int64
    work_artist: Int64
    n_ranked: int
    order: Int64

    @property
    def auc(self) -> Float64:
        """Each artist's AUC, shape (A,); NaN where `own` is empty."""
        return np.array([cell.mean() if cell.size else np.nan for cell in self.own])

    def percentiles(self, size: int) -> Float64:
        """`sums` of that size as mean rank percentiles, shape (A, A); NaN where there are none."""
        sums = self.sums[size]
        pairs = np.maximum(self.n_works[:, None] * size, 1)
        return np.where(sums >= 0, (sums / pairs - 1) / (2 * self.n_ranked), np.nan)


def twice_midranks(similarity: npt.ArrayLike) -> Int64:
    """Rank the columns of each row, as `collect` takes them.

    Parameters
    ----------
    similarity : array_like, shape (W, M)
        Higher is nearer. Any monotone transform gives the same.

    Returns
    -------
    ndarray, shape (W, M), int64
        Twice the rank from below: 2 is the furthest, 2 M the nearest, ties at their mean.

    Raises
    ------
    ValueError
        Not a matrix, or a value is NaN.

    Examples
    --------
    >>> twice_midranks([[0.1, 0.9, 0.1]]).tolist()
    [[3, 6, 3]]
    """
    array = np.asarray(similarity)
    if array.ndim != 2:
        raise ValueError(f"similarity: expected works x imitations, not the shape {array.shape}.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError("similarity: a value is NaN. Encode the picture again, or leave it out.")
    ranks: Float64 = stats.rankdata(array, axis=1)
    return np.rint(2 * ranks).astype(np.int64)


class Collector:
    """Sums up ranks over sets, block by block; `collect` does it for blocks that are there already.

    Parameters
    ----------
    work_artist : array_like, shape (W,), integers below n_artists
    imitation_artist : array_like, shape (M,), integers below n_artists
        The artist, or placebo name, that was in the prompt.
    n_artists : int
    prompt : array_like, shape (M,), optional
        The prompt of each imitation: a set is subsampled by whole prompts, as far as that goes.
    rng : sequence of n_artists generators, generator or int, optional
        Chooses which imitations stand for a set that is larger than it is compared at. Set ``s`` is shuffled by
        ``rng[s]`` alone, so other sets do not change its order; one generator or seed is spawned per set.

    Raises
    ------
    ValueError
        No works or no imitations; numbers out of range.

    Notes
    -----
    Sets are exchangeable at equal size only: a mean over 5 imitations varies more than one over 50. So all are
    compared at the largest size that nine of ten sets have; larger sets are subsampled, smaller ones are no
    reference; and an artist with a smaller own set is compared at that size, with everybody subsampled to it.

    Pictures of one prompt are alike, so 20 pictures of 4 prompts vary more than 20 of 20: hence whole prompts. Sets
    that then still differ in how many pictures each prompt has are told apart by `SetScores.designs`.
    """

    def __init__(
        self,
        work_artist: npt.ArrayLike,
        imitation_artist: npt.ArrayLike,
        n_artists: int,
        *,
        prompt: npt.ArrayLike | None = None,
        rng: Rngs = None,
    ) -> None:
        self._maker = _labels(work_artist, n_artists, "works")
        imitated = _labels(imitation_artist, n_artists, "imitations")
        self._n_works, self._n_imitations = (
            np.bincount(labels, minlength=n_artists) for labels in (self._maker, imitated)
        )
        self._m = m = len(imitated)
        # Columns in the order of their sets, within a set at random: the first so many are the subsample.
        self.order, self._cluster = _shuffled(imitated, prompt, one_each(rng, n_artists))
        self._present = np.flatnonzero(self._n_imitations)
        sizes_here = self._n_imitations[self._present]
        self._starts = np.concatenate([[0], np.cumsum(sizes_here)[:-1]])
        tested = (self._n_works > 0) & (self._n_imitations > 0)
        self._sizes = np.where(tested, np.minimum(self._n_imitations, common_size(self._n_imitations)), 0)
        self._bounds = {
            int(size): _bounds(self._starts, sizes_here, int(size)) for size in np.unique(self._sizes[tested])
        }
        self._sums = {size: np.zeros((n_artists, n_artists), np.int64) for size in self._bounds}
        self._per_work = np.full((len(self._maker), n_artists), np.nan)
        counts = zip(self._n_works, self._n_imitations, strict=True)
        self._own = [np.empty((n, k if 0 < k < m else 0)) for n, k in counts]
        self._filled = np.zeros(n_artists, np.int64)

    def add(self, rows: Any, ranks: npt.NDArray[Any]) -> None:
        """Add the ranks of some works.

        Parameters
        ----------
        rows : slice or array_like of int
            Which works; each comes once.
        ranks : array_like, shape (rows, M), integers
            Twice the midrank from below of each imitation among all (see `twice_midranks`).
        """
        block = np.asarray(ranks)[:, self.order]
        numbers = np.arange(len(self._maker))[rows]
        totals = np.add.reduceat(block, self._starts, axis=1, dtype=np.int64)
        means = totals / self._n_imitations[self._present]
        self._per_work[numbers[:, None], self._present] = (means - 1) / (2 * self._m)
        for artist in np.unique(self._maker[numbers]).tolist():
            here = block[self._maker[numbers] == artist]
            columns = here.sum(axis=0, dtype=np.int64)
            for size, (enough, places) in self._bounds.items():
                self._sums[size][artist, self._present[enough]] += np.add.reduceat(columns, places)[::2]
            self._add_own(artist, here)

    def _add_own(self, artist: int, here: npt.NDArray[Any]) -> None:
        n = self._n_imitations[artist]
        upto = self._filled[artist] + len(here)
        if self._own[artist].size:
            start = self._starts[np.searchsorted(self._present, artist)]
            cell = here[:, start : start + n].astype(np.int64)
            further = cell - np.rint(2 * stats.rankdata(cell, axis=1))
            self._own[artist][self._filled[artist] : upto] = further / (2 * (self._m - n))
        self._filled[artist] = upto

    def _designs(self, size: int) -> Int64:
        """Number the ways in which that many pictures of a set are spread over prompts."""
        found: dict[tuple[int, ...], int] = {}
        out = np.full(len(self._n_works), -1)
        for name, start in zip(self._present.tolist(), self._starts.tolist(), strict=True):
            if self._n_imitations[name] >= size:
                _, pictures = np.unique(self._cluster[start : start + size], return_counts=True)
                out[name] = found.setdefault(tuple(sorted(pictures.tolist())), len(found))
        return out

    def finish(self) -> SetScores:
        """Return what was summed up.

        Raises
        ------
        ValueError
            Works are missing, or came twice.
        """
        wrong = np.flatnonzero(self._filled != self._n_works)
        if len(wrong):
            got, wanted = self._filled.sum(), self._n_works.sum()
            raise ValueError(f"ranks of {got} works were added, and there are {wanted}. Add every work once.")
        for size, matrix in self._sums.items():
            matrix[(self._n_works == 0)[:, None] | (self._n_imitations < size)[None, :]] = -1
        return SetScores(
            tuple(self._own), self._per_work, self._sizes, self._sums,
            {size: self._designs(size) for size in self._sums},
            self._n_works, self._n_imitations, self._maker, self._m, self.order,
        )  # fmt: skip


def _shuffled(
    imitated: Int64, prompt: npt.ArrayLike | None, rngs: Sequence[np.random.Generator]
) -> tuple[Int64, Int64]:
    """The columns set by set, each set shuffled by its own generator, and a number for the prompt of each column.

    Within a set the prompts are shuffled, and the pictures of each prompt. Numbers are of one set only.
    """
    labels = np.arange(len(imitated)) if prompt is None else np.asarray(prompt)
    if labels.shape != imitated.shape:
        raise ValueError(
            f"prompt: expected {len(imitated)} labels, one an imitation, not the shape {labels.shape}."
        )
    by_set = np.argsort(imitated, kind="stable")
    ends = np.cumsum(np.bincount(imitated))
    order, clusters = np.empty_like(by_set), np.empty_like(by_set)
    for name in np.unique(imitated).tolist():
        here = slice(ends[name - 1] if name else 0, ends[name])
        rows, random = by_set[here], rngs[name]
        if prompt is None:
            places, cluster = random.permutation(len(rows)), np.arange(len(rows))
        else:
            cluster = np.unique(labels[rows], return_inverse=True)[1]
            place = random.permutation(int(cluster.max()) + 1)[cluster]
            places = np.lexsort((random.permutation(len(rows)), place))
        order[here], clusters[here] = rows[places], cluster[places]
    return order, clusters


def collect(
    blocks: Iterable[tuple[Any, npt.NDArray[Any]]],
    work_artist: npt.ArrayLike,
    imitation_artist: npt.ArrayLike,
    n_artists: int,
    *,
    prompt: npt.ArrayLike | None = None,
    rng: Rngs = None,
) -> SetScores:
    """Sum up ranks over sets.

    Parameters
    ----------
    blocks : iterable of (rows, ranks)
        As `Collector.add` takes them.
    work_artist, imitation_artist, n_artists, prompt, rng
        As `Collector`.

    Returns
    -------
    SetScores

    Raises
    ------
    ValueError
        No works or no imitations; numbers out of range; works that are missing from the blocks.

    Examples
    --------
    >>> ranks = twice_midranks([[0.9, 0.8, 0.1, 0.2], [0.1, 0.3, 0.8, 0.7]])
    >>> found = collect([(slice(0, 2), ranks)], [0, 1], [0, 0, 1, 1], 2, rng=1)
    >>> found.auc.tolist(), found.sums[2].tolist()
    ([1.0, 1.0], [[14, 6], [6, 14]])
    """
    collector = Collector(work_artist, imitation_artist, n_artists, prompt=prompt, rng=rng)
    for rows, ranks in blocks:
        collector.add(rows, ranks)
    return collector.finish()


def common_size(n_imitations: Int64) -> int:
    """The largest size that nine of ten of the sets have; 0 where there are none.

    Examples
    --------
    >>> common_size(np.array([100, 100, 20, 0]))
    20
    """
    sizes = np.sort(n_imitations[n_imitations > 0])
    return int(sizes[int(np.floor((1 - SHARE_OF_SETS) * len(sizes) + 1e-9))]) if len(sizes) else 0


def _bounds(starts: Int64, counts: Int64, size: int) -> tuple[Int64, Int64]:
    """Sets that have as many, and begin and end of the subsample of each, as `reduceat` takes them."""
    enough = np.flatnonzero(counts >= size)
    places = np.stack([starts[enough], starts[enough] + size], axis=1).ravel()
    return enough, places[:-1] if places[-1] >= counts.sum() else places


def _labels(labels: npt.ArrayLike, n_artists: int, what: str) -> Int64:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{what}: none given, so there is nothing to test. Add {what} to the index.")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n_artists:
        raise ValueError(f"{what}: the artists' numbers must be integers from 0 to {n_artists - 1}.")
    return array.astype(np.int64)
