"""Tests of whether a set of imitations is nearer to an artist's works than reference sets are.

The unit of analysis is the set: all pictures that a release generated from one name. Works of one artist resemble
each other, and so do pictures from one prompt; a test that assumes that they are independent detects imitation where
there is none.

Two kinds of reference sets answer two questions:

- placebo names (`name_test`): does the name matter? A name that the model does not know is equivalent to an invented
  one, so the artist's own set is then exchangeable with the placebo sets, whatever else the model can do.
- other artists' sets (`rival_test`): is it this artist rather than another?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import LEAST
from imindex.stats.set_scores import Float64, Int64, SetScores
from imindex.stats.set_statistics import SetTable

OK = "ok"
UNLIKE = "of this size and as many pictures a prompt"
OTHER_TEMPLATES = "made with the same templates"
TIE = 1e-9
"""Scores that differ by at most this, or by this share of the own score, are considered equal."""
RELATIVE = ("lda", "linear", "softmax")
"""Statistics whose score for an artist is relative to the other artists."""


@dataclass(frozen=True, eq=False)
class ReferenceTest:
    """Result of `name_test` or `rival_test` for A artists.

    Attributes
    ----------
    reference : str
        "placebo names" or "other artists".
    statistic : ndarray, shape (A,), float64
        Score of the own set for the artist: mean rank percentile, or the score by the table's statistic, minus the hub
        correction if any.
    pvalue : ndarray, shape (A,), float64
        (1 + references at least as near) / (1 + references). NaN if there is no test.
    pvalue_t : ndarray, shape (A,), float64
        Approximate, studentised p-value: Student's t with n_reference - 1 degrees of freedom. It assumes that reference
        scores are normal, and only on that assumption can it go below the resolution.
    z : ndarray, shape (A,), float64
        (own - mean of the references) / (their standard deviation * sqrt(1 + 1 / n_reference)).
    n_reference, n_at_least : ndarray, shape (A,), int64
        Number of reference sets, and of those at least as near as the own set.
    n_left_out : ndarray, shape (A,), int64
        Number of reference sets excluded because they are too small, or distribute their pictures differently over
        prompts.
    set_size : ndarray, shape (A,), int64
        Number of imitations compared per set.
    status : tuple of str, length A
        "ok", or what is missing.
    """

    reference: str
    statistic: Float64
    pvalue: Float64
    pvalue_t: Float64
    z: Float64
    n_reference: Int64
    n_at_least: Int64
    n_left_out: Int64
    set_size: Int64
    status: tuple[str, ...]

    @property
    def resolution(self) -> Float64:
        """Smallest possible p-value of each artist, 1 / (1 + n_reference). NaN without references."""
        return np.where(self.n_reference > 0, 1 / (1 + self.n_reference), np.nan)


def name_test(
    scores: SetScores,
    placebos: npt.ArrayLike,
    table: SetTable | None = None,
    *,
    only: Mapping[int, npt.ArrayLike] | None = None,
) -> ReferenceTest:
    """Test whether the name matters: compare each artist's own set with the sets of placebo names.

    Parameters
    ----------
    scores : SetScores
    placebos : array_like of int
        Numbers of the placebo names: invented artists, used with the same model and the same prompts.
    table : SetTable, optional
        Scores of the sets by a statistic that is learned from works; by default mean rank percentiles.
    only : mapping from int to array_like of int, optional
        For some artists, the placebo names that they are compared with, such as those of the same origin. The choice
        must not depend on the pictures.

    Returns
    -------
    ReferenceTest
        For all artists that are not placebos.

    Notes
    -----
    Assumption: if the name makes no difference to the model, the own set and the placebo sets are exchangeable. Then
    the rank of the own set among them is uniform, and P(p <= alpha) <= alpha for any number of works and imitations,
    with clustering, hubs and ties, and whether or not other artists are imitated. Sets with another design
    (`SetScores.designs`) cannot be exchangeable and are excluded. The p-value is that of a Monte-Carlo test (Davison
    & Hinkley 1997, section 4.2; Phipson & Smyth 2010), with ties counted against the finding.

    Not covered: a name whose words have a meaning for the model ("Rose", "Marble") is not a valid placebo.

    Examples
    --------
    >>> from imindex.stats.set_scores import collect, twice_midranks
    >>> ranks = twice_midranks([[0.9, 0.8, 0.1, 0.2, 0.3, 0.4]])
    >>> result = name_test(collect([(slice(0, 1), ranks)], [0], [0, 0, 1, 1, 2, 2], 3, rng=1), [1, 2])
    >>> result.pvalue[0].round(4).item(), result.resolution[0].round(4).item()
    (0.3333, 0.3333)
    """
    chosen = np.zeros(len(scores.sizes), np.bool_)
    chosen[np.asarray(placebos, dtype=np.int64)] = True
    each = None
    if only:
        each = {}
        for artist, numbers in only.items():
            each[artist] = np.zeros_like(chosen)
            each[artist][np.asarray(numbers, dtype=np.int64)] = True
            each[artist] &= chosen
    return _against(scores, chosen, "placebo names", table, corrected=False, each=each)


def rival_test(
    scores: SetScores,
    placebos: npt.ArrayLike = (),
    table: SetTable | None = None,
    *,
    hub_corrected: bool = True,
) -> ReferenceTest:
    """Test whether it is this artist rather than another: compare each artist's own set with other artists' sets.

    Parameters
    ----------
    scores : SetScores
    placebos : array_like of int
        Numbers of the placebo names, which are not rivals.
    table : SetTable, optional
        Scores of the sets by a statistic that is learned from works; by default mean rank percentiles.
    hub_corrected : bool
        Subtract from each set's score its mean score for other artists' works, see Notes. The statistics `lda`,
        `linear` and `softmax` compare artists with each other already, and are never corrected.

    Returns
    -------
    ReferenceTest

    Notes
    -----
    A hub is a set that is near to everything. The score of set s for the works of artist a is T(a, s) minus the mean of
    T(i, s) over artists i other than a and s: this centre contains neither the artist under test nor the score of any
    artist for its own set. Without a third artist there is no centre, and nothing is subtracted.

    Assumption: the own set would be exchangeable with the other sets if the release imitated this artist no more
    specifically than any other. This fails if others are imitated and this artist's works look generic: the test then
    exceeds its level (METHODS.md gives the rates). Use it together with `name_test`, as `imitated` does.
    """
    chosen = scores.n_imitations > 0
    chosen[np.asarray(placebos, dtype=np.int64)] = False
    corrected = hub_corrected and (table is None or table.statistic not in RELATIVE)
    return _against(scores, chosen, "other artists", table, corrected=corrected)


def nearest_pvalue(scores: SetScores, placebos: npt.ArrayLike, table: SetTable | None = None) -> Float64:
    """Compute the p-value of `name_test` that the nearest real name's set would have.

    Parameters
    ----------
    scores : SetScores
    placebos : array_like of int
        Numbers of the placebo names. All other sets are of real names.
    table : SetTable, optional
        As in `name_test`.

    Returns
    -------
    ndarray, shape (A,), float64
        (1 + placebo sets at least as near as the nearest of the own set and the rivals' sets) / (1 + placebo sets). Not
        larger than the p-value of `name_test`. NaN if there is no test.

    Notes
    -----
    It is no evidence about an artist: it does not depend on which of the real names is the artist's. It tells whether
    an artist could be called falsely, see `imindex.stats.hierarchical.two_steps`.

    Examples
    --------
    >>> from imindex.stats.set_scores import collect, twice_midranks
    >>> ranks = twice_midranks([[0.1, 0.9, 0.2, 0.3]])
    >>> nearest_pvalue(collect([(slice(0, 1), ranks)], [0], [0, 1, 2, 3], 4, rng=1), [2, 3])[0].round(4).item()
    0.3333
    """
    placebo = np.zeros(len(scores.sizes), np.bool_)
    placebo[np.asarray(placebos, dtype=np.int64)] = True
    out = np.full(len(scores.sizes), np.nan)
    for artist in np.flatnonzero(scores.sizes > 0).tolist():
        size = int(scores.sizes[artist])
        row = (scores.sums[size] if table is None else table.values[size])[artist]
        usable = scores.designs[size] == scores.designs[size][artist]
        if (usable & placebo).any() and not np.isnan(row[artist]):
            nearest = row[usable & ~placebo].max()
            tolerance = 0 if table is None else TIE * max(1.0, abs(float(nearest)))
            references = row[usable & placebo]
            out[artist] = (1 + np.count_nonzero(references >= nearest - tolerance)) / (1 + len(references))
    return out


def imitated(name: ReferenceTest, rival: ReferenceTest, *, approximate: bool = False) -> Float64:
    """Test both that the name matters and that it is this artist: the larger of the two p-values, shape (A,).

    This is an intersection-union test (Berger 1982), which has level alpha if both tests do. NaN if either p-value is.
    With `approximate`, the studentised p-values are used.
    """
    return np.maximum(name.pvalue_t, rival.pvalue_t) if approximate else np.maximum(name.pvalue, rival.pvalue)


def references_needed(level: float, n_tests: int = 1) -> int:
    """Return the number of reference sets needed for any p-value to pass Bonferroni or the first step of Holm.

    Parameters
    ----------
    level : float
        Between 0 and 1.
    n_tests : int
        Number of artists tested together.

    Examples
    --------
    >>> references_needed(0.05), references_needed(0.05, 70)
    (19, 1399)
    """
    if not 0 < level < 1 or n_tests < 1:
        raise ValueError("level must be between 0 and 1, and there must be at least one test.")
    return int(np.ceil(n_tests / level - 1e-9)) - 1


def _against(
    scores: SetScores,
    chosen: npt.NDArray[np.bool_],
    reference: str,
    learned: SetTable | None,
    *,
    corrected: bool,
    each: Mapping[int, npt.NDArray[np.bool_]] | None = None,
) -> ReferenceTest:
    n_artists = len(scores.sizes)
    own, p, p_t, z = (np.full(n_artists, np.nan) for _ in range(4))
    n_reference, n_at_least, n_left_out = (np.zeros(n_artists, np.int64) for _ in range(3))
    statuses = [_missing(scores, artist) for artist in range(n_artists)]
    for size in np.unique(scores.sizes[scores.sizes > 0]).tolist():
        table = scores.percentiles(size) if learned is None else learned.values[size]
        exact: npt.NDArray[np.float64 | np.int64] = scores.sums[size] if learned is None else table
        if corrected:
            exact = table = table - _centres(table)
        for artist in np.flatnonzero(scores.sizes == size).tolist():
            others = chosen.copy() if each is None else each.get(artist, chosen).copy()
            others[artist] = False
            designs = scores.designs[size]
            usable = others & (designs == designs[artist])
            n = n_reference[artist] = np.count_nonzero(usable)
            n_left_out[artist] = np.count_nonzero(others) - n
            own[artist] = table[artist, artist]
            if np.isnan(own[artist]) and statuses[artist] == OK:
                statuses[artist] = "no works by another artist"
                continue
            if not n:
                statuses[artist] = f"no {reference}" + _unlike(scores, size, artist, others)
                continue
            integers = learned is None and not corrected
            tolerance = 0 if integers else TIE * max(1.0, abs(float(own[artist])))
            n_at_least[artist] = np.count_nonzero(exact[artist, usable] >= exact[artist, artist] - tolerance)
            p[artist] = (1 + n_at_least[artist]) / (1 + n)
            z[artist], p_t[artist] = _studentised(table[artist, artist], table[artist, usable])
    return ReferenceTest(
        reference, own, p, p_t, z, n_reference, n_at_least, n_left_out, scores.sizes, tuple(statuses)
    )


def _unlike(scores: SetScores, size: int, artist: int, others: npt.NDArray[np.bool_]) -> str:
    """Return why no other set is of the artist's design."""
    if not others.any():
        return ""
    counts = scores.counts[size] if size in scores.counts else scores.designs[size]
    return f" {OTHER_TEMPLATES}" if (counts[others] == counts[artist]).any() else f" {UNLIKE}"


def _missing(scores: SetScores, artist: int) -> str:
    if not scores.n_works[artist]:
        return "no works"
    return OK if scores.n_imitations[artist] else "no imitations"


def hub_corrected(table: Float64, statistic: str) -> Float64:
    """Return a table of set scores as the rival test compares them; see `rival_test`.

    Parameters
    ----------
    table : ndarray, shape (A, A), float64
        Row a, column s: score of set s for artist a. NaN where undefined.
    statistic : str
        Statistics that are relative to other artists are not corrected.
    """
    return table if statistic in RELATIVE else table - _centres(table)


def _centres(table: Float64) -> Float64:
    """Return, in row a and column s, the mean of column s over artists with works other than a and s.

    A row is 0 if any of its sets has no such mean.
    """
    known = ~np.isnan(table)
    values = np.where(known, table, 0.0)
    diagonal = np.eye(len(table), dtype=np.bool_)
    kept, counted = np.where(diagonal, 0.0, values), known & ~diagonal
    n = counted.sum(axis=0) - counted
    total = kept.sum(axis=0) - kept
    # Correct all sets of a row or none, so that they stay comparable.
    complete = ((n > 0) | ~known).all(axis=1)
    return np.where(complete[:, None], total / np.maximum(n, 1), 0.0)


def _studentised(own: float, references: Float64) -> tuple[float, float]:
    n = len(references)
    spread = references.std(ddof=1) if n > 1 else 0.0
    if n < 3 or not spread > 0:
        return np.nan, np.nan
    z = float((own - references.mean()) / (spread * np.sqrt(1 + 1 / n)))
    return z, max(float(scipy.stats.t.sf(z, n - 1)), LEAST)
