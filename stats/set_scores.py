"""Exact sums of ranks over sets of imitations, the input of the tests.

All pictures that a release generated from one name form one *set*: that of a tested artist, of a background artist,
or of a placebo name. Artists and sets share one numbering: set ``a`` was generated from the name of artist ``a``. A
placebo has a set but no works.

Ranks are processed in blocks, so that the works x imitations matrix is never held in memory. They are integers (twice
the midrank from below) and are summed as integers, so that equal sets tie exactly, regardless of the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.keyed import Rngs, one_each

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

SHARE_OF_SETS = 0.9
"""Sets are compared at the largest size that this fraction of them reaches."""


@dataclass(frozen=True, eq=False)
class SetScores:
    """Scores of each set of imitations for each artist's works, for W works and A artists (and A sets).

    Attributes
    ----------
    own : tuple of A ndarrays, shape (n_works, n_imitations), float64
        For each work of the artist and each own imitation, the fraction of other artists' imitations that are further
        from the work, ties counting one half. The mean is the artist's AUC. Empty without works, own imitations or
        other imitations.
    per_work : ndarray, shape (W, S), float64
        Mean rank percentile (1 is nearest, 0 is furthest) of each complete set of `present` for each work.
    sizes : ndarray, shape (A,), int64
        Number of imitations at which the artist's own set is compared; 0 without works or imitations.
    sums : mapping from size to ndarray, shape (A, A), int64
        Row a, column s: sum of twice the midrank from below, over the works of a and over `size` imitations of set s
        (a random subset, the same for all rows). -1 if the set is smaller or a has no works.
    designs : mapping from size to ndarray, shape (A,), int64
        Number of the design of each set. The compared parts of sets with equal numbers have equally many prompts, with
        equally many pictures each, and were made with the same templates; only such sets can be exchangeable. -1 if the
        set is smaller.
    n_works, n_imitations : ndarray, shape (A,), int64
    work_artist : ndarray, shape (W,), int64
    n_ranked : int
        Total number of imitations.
    order : ndarray, shape (M,), int64
        The imitations sorted by set. The columns of `own` are those of each set in this order.
    present : ndarray, shape (S,), int64
        The sets that have imitations, ascending.
    counts : mapping from size to ndarray, shape (A,), int64
        As `designs`, but whatever the templates are.
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
    present: Int64
    counts: dict[int, Int64] = field(default_factory=dict)

    def near(self, number: int) -> Float64:
        """Return the mean rank percentile of a set for each work, shape (W,). The set must have imitations."""
        return np.asarray(self.per_work[:, np.searchsorted(self.present, number)])

    @property
    def auc(self) -> Float64:
        """AUC of each artist, shape (A,); NaN if `own` is empty."""
        return np.array([cell.mean() if cell.size else np.nan for cell in self.own])

    def percentiles(self, size: int) -> Float64:
        """Return `sums` of a size as mean rank percentiles, shape (A, A); NaN where undefined."""
        sums = self.sums[size]
        pairs = np.maximum(self.n_works[:, None] * size, 1)
        return np.where(sums >= 0, (sums / pairs - 1) / (2 * self.n_ranked), np.nan)


def twice_midranks(similarity: npt.ArrayLike) -> Int64:
    """Rank the columns of each row, in the format that `collect` expects.

    Parameters
    ----------
    similarity : array_like, shape (W, M)
        Higher is nearer. Monotone transforms do not change the result.

    Returns
    -------
    ndarray, shape (W, M), int64
        Twice the rank from below: 2 is furthest, 2 M is nearest, ties get their mean.

    Raises
    ------
    ValueError
        If `similarity` is not a matrix, or a value is NaN.

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
    ranks: Float64 = scipy.stats.rankdata(array, axis=1)
    return np.rint(2 * ranks).astype(np.int64)


class Sets:
    """The sets of imitations, and the part of each that is compared.

    Parameters
    ----------
    imitation_artist : array_like, shape (M,), integers below n_artists
        The artist, or placebo name, in the prompt.
    n_artists : int
    compared : array_like, shape (A,), bool
        Artists whose own sets are compared with others.
    prompt, template, rng
        As in `Collector`.

    Attributes
    ----------
    n_imitations : ndarray, shape (A,), int64
        Number of imitations of each set.
    sizes : ndarray, shape (A,), int64
        Number of imitations at which an artist's own set is compared; 0 without imitations, or if it is not compared.
    compared_sizes : list of int
        The different sizes, ascending.
    order : ndarray, shape (M,), int64
        The imitations sorted by set, in random order within each set: the first ones are compared.
    present, starts : ndarray, int64
        Sets that have imitations, and the position of the first of these in `order`.
    """

    def __init__(
        self,
        imitation_artist: npt.ArrayLike,
        n_artists: int,
        *,
        compared: npt.ArrayLike,
        prompt: npt.ArrayLike | None = None,
        template: npt.ArrayLike | None = None,
        rng: Rngs = None,
    ) -> None:
        imitated = _labels(imitation_artist, n_artists, "imitations")
        self.n_imitations: Int64 = np.bincount(imitated, minlength=n_artists)
        self.order, self._cluster = _shuffled(imitated, prompt, one_each(rng, n_artists))
        labels = np.zeros(len(imitated), np.int64) if template is None else np.asarray(template)
        if labels.shape != imitated.shape:
            raise ValueError(
                f"template: expected {len(imitated)} labels, one per imitation, not the shape {labels.shape}."
            )
        self._template = labels[self.order]
        self.present = np.flatnonzero(self.n_imitations)
        self.starts = np.concatenate([[0], np.cumsum(self.n_imitations[self.present])[:-1]])
        tested = np.asarray(compared, np.bool_) & (self.n_imitations > 0)
        self.sizes = np.where(tested, np.minimum(self.n_imitations, common_size(self.n_imitations)), 0)
        self.compared_sizes: list[int] = np.unique(self.sizes[tested]).tolist()

    def places(self) -> Int64:
        """Return the position of each imitation in its set, shape (M,): a size compares those below it."""
        places = np.empty(len(self.order), np.int64)
        places[self.order] = np.arange(len(self.order)) - np.repeat(
            self.starts, self.n_imitations[self.present]
        )
        return places

    def designs(self, size: int, *, templates: bool = True) -> Int64:
        """Number the ways in which `size` pictures of a set are distributed over prompts, and over templates.

        If a set has more pictures, a random part of it is compared: all that counts then is which templates it has.

        Returns
        -------
        ndarray, shape (A,), int64
            Sets with the same design have the same number; -1 if a set is smaller.
        """
        designs: dict[Any, int] = {}
        out = np.full(len(self.n_imitations), -1)
        large = self.n_imitations[self.present] >= size
        whole = not (self.n_imitations[self.present] > size).any()
        for name, start in zip(self.present[large].tolist(), self.starts[large].tolist(), strict=True):
            _, pictures = np.unique(self._cluster[start : start + size], return_counts=True)
            design: tuple[Any, ...] = tuple(sorted(pictures.tolist()))
            if templates:
                used, n = np.unique(
                    self._template[start : start + self.n_imitations[name]], return_counts=True
                )
                design = (design, tuple(used.tolist()), tuple(n.tolist()) if whole else ())
            out[name] = designs.setdefault(design, len(designs))
        return out


class Collector:
    """Sums ranks over sets, block by block. `collect` does this for an iterable of blocks.

    Parameters
    ----------
    work_artist : array_like, shape (W,), integers below n_artists
    imitation_artist : array_like, shape (M,), integers below n_artists
        The artist, or placebo name, in the prompt.
    n_artists : int
    prompt : array_like, shape (M,), optional
        The prompt of each imitation. Sets are subsampled by complete prompts as far as possible.
    template : array_like of int, shape (M,), optional
        The template of each imitation: its prompt with the name left out. -1 if it is not known. Sets made with
        different templates have different designs.
    rng : sequence of n_artists generators, generator or int, optional
        Selects the imitations that represent a set larger than the size at which it is compared. Set ``s`` is shuffled
        by ``rng[s]`` alone, so its order does not depend on other sets. A single generator or seed is spawned per set.

    Raises
    ------
    ValueError
        If there are no works or no imitations, or numbers are out of range.

    Notes
    -----
    Sets are exchangeable only at equal size, since a mean over 5 imitations varies more than one over 50. All sets are
    therefore compared at the largest size that nine of ten sets reach: larger sets are subsampled, and smaller ones are
    not used as references. An artist with a smaller own set is compared at that size, with all other sets subsampled to
    it.

    Pictures from one prompt resemble each other, so 20 pictures from 4 prompts vary more than 20 pictures from 20
    prompts; this is why complete prompts are drawn. Sets that still differ in the number of pictures per prompt are
    distinguished by `SetScores.designs`.
    """

    def __init__(
        self,
        work_artist: npt.ArrayLike,
        imitation_artist: npt.ArrayLike,
        n_artists: int,
        *,
        prompt: npt.ArrayLike | None = None,
        template: npt.ArrayLike | None = None,
        rng: Rngs = None,
    ) -> None:
        self._work_artist = _labels(work_artist, n_artists, "works")
        self._n_works = np.bincount(self._work_artist, minlength=n_artists)
        self._sets = sets = Sets(
            imitation_artist, n_artists, compared=self._n_works > 0, prompt=prompt, template=template, rng=rng
        )
        self._n_imitations, self._m = sets.n_imitations, len(sets.order)
        self._present, self._starts = sets.present, sets.starts
        self._bounds = {
            size: _bounds(sets.starts, sets.n_imitations[sets.present], size) for size in sets.compared_sizes
        }
        self._sums = {size: np.zeros((n_artists, n_artists), np.int64) for size in self._bounds}
        self._per_work = np.full((len(self._work_artist), len(sets.present)), np.nan)
        counts = zip(self._n_works, self._n_imitations, strict=True)
        self._own = [np.empty((n, k if 0 < k < self._m else 0)) for n, k in counts]
        self._filled = np.zeros(n_artists, np.int64)

    def add(self, rows: Any, ranks: npt.NDArray[Any]) -> None:
        """Add the ranks of some works.

        Parameters
        ----------
        rows : slice or array_like of int
            The works. Each work must be added exactly once.
        ranks : array_like, shape (rows, M), integers
            Twice the midrank from below of each imitation among all imitations (see `twice_midranks`).
        """
        block = np.asarray(ranks).take(self._sets.order, axis=1)
        numbers = np.arange(len(self._work_artist))[rows]
        totals = np.add.reduceat(block, self._starts, axis=1, dtype=np.int64)
        means = totals / self._n_imitations[self._present]
        self._per_work[numbers] = (means - 1) / (2 * self._m)
        for artist in np.unique(self._work_artist[numbers]).tolist():
            ranks_of_artist = block[self._work_artist[numbers] == artist]
            columns = ranks_of_artist.sum(axis=0, dtype=np.int64)
            for size, (sets, bounds) in self._bounds.items():
                self._sums[size][artist, self._present[sets]] += np.add.reduceat(columns, bounds)[::2]
            self._add_own(artist, ranks_of_artist)

    def received(self) -> tuple[Int64, Float64, dict[int, Int64], dict[int, Float64]]:
        """Return what was added so far: for `absorb`.

        Returns
        -------
        tuple
            The rows of the works, their part of `SetScores.per_work`, `SetScores.sums`, and `SetScores.own` of their
            artists.
        """
        filled = self._filled == self._n_works
        rows = np.flatnonzero((filled & (self._n_works > 0))[self._work_artist])
        own = {artist: self._own[artist] for artist in np.unique(self._work_artist[rows]).tolist()}
        return rows, self._per_work[rows], self._sums, own

    def absorb(self, received: tuple[Int64, Float64, dict[int, Int64], dict[int, Float64]]) -> None:
        """Add the works that another collector of the same sets was given: whole artists, of which this one has none.

        Parameters
        ----------
        received : tuple
            From `received`.

        Raises
        ------
        ValueError
            If works of these artists were added before.

        Examples
        --------
        >>> ranks, sets = twice_midranks([[0.9, 0.8, 0.1, 0.2], [0.1, 0.3, 0.8, 0.7]]), ([0, 1], [0, 0, 1, 1], 2)
        >>> one, two = Collector(*sets, rng=1), Collector(*sets, rng=1)
        >>> one.add([0], ranks[:1])
        >>> two.add([1], ranks[1:])
        >>> one.absorb(two.received())
        >>> one.finish().auc.tolist()
        [1.0, 1.0]
        """
        rows, per_work, sums, own = received
        for artist, cell in own.items():
            if self._filled[artist]:
                raise ValueError(f"works of artist {artist} were added twice. Add every work once.")
            self._own[artist], self._filled[artist] = cell, self._n_works[artist]
        self._per_work[rows] = per_work
        for size, matrix in sums.items():
            self._sums[size] += matrix

    def _add_own(self, artist: int, ranks: npt.NDArray[Any]) -> None:
        n = self._n_imitations[artist]
        stop = self._filled[artist] + len(ranks)
        if self._own[artist].size:
            start = self._starts[np.searchsorted(self._present, artist)]
            cell = ranks[:, start : start + n].astype(np.int64)
            further = cell - np.rint(2 * scipy.stats.rankdata(cell, axis=1))
            self._own[artist][self._filled[artist] : stop] = further / (2 * (self._m - n))
        self._filled[artist] = stop

    def finish(self) -> SetScores:
        """Return the scores.

        Raises
        ------
        ValueError
            If works are missing, or were added twice.
        """
        wrong = np.flatnonzero(self._filled != self._n_works)
        if len(wrong):
            added, expected = self._filled.sum(), self._n_works.sum()
            raise ValueError(
                f"ranks of {added} works were added, but there are {expected}. Add every work once."
            )
        for size, matrix in self._sums.items():
            matrix[(self._n_works == 0)[:, None] | (self._n_imitations < size)[None, :]] = -1
        return SetScores(
            tuple(self._own), self._per_work, self._sets.sizes, self._sums,
            {size: self._sets.designs(size) for size in self._sums},
            self._n_works, self._n_imitations, self._work_artist, self._m, self._sets.order,
            self._present,
            {size: self._sets.designs(size, templates=False) for size in self._sums},
        )  # fmt: skip


def _shuffled(
    imitated: Int64, prompt: npt.ArrayLike | None, rngs: Sequence[np.random.Generator]
) -> tuple[Int64, Int64]:
    """Return the columns sorted by set, each set shuffled by its own generator, and the prompt number of each column.

    Within a set, the prompts are shuffled, and so are the pictures of each prompt. Prompt numbers are local to a set.
    """
    labels = np.arange(len(imitated)) if prompt is None else np.asarray(prompt)
    if labels.shape != imitated.shape:
        raise ValueError(
            f"prompt: expected {len(imitated)} labels, one per imitation, not the shape {labels.shape}."
        )
    by_set = np.argsort(imitated, kind="stable")
    ends = np.cumsum(np.bincount(imitated))
    order, clusters = np.empty_like(by_set), np.empty_like(by_set)
    for name in np.unique(imitated).tolist():
        columns = slice(ends[name - 1] if name else 0, ends[name])
        rows, random = by_set[columns], rngs[name]
        if prompt is None:
            permutation, cluster = random.permutation(len(rows)), np.arange(len(rows))
        else:
            cluster = np.unique(labels[rows], return_inverse=True)[1]
            position = random.permutation(int(cluster.max()) + 1)[cluster]
            permutation = np.lexsort((random.permutation(len(rows)), position))
        order[columns], clusters[columns] = rows[permutation], cluster[permutation]
    return order, clusters


def collect(
    blocks: Iterable[tuple[Any, npt.NDArray[Any]]],
    work_artist: npt.ArrayLike,
    imitation_artist: npt.ArrayLike,
    n_artists: int,
    *,
    prompt: npt.ArrayLike | None = None,
    template: npt.ArrayLike | None = None,
    rng: Rngs = None,
) -> SetScores:
    """Sum ranks over sets.

    Parameters
    ----------
    blocks : iterable of (rows, ranks)
        The arguments of `Collector.add`.
    work_artist, imitation_artist, n_artists, prompt, template, rng
        As in `Collector`.

    Returns
    -------
    SetScores

    Raises
    ------
    ValueError
        If there are no works or no imitations, numbers are out of range, or works are missing from the blocks.

    Examples
    --------
    >>> ranks = twice_midranks([[0.9, 0.8, 0.1, 0.2], [0.1, 0.3, 0.8, 0.7]])
    >>> result = collect([(slice(0, 2), ranks)], [0, 1], [0, 0, 1, 1], 2, rng=1)
    >>> result.auc.tolist(), result.sums[2].tolist()
    ([1.0, 1.0], [[14, 6], [6, 14]])
    """
    collector = Collector(work_artist, imitation_artist, n_artists, prompt=prompt, template=template, rng=rng)
    for rows, ranks in blocks:
        collector.add(rows, ranks)
    return collector.finish()


def common_size(n_imitations: Int64) -> int:
    """Return the largest size that nine of ten sets reach; 0 if there are no sets.

    Examples
    --------
    >>> common_size(np.array([100, 100, 20, 0]))
    20
    """
    sizes = np.sort(n_imitations[n_imitations > 0])
    return int(sizes[int(np.floor((1 - SHARE_OF_SETS) * len(sizes) + 1e-9))]) if len(sizes) else 0


def _bounds(starts: Int64, counts: Int64, size: int) -> tuple[Int64, Int64]:
    """Return the sets with at least `size` pictures, and the bounds of their subsamples as `reduceat` indices."""
    sets = np.flatnonzero(counts >= size)
    bounds = np.stack([starts[sets], starts[sets] + size], axis=1).ravel()
    return sets, bounds[:-1] if bounds[-1] >= counts.sum() else bounds


def _labels(labels: npt.ArrayLike, n_artists: int, what: str) -> Int64:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{what}: none given, so there is nothing to test. Add {what} to the index.")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n_artists:
        raise ValueError(f"{what}: the artists' numbers must be integers from 0 to {n_artists - 1}.")
    return array.astype(np.int64)
