"""Is a set of imitations nearer to the artist's works than a reference says it would be anyway?

The unit is the set: all that a release made of one name. Works of one artist resemble each other, and so do
pictures made of one prompt; a test that takes them for independent finds imitation that is not there.

Two references answer two questions:

- placebo names (`name_test`): does the name matter? If the model does not know the name, it is to the model one
  more invented name, and the own set is exchangeable with the placebo sets, whatever else the model can do.
- other artists' sets (`rival_test`): is it this artist rather than another?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from imindex.stats.intervals import LEAST
from imindex.stats.set_scores import Float64, Int64, SetScores

OK = "ok"
UNLIKE = "of this size and as many pictures a prompt"
TIE = 1e-9
"""Scores of the rival test, percentiles, that differ by no more are taken for equal."""


@dataclass(frozen=True, eq=False)
class ReferenceTest:
    """What `name_test` or `rival_test` found, of A artists.

    Attributes
    ----------
    reference : str
        "placebo names" or "other artists".
    statistic : ndarray, shape (A,), float64
        The own set's score: mean rank percentile to the artist's works, less the hub correction if any.
    pvalue : ndarray, shape (A,), float64
        (1 + references at least as near) / (1 + references). NaN where there is no test.
    pvalue_t : ndarray, shape (A,), float64
        Approximate: studentised, Student's t with n_reference - 1 degrees of freedom. It takes the reference
        scores for normal, and goes below the resolution on that assumption only.
    z : ndarray, shape (A,), float64
        (own - mean of the references) / (their standard deviation * sqrt(1 + 1 / n_reference)).
    n_reference, n_at_least : ndarray, shape (A,), int64
        Sets compared with, and those of them at least as near as the own one.
    n_left_out : ndarray, shape (A,), int64
        Reference sets that are too small to be compared, or whose pictures are spread otherwise over prompts.
    set_size : ndarray, shape (A,), int64
        Imitations of each set that are compared.
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
        """The smallest p that each artist could have had: 1 / (1 + n_reference). NaN without references."""
        return np.where(self.n_reference > 0, 1 / (1 + self.n_reference), np.nan)


def name_test(scores: SetScores, placebos: npt.ArrayLike) -> ReferenceTest:
    """Does the name matter? Compare each artist's own set with the sets of placebo names.

    Parameters
    ----------
    scores : SetScores
    placebos : array_like of int
        Numbers of the placebo names: invented artists, asked of the same model with the same prompts.

    Returns
    -------
    ReferenceTest
        For all artists that are no placebos.

    Notes
    -----
    Assumed: if the name makes no difference to the model, the own set and the placebo sets are exchangeable.
    Then the rank of the own set among them is uniform and P(p <= alpha) <= alpha, for every number of works and
    imitations, under clustering, hubs and ties, and whether or not other artists are imitated. Sets of another
    design (`SetScores.designs`) cannot be exchangeable, and are left out. The p-value is
    that of a Monte-Carlo test (Davison & Hinkley 1997, section 4.2; Phipson & Smyth 2010); ties count against.

    Not covered: a name that is real but says something else to the model ("Rose", "Marble") is no placebo.

    Examples
    --------
    >>> from imindex.stats.set_scores import collect, twice_midranks
    >>> ranks = twice_midranks([[0.9, 0.8, 0.1, 0.2, 0.3, 0.4]])
    >>> found = name_test(collect([(slice(0, 1), ranks)], [0], [0, 0, 1, 1, 2, 2], 3, rng=1), [1, 2])
    >>> found.pvalue[0].round(4).item(), found.resolution[0].round(4).item()
    (0.3333, 0.3333)
    """
    chosen = np.zeros(len(scores.sizes), np.bool_)
    chosen[np.asarray(placebos, dtype=np.int64)] = True
    return _against(scores, chosen, "placebo names", corrected=False)


def rival_test(
    scores: SetScores, placebos: npt.ArrayLike = (), *, hub_corrected: bool = True
) -> ReferenceTest:
    """Is it this artist rather than another? Compare each artist's own set with the other artists' sets.

    Parameters
    ----------
    scores : SetScores
    placebos : array_like of int
        Placebo names: they are no rivals.
    hub_corrected : bool
        Take from each set's score what it has for everybody's works, see Notes.

    Returns
    -------
    ReferenceTest

    Notes
    -----
    A hub is a set that is near to everything. The score of set s for the works of artist a is T(a, s) less the
    mean of T(i, s) over artists i other than a and s: neither the artist under test nor the cell of an artist
    with the own set enters the centre. Without a third artist there is no centre, and nothing is taken off.

    Assumed: the own set would be exchangeable with the others' sets if the release imitated this artist no more
    specifically than any other. Where others are imitated and this artist's works look generic that fails: the
    test then calls more than its level (METHODS.md has the figures). Use it beside `name_test`, as `imitated`.
    """
    chosen = scores.n_imitations > 0
    chosen[np.asarray(placebos, dtype=np.int64)] = False
    return _against(scores, chosen, "other artists", corrected=hub_corrected)


def imitated(name: ReferenceTest, rival: ReferenceTest, *, approximate: bool = False) -> Float64:
    """Does the name matter, and is it this artist? The larger of the two p-values, shape (A,).

    An intersection-union test (Berger 1982): of level alpha if each of the two is. NaN where either is. Of the
    studentised p-values, if `approximate`.
    """
    return np.maximum(name.pvalue_t, rival.pvalue_t) if approximate else np.maximum(name.pvalue, rival.pvalue)


def references_needed(level: float, n_tests: int = 1) -> int:
    """How many reference sets there must be for any p to pass Bonferroni's or Holm's first step.

    Parameters
    ----------
    level : float
        Between 0 and 1.
    n_tests : int
        Artists that are tested together.

    Examples
    --------
    >>> references_needed(0.05), references_needed(0.05, 70)
    (19, 1399)
    """
    if not 0 < level < 1 or n_tests < 1:
        raise ValueError("level must lie between 0 and 1, and there must be at least one test.")
    return int(np.ceil(n_tests / level - 1e-9)) - 1


def _against(
    scores: SetScores, chosen: npt.NDArray[np.bool_], reference: str, *, corrected: bool
) -> ReferenceTest:
    n_artists = len(scores.sizes)
    own, p, p_t, z = (np.full(n_artists, np.nan) for _ in range(4))
    n_reference, n_at_least, n_left_out = (np.zeros(n_artists, np.int64) for _ in range(3))
    statuses = [_missing(scores, artist) for artist in range(n_artists)]
    for size in np.unique(scores.sizes[scores.sizes > 0]).tolist():
        table = scores.percentiles(size)
        exact: npt.NDArray[np.float64 | np.int64] = scores.sums[size]
        if corrected:
            exact = table = table - _centres(table)
        for artist in np.flatnonzero(scores.sizes == size).tolist():
            others = chosen.copy()
            others[artist] = False
            designs = scores.designs[size]
            usable = others & (designs == designs[artist])
            n = n_reference[artist] = np.count_nonzero(usable)
            n_left_out[artist] = np.count_nonzero(others) - n
            own[artist] = table[artist, artist]
            if not n:
                statuses[artist] = f"no {reference}" + (f" {UNLIKE}" if others.any() else "")
                continue
            slack = TIE if corrected else 0
            n_at_least[artist] = np.count_nonzero(exact[artist, usable] >= exact[artist, artist] - slack)
            p[artist] = (1 + n_at_least[artist]) / (1 + n)
            z[artist], p_t[artist] = _studentised(table[artist, artist], table[artist, usable])
    return ReferenceTest(
        reference, own, p, p_t, z, n_reference, n_at_least, n_left_out, scores.sizes, tuple(statuses)
    )


def _missing(scores: SetScores, artist: int) -> str:
    if not scores.n_works[artist]:
        return "no works"
    return OK if scores.n_imitations[artist] else "no imitations"


def _centres(table: Float64) -> Float64:
    """Row a, column s: the mean of column s over artists with works other than a and s; 0 if any has none."""
    known = ~np.isnan(table)
    values = np.where(known, table, 0.0)
    diagonal = np.eye(len(table), dtype=np.bool_)
    kept, counted = np.where(diagonal, 0.0, values), known & ~diagonal
    n = counted.sum(axis=0) - counted
    total = kept.sum(axis=0) - kept
    # All sets of a row are corrected or none, so that they stay comparable.
    whole = ((n > 0) | ~known).all(axis=1)
    return np.where(whole[:, None], total / np.maximum(n, 1), 0.0)


def _studentised(own: float, references: Float64) -> tuple[float, float]:
    n = len(references)
    spread = references.std(ddof=1) if n > 1 else 0.0
    if n < 3 or not spread > 0:
        return np.nan, np.nan
    z = float((own - references.mean()) / (spread * np.sqrt(1 + 1 / n)))
    return z, max(float(stats.t.sf(z, n - 1)), LEAST)
