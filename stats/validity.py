"""Can an encoder distinguish an artist at all? If not, its tests of imitation say nothing about that artist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.keyed import Rngs, one_each
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64, Int64

POSITIVE, NEGATIVE, AMBIGUOUS = "robust positive", "robust negative", "ambiguous"
TOO_FEW = "too few works"

FEWEST = 5
"""With fewer works, the gap is not classified. In a simulation of artists that an encoder cannot distinguish at all,
35 % of those with 3 works were classified as "robust negative"; with 5 works 12 %, with 20 works 8 %."""

_BLOCK = 2**17  # values; two such float32 arrays fit in the cache
_ASYMMETRY = 1e-5

AnyFloat = npt.NDArray[np.floating]
Counts = npt.NDArray[np.float32] | Float64


@dataclass(frozen=True, eq=False)
class GapBootstrap:
    """Result of `gap_bootstrap` for A artists.

    Attributes
    ----------
    gap : ndarray, shape (A,), float64
        Median cosine within the artist, minus the largest median cosine to another artist. NaN if either is missing.
    low, high : ndarray, shape (A,), float64
        Ends of the percentile interval. NaN if there is no gap.
    nearest : ndarray, shape (A,), int64
        The other artist with the largest median, ties resolved by the lowest number; -1 if there is none.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "robust positive" (low > 0): the encoder distinguishes this artist. "robust negative" (high < 0): it does not.
        "ambiguous": neither. "too few works": fewer than `FEWEST`. Otherwise the reason for a missing gap: "no works",
        "one work" or "no other artist".
    confidence_level : float
    """

    gap: Float64
    low: Float64
    high: Float64
    nearest: Int64
    n_works: Int64
    status: tuple[str, ...]
    confidence_level: float


def gap_bootstrap(
    work_similarity: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    n_rivals: int = 5,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    rng: Rngs = None,
) -> GapBootstrap:
    """Bootstrap how well an encoder distinguishes each artist's works from those of other artists.

    Parameters
    ----------
    work_similarity : array_like, shape (W, W), float
        Cosine similarities of all works, symmetric. The diagonal is not used.
    work_artist : array_like, shape (W,), integers
    n_artists : int
        Artists without works are allowed, and get a status.
    n_rivals : int
        Number of other artists to resample, those with the largest median cosines.
    confidence_level : float
    n_resamples : int
    rng : sequence of n_artists generators, generator or int, optional
        The works of artist ``a`` are drawn by ``rng[a]``; a single generator or seed is spawned per artist. A gap
        therefore depends only on the draws of the artist and of its rivals.

    Returns
    -------
    GapBootstrap

    Raises
    ------
    ValueError
        If there are no works, the similarities are not square, symmetric and finite, or artist numbers are out of
        range.

    Notes
    -----
    `gap` equals `imindex.retrieval.match.discrimination.discrimination_gap`. A resample draws the works of the artist
    and of its rivals with replacement. Two copies of the same work do not count as a pair within the artist (their
    cosine is 1), and resamples of a single work are excluded. The interval is the percentile interval (Efron &
    Tibshirani 1993, chapter 13). The maximum of several medians is biased upwards, so the gaps of resamples are
    slightly too small; the error is towards "not distinguished".

    Medians are weighted: similarities are sorted once, and the weight of a pair is the product of how often each of its
    works was drawn. The draws of an artist are shared by all gaps that involve it.

    Examples
    --------
    >>> similarity = np.kron(np.eye(2), np.full((5, 5), 0.5)) + 0.25
    >>> result = gap_bootstrap(similarity, np.repeat([0, 1], 5), 2, rng=1)
    >>> result.gap.tolist(), result.status
    ([0.5, 0.5], ('robust positive', 'robust positive'))
    """
    table, artist_of = _check(work_similarity, work_artist, n_artists)
    if n_rivals < 1 or n_resamples < 1:
        raise ValueError(f"n_rivals is {n_rivals} and n_resamples {n_resamples}. Pass at least 1 of each.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    rows = [np.flatnonzero(artist_of == a) for a in range(n_artists)]
    n_works = np.array([len(some) for some in rows], dtype=np.int64)
    medians = _medians(table, rows)
    others = np.where(np.eye(n_artists, dtype=np.bool_) | np.isnan(medians), -np.inf, medians)
    rivals = np.argsort(-others, axis=1, kind="stable")[:, :n_rivals]
    nearest = rivals[:, 0]
    highest = others[np.arange(n_artists), nearest]
    alone = np.isneginf(highest)
    gap = np.diagonal(medians) - np.where(alone, np.nan, highest)

    weights = [
        draw_weights(len(some), n_resamples, random).T if len(some) else np.empty((0, 0))
        for some, random in zip(rows, one_each(rng, n_artists), strict=True)
    ]
    low, high = np.full(n_artists, np.nan), np.full(n_artists, np.nan)
    tail, known = (1 - confidence_level) / 2, dict[tuple[int, int], Float64]()
    for a in np.flatnonzero(np.isfinite(gap)).tolist():
        rival = np.full(n_resamples, -np.inf)
        for b in rivals[a][np.isfinite(others[a, rivals[a]])].tolist():
            pair = (min(a, b), max(a, b))
            if pair not in known:
                i, j = pair
                known[pair] = medians_between(table[np.ix_(rows[i], rows[j])], weights[i], weights[j])
            np.maximum(rival, known[pair], out=rival)
        gaps = medians_within(table[np.ix_(rows[a], rows[a])], weights[a]) - rival
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps):
            low[a], high[a] = np.quantile(gaps, [tail, 1 - tail])
    return GapBootstrap(
        gap=gap,
        low=low,
        high=high,
        nearest=np.where(alone, -1, nearest),
        n_works=n_works,
        status=tuple(
            _missing(n, lonely) or _class(n, left, right)
            for n, lonely, left, right in zip(
                n_works.tolist(), alone.tolist(), low.tolist(), high.tolist(), strict=True
            )
        ),
        confidence_level=confidence_level,
    )


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Result of `ceiling` for W works and A artists.

    Attributes
    ----------
    auc : ndarray, shape (A,), float64
        Mean over the artist's works; 0.5 is chance. NaN if the artist has fewer than 2 works, or no other artist has
        any.
    work_auc : ndarray, shape (W,), float64
    macro : float
        Mean over the artists with an AUC. NaN without any.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or the reason for a missing AUC: "no works", "one work" or "no other artist".
    """

    auc: Float64
    work_auc: Float64
    macro: float
    n_works: Int64
    status: tuple[str, ...]


def ceiling(work_similarity: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int) -> Ceiling:
    """Compute the AUC of an imitation that is as near to the artist's works as these are to each other.

    Parameters
    ----------
    work_similarity : array_like, shape (W, W), float
        Cosine similarities of all works, symmetric. The diagonal is not used.
    work_artist : array_like, shape (W,), integers
    n_artists : int

    Returns
    -------
    Ceiling

    Raises
    ------
    ValueError
        As in `gap_bootstrap`.

    Notes
    -----
    Leave-one-out: each work ranks all other works, and its AUC is the probability that a work of the same artist is
    nearer than one of another artist, with ties counting one half (Mann & Whitney 1947). Since the ranked pictures are
    works and not imitations, an AUC among imitations can exceed it. Duplicates among the works raise it.

    Examples
    --------
    >>> similarity = np.kron(np.eye(2), np.full((3, 3), 0.5)) + 0.25
    >>> ceiling(similarity, [0, 0, 0, 1, 1, 1], 2).auc.tolist()
    [1.0, 1.0]
    """
    table, artist_of = _check(work_similarity, work_artist, n_artists)
    n_works = np.bincount(artist_of, minlength=n_artists)
    n = len(table)
    work_auc, auc = np.full(n, np.nan), np.full(n_artists, np.nan)
    for artist in np.flatnonzero((n_works > 1) & (n_works < n)).tolist():
        own = artist_of == artist
        for work in np.flatnonzero(own).tolist():
            others = np.sort(table[work, ~own])
            same = table[work, own & (np.arange(n) != work)]
            twice = others.searchsorted(same, "left").sum() + others.searchsorted(same, "right").sum()
            work_auc[work] = twice / (2 * len(others) * len(same))
        auc[artist] = work_auc[own].mean()
    ok = np.isfinite(auc)
    return Ceiling(
        auc=auc,
        work_auc=work_auc,
        macro=float(auc[ok].mean()) if ok.any() else np.nan,
        n_works=n_works.astype(np.int64),
        status=tuple(_missing(k, k == n) or "ok" for k in n_works.tolist()),
    )


def _check(
    work_similarity: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int
) -> tuple[AnyFloat, Int64]:
    table, artist_of = np.asarray(work_similarity), np.asarray(work_artist)
    if table.dtype.kind != "f":
        table = table.astype(np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"work_similarity: expected works x works, not the shape {table.shape}.")
    if not len(table):
        raise ValueError(
            "work_similarity: no works, so there is nothing to distinguish. Add works to the index."
        )
    if not np.isfinite(table).all():
        raise ValueError("work_similarity: a value is NaN or infinite. Leave out works without a vector.")
    if max(np.abs(row - column).max() for row, column in zip(table, table.T, strict=True)) > _ASYMMETRY:
        raise ValueError("work_similarity: not symmetric. Pass the similarities between all pairs of works.")
    if artist_of.shape != (len(table),) or artist_of.dtype.kind not in "iu":
        raise ValueError(f"work_artist: expected {len(table)} integers, one per work.")
    if artist_of.min() < 0 or artist_of.max() >= n_artists:
        raise ValueError(f"work_artist: a number is not within 0 to {n_artists - 1}.")
    return table, artist_of.astype(np.int64)


def _missing(n_works: int, alone: bool) -> str:
    return "no works" if n_works == 0 else "one work" if n_works == 1 else "no other artist" if alone else ""


def _class(n_works: int, low: float, high: float) -> str:
    if n_works < FEWEST:
        return TOO_FEW
    return POSITIVE if low > 0 else NEGATIVE if high < 0 else AMBIGUOUS


def _medians(table: AnyFloat, rows: list[Int64]) -> Float64:
    """Return the median similarity of each pair of artists (within one artist, of different works), or NaN."""
    n_artists = len(rows)
    medians = np.full((n_artists, n_artists), np.nan)
    for a, own in enumerate(rows):
        own_rows = table[own]
        if len(own) > 1:
            medians[a, a] = np.median(
                own_rows[:, own][np.tri(len(own), k=-1, dtype=np.bool_)].astype(np.float64)
            )
        for b in range(a + 1, n_artists):
            if len(own) and len(rows[b]):
                medians[a, b] = medians[b, a] = np.median(own_rows[:, rows[b]].astype(np.float64))
    return medians


def medians_between(block: AnyFloat, left: Float64, right: Float64) -> Float64:
    """Return the median of a block in each of B resamples of its rows and columns.

    Parameters
    ----------
    block : ndarray, shape (n, m)
    left, right : ndarray, shapes (n, B) and (m, B), float64
        How often each resample draws each row, and each column.

    Returns
    -------
    ndarray, shape (B,), float64
    """
    i, j = np.indices(block.shape).reshape(2, -1)
    return _weighted_medians(block.ravel(), (left, i), (right, j))


def medians_within(block: AnyFloat, weights: Float64) -> Float64:
    """Return the median over pairs of different works in each of B resamples.

    Parameters
    ----------
    block : ndarray, shape (n, n)
        Symmetric.
    weights : ndarray, shape (n, B), float64
        How often each resample draws each work.

    Returns
    -------
    ndarray, shape (B,), float64
        NaN in resamples of a single work.
    """
    i, j = np.tril_indices(len(block), -1)
    return _weighted_medians(block[i, j], (weights, i), (weights, j))


def _weighted_medians(values: AnyFloat, left: tuple[Float64, Int64], right: tuple[Float64, Int64]) -> Float64:
    """Return the median in each of B resamples of values with weights ``left[0][left[1]] * right[0][right[1]]``."""
    order = np.argsort(values, kind="stable")
    ordered = np.append(values[order], np.nan).astype(np.float64)
    n_resamples = left[0].shape[1]
    # Counts are integers, which float32 represents exactly as long as their sum is below 2**24.
    small = len(left[0]) * len(right[0]) < 2**24
    a, b = (weights.astype(np.float32 if small else np.float64) for weights, _ in (left, right))
    i, j = left[1][order], right[1][order]
    out, step = np.empty(n_resamples), max(1, _BLOCK // len(values))
    for start in range(0, n_resamples, step):
        block = slice(start, start + step)
        cumulative: Counts = a[:, block][i]
        cumulative *= b[:, block][j]
        np.cumsum(cumulative, axis=0, out=cumulative)
        total = cumulative[-1]
        # The two middle values out of `total`, counted from 0.
        low = (cumulative <= np.floor((total - 1) / 2)).sum(axis=0)
        high = (cumulative <= np.floor(total / 2)).sum(axis=0)
        out[block] = (ordered[low] + ordered[high]) / 2
    return out
