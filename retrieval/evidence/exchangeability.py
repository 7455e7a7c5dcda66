"""Diagnose whether the placebo sets of a release are exchangeable with its sets of real names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.testing import Testing, numbers_of
from imindex.retrieval.results import Exchangeability
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.exchangeability import LEAST_SETS, exchangeability_test
from imindex.stats.keyed import generator
from imindex.stats.set_scores import SetScores
from imindex.stats.set_statistics import SetTable

UNKNOWN = "names that the release cannot know"
OTHERS = "pictures of real names without a name effect, compared with the works of other artists"


def diagnose(  # noqa: PLR0913
    index: Index,
    scores: SetScores,
    placebos: Sequence[int],
    testing: Testing,
    imitations: Pictures,
    *,
    nearest: Int64 | None = None,
    learned: SetTable | None = None,
    p_name: Float64 | None = None,
) -> tuple[tuple[Exchangeability, ...], tuple[str, ...]]:
    """Compare the placebo sets with sets of real names.

    Parameters
    ----------
    index : Index
    scores : SetScores
    placebos : sequence of int
        Numbers of the placebo names.
    testing : Testing
        Its `unknown` names are compared with the placebo names in all cells; all real names, in the cells of other
        artists.
    imitations : Pictures
    nearest : ndarray, shape (A,), int64, optional
        For each artist, the artist with the most similar works, or -1. The two count as one school, and their sets are
        not compared with each other's works.
    learned : SetTable, optional
        Scores by the statistic of the tests; by default mean rank percentiles.
    p_name : ndarray, shape (A,), float64, optional
        p-values of the name test. Artists at or below the level are not among the real names that are compared: the
        pictures of a name that the release knows differ from those of placebo names, as they should.

    Returns
    -------
    diagnostics : tuple of Exchangeability
        First of the unknown names, if there are enough, then of all real names.
    notes : tuple of str
        One for each diagnostic that rejects at the level of the tests.

    Notes
    -----
    Only sets of the design that most placebo sets have are compared, at the size at which most artists are.
    """
    tested = np.flatnonzero(scores.sizes > 0)
    if not len(placebos) or not len(tested):
        return (), ()
    sizes, counts = np.unique(scores.sizes[tested], return_counts=True)
    size = int(sizes[np.argmax(counts)])
    designs = scores.designs[size]
    of_placebos = designs[list(placebos)]
    values, counts = np.unique(of_placebos[of_placebos >= 0], return_counts=True)
    if not len(values):
        return (), ()
    design = values[np.argmax(counts)]
    table = scores.percentiles(size) if learned is None else learned.values[size]
    compared = [a for a in placebos if designs[a] == design]
    known = np.zeros(len(designs), np.bool_)
    if p_name is not None:
        known = np.nan_to_num(p_name, nan=1.0) <= testing.level * (1 + 1e-9)
    real = [a for a in np.flatnonzero((designs == design) & ~known).tolist() if a not in set(placebos)]
    asked = set(numbers_of(index, testing.unknown, imitations)) - set(placebos)
    unknown = [a for a in np.flatnonzero(designs == design).tolist() if a in asked]
    own = _own_cells(len(table), nearest)
    found = []
    for others, what, excluded in ((unknown, UNKNOWN, None), (real, OTHERS, own)):
        if min(len(compared), len(others)) < LEAST_SETS:
            continue
        # The order of columns must not depend on the index.
        order = sorted(others, key=lambda a: index.artists[a])
        result = exchangeability_test(
            table,
            sorted(compared, key=lambda a: index.artists[a]),
            order,
            excluded=excluded,
            n_resamples=testing.n_resamples,
            rng=generator(testing.seed, "exchangeability", what),
        )
        if np.isnan(result.pvalue):
            continue
        found.append(
            Exchangeability(
                compares=what,
                statistic=result.statistic,
                p=result.pvalue,
                shift=result.shift,
                p_shift=result.shift_pvalue,
                spread=result.spread,
                p_spread=result.spread_pvalue,
                n_placebos=result.n_placebos,
                n_others=result.n_others,
                n_artists=result.n_artists,
            )
        )
    return tuple(found), tuple(note for one in found if (note := _note(one, testing.level)))


def _own_cells(n: int, nearest: Int64 | None) -> npt.NDArray[np.bool_]:
    excluded = np.eye(n, dtype=np.bool_)
    if nearest is not None:
        known = np.flatnonzero(nearest >= 0)
        excluded[known, nearest[known]] = excluded[nearest[known], known] = True
    return excluded


def _note(result: Exchangeability, level: float) -> str:
    if result.p is None or result.p > level:
        return ""
    shift, spread = result.shift or 0.0, result.spread or 0.0
    differ = []
    if result.p_shift is not None and result.p_shift <= level:
        differ.append("are nearer to works in general" if shift > 0 else "are further from works in general")
    if result.p_spread is not None and result.p_spread <= level:
        differ.append("scatter more" if spread > 0 else "scatter less")
    how = " and ".join(differ) or "differ"
    often = result.calls_too_often(level)
    return (
        f"The placebo names are not a fair reference (p = {result.p:.2g}): {result.compares}, {how} "
        f"{'than' if differ else 'from'} pictures of placebo names. The name test may therefore find an effect too "
        f"{'often' if often else 'seldom'}, whatever its p-values say."
    )
