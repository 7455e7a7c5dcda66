"""A diagnostic of the assumption behind the name test: are sets of placebo names exchangeable with other sets?

The name test takes placebo names as the reference: if a name makes no difference, its set of imitations is exchangeable
with theirs. That fails if real names differ from invented ones in kind: if any real name draws pictures towards "art",
if real names scatter more, or if the names are of other origins. Sets for which the answer is known show it: sets of
names that the model cannot know, and each real name's pictures compared with the works of *other* artists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LEAST_SETS = 3
"""With fewer sets of a kind than this, there is no test."""
_CHUNK_BYTES = 2**26
_TIE = 1e-9


@dataclass(frozen=True)
class ExchangeabilityTest:
    """Result of `exchangeability_test`.

    Attributes
    ----------
    statistic : float
        The larger of the absolute values of `shift` and `spread`, each divided by its standard deviation under the
        null.
    pvalue : float
        Of `statistic`; NaN if there is no test.
    shift : float
        Mean normal score of the other sets minus that of the placebo sets. Positive if the other sets are nearer to
        works. 0.25 is a quarter of the standard deviation between sets.
    shift_pvalue : float
        Two-sided, of `shift` alone.
    spread : float
        Mean squared normal score of the other sets minus that of the placebo sets. Positive if the other sets scatter
        more.
    spread_pvalue : float
        Two-sided, of `spread` alone.
    n_placebos, n_others : int
        Number of sets.
    n_artists : int
        Number of artists whose works are used.
    n_resamples : int
    """

    statistic: float
    pvalue: float
    shift: float
    shift_pvalue: float
    spread: float
    spread_pvalue: float
    n_placebos: int
    n_others: int
    n_artists: int
    n_resamples: int


def exchangeability_test(
    scores: npt.ArrayLike,
    placebos: npt.ArrayLike,
    others: npt.ArrayLike,
    *,
    excluded: npt.ArrayLike | None = None,
    n_resamples: int = 9999,
    rng: np.random.Generator | int | None = None,
) -> ExchangeabilityTest:
    """Test whether placebo sets are exchangeable with other sets, by their nearness to works.

    Parameters
    ----------
    scores : array_like, shape (A, S)
        Nearness of each set (column) to the works of each artist (row); higher is nearer. NaN where undefined.
    placebos, others : array_like of int
        Columns of the placebo sets, and of the sets that would be exchangeable with them if the assumption held.
    excluded : array_like of bool, shape (A, S), optional
        Cells that are not compared: above all the cell of an artist's own set, which may be near because the release
        imitates the artist.
    n_resamples : int
        Number of random assignments of the sets to the two kinds.
    rng : numpy.random.Generator or int, optional

    Returns
    -------
    ExchangeabilityTest
        All figures are NaN with fewer than 3 sets of either kind, or without rows.

    Raises
    ------
    ValueError
        If a column is listed twice or is out of range, or the shapes differ.

    Notes
    -----
    In each row, the compared sets are ranked and the ranks r of n become normal scores, the standard normal quantile of
    (r - 1/2) / n. A set has two summaries over the rows: its mean score, and its mean squared score. The statistics are
    the differences of these between the two kinds of sets: a shift (van der Waerden), and a spread (Klotz).

    Null hypothesis: the sets are exchangeable. Rows are strongly dependent, since one set of pictures is compared with
    all works. Therefore sets, and not cells, are assigned to the two kinds at random, jointly for all rows, which keeps
    this dependence whatever it is. Each set keeps its summaries, so that an assignment costs two sums. p is
    (b + 1) / (B + 1), where b is the number of assignments with a statistic at least as large; the larger of the two
    standardised statistics is itself resampled, so that there is one p-value for both.

    Without `excluded`, the level is exact. With it, sets have summaries over different rows, and would not be
    exchangeable for this reason alone. Each placebo set therefore takes over the excluded rows of one of the other
    sets, drawn at random, in addition to its own.

    A rejection says that the name test may call artists too often (`shift` or `spread` above 0) or too seldom. No
    rejection does not prove that the assumption holds: METHODS.md gives the power.

    Examples
    --------
    Thirty artists, 40 placebo names, and 20 names that the model cannot know, which it draws as "art":

    >>> random = np.random.default_rng(1)
    >>> scores = random.normal(size=60) + random.normal(size=(30, 60))
    >>> result = exchangeability_test(scores, range(40), range(40, 60), n_resamples=999, rng=1)
    >>> result.pvalue > 0.05
    True
    >>> scores[:, 40:] += 1.5
    >>> exchangeability_test(scores, range(40), range(40, 60), n_resamples=999, rng=1).pvalue
    0.001
    """
    table = np.asarray(scores, dtype=np.float64)
    columns, n_placebos = _columns(table, placebos, others)
    block = table[:, columns]
    random = np.random.default_rng(rng)
    n_others = len(columns) - n_placebos
    if excluded is not None:
        mask = np.asarray(excluded, dtype=np.bool_)
        if mask.shape != table.shape:
            raise ValueError(f"excluded: expected the shape {table.shape} of the scores, not {mask.shape}.")
        block = np.where(_masked(mask[:, columns], n_placebos, random), np.nan, block)
    normal = _normal_scores(block, n_placebos)
    summaries = _summaries(normal)
    usable = np.isfinite(summaries[:, 0])
    is_other = np.arange(len(columns)) >= n_placebos
    counts = int(np.count_nonzero(usable & ~is_other)), int(np.count_nonzero(usable & is_other))
    nothing = np.nan
    if min(counts) < LEAST_SETS:
        return ExchangeabilityTest(
            nothing,
            nothing,
            nothing,
            nothing,
            nothing,
            nothing,
            n_placebos,
            n_others,
            len(normal),
            n_resamples,
        )
    summaries, is_other = summaries[usable], is_other[usable]
    observed = _differences(is_other[None, :].astype(np.float64), summaries)
    resampled = np.concatenate(
        [
            _differences(labels, summaries)
            for labels in _assignments(len(summaries), counts[1], n_resamples, random)
        ]
    )
    spread_of = _deviation(summaries, counts[1])
    standard, drawn = np.abs(observed) / spread_of, np.abs(resampled) / spread_of
    shift, spread = (_pvalue(standard[0, k], drawn[:, k]) for k in range(2))
    return ExchangeabilityTest(
        statistic=float(standard.max()),
        pvalue=_pvalue(standard.max(), drawn.max(axis=1)),
        shift=float(observed[0, 0]),
        shift_pvalue=shift,
        spread=float(observed[0, 1]),
        spread_pvalue=spread,
        n_placebos=counts[0],
        n_others=counts[1],
        n_artists=len(normal),
        n_resamples=n_resamples,
    )


def _columns(
    table: Float64, placebos: npt.ArrayLike, others: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], int]:
    if table.ndim != 2:
        raise ValueError(f"scores: expected artists x sets, not the shape {table.shape}.")
    first, second = (np.asarray(list(np.atleast_1d(chosen)), dtype=np.int64) for chosen in (placebos, others))
    columns = np.concatenate([first, second])
    if len(np.unique(columns)) < len(columns):
        raise ValueError("placebos, others: a set is listed twice.")
    if len(columns) and (columns.min() < 0 or columns.max() >= table.shape[1]):
        raise ValueError(f"placebos, others: sets are numbered from 0 to {table.shape[1] - 1}.")
    return columns, len(first)


def _masked(mask: Bool, n_placebos: int, random: np.random.Generator) -> Bool:
    """Exclude, for each placebo set, the rows that one of the other sets leaves out as well."""
    n_others = mask.shape[1] - n_placebos
    if not n_others:
        return mask
    turns = -(-n_placebos // n_others)
    model = np.concatenate([random.permutation(n_others) for _ in range(turns)] or [np.zeros(0, np.int64)])
    out: Bool = mask.copy()
    out[:, :n_placebos] |= mask[:, n_placebos + model[:n_placebos]]
    return out


def _normal_scores(block: Float64, n_placebos: int) -> Float64:
    """Return the normal scores of the compared sets in each row that has enough of both kinds; NaN elsewhere."""
    known = np.isfinite(block)
    rows = (known[:, :n_placebos].sum(axis=1) >= LEAST_SETS) & (known[:, n_placebos:].sum(axis=1) > 0)
    block = block[rows]
    if not block.size:
        return block
    ranks: Float64 = scipy.stats.rankdata(block, axis=1, nan_policy="omit")
    n = np.isfinite(block).sum(axis=1, keepdims=True)
    scores: Float64 = scipy.special.ndtri((ranks - 0.5) / n)
    return scores


def _summaries(normal: Float64) -> Float64:
    """Return, for each set, its mean score and mean squared score over rows, shape (S, 2); NaN without rows."""
    known = np.isfinite(normal)
    n = known.sum(axis=0)
    filled = np.where(known, normal, 0.0)
    totals = np.stack([filled.sum(axis=0), (filled**2).sum(axis=0)], axis=1)
    with np.errstate(invalid="ignore"):
        summaries: Float64 = totals / n[:, None]
    return summaries


def _assignments(n_sets: int, n_others: int, n_resamples: int, rng: np.random.Generator) -> list[Float64]:
    """Return random assignments, 1 for the sets that count as others, in chunks of rows."""
    rows = max(1, _CHUNK_BYTES // (8 * n_sets))
    chunks = []
    for start in range(0, n_resamples, rows):
        labels = np.zeros((min(rows, n_resamples - start), n_sets))
        labels[:, :n_others] = 1
        chunks.append(rng.permuted(labels, axis=1))
    return chunks


def _differences(labels: Float64, summaries: Float64) -> Float64:
    """Return the mean of the labelled sets minus the mean of the rest, for each row of labels, shape (B, 2)."""
    k = labels.sum(axis=1, keepdims=True)
    inside = labels @ summaries
    total: Float64 = inside / k - (summaries.sum(axis=0) - inside) / (len(summaries) - k)
    return total


def _deviation(summaries: Float64, n_others: int) -> Float64:
    """Return the standard deviation of the differences over all assignments; infinite if all sets are equal."""
    n = len(summaries)
    variance = summaries.var(axis=0, ddof=1) * n / (n_others * (n - n_others))
    return np.where(variance > 0, np.sqrt(variance), np.inf)


def _pvalue(observed: float, resampled: Float64) -> float:
    return float((1 + np.count_nonzero(resampled >= observed - _TIE)) / (1 + len(resampled)))
