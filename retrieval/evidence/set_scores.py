"""Scores of the sets of a release by one encoder, in a form in which those of several encoders can be combined."""

from __future__ import annotations

import numpy as np

from imindex.retrieval.evidence.detectable import MOST_ARTISTS, Scored, evenly, moved_sets
from imindex.retrieval.evidence.match_tests import learned_table
from imindex.retrieval.evidence.release_walk import Observed
from imindex.retrieval.evidence.testing import Testing, placebo_numbers, reference_numbers
from imindex.retrieval.results import ArtistSetScores, ReleaseSetScores
from imindex.stats.references import hub_corrected
from imindex.stats.validity import FEWEST


def set_scores(observed: Observed, testing: Testing) -> ReleaseSetScores:
    """Return the scores of all sets for each artist with works and imitations.

    Parameters
    ----------
    observed : Observed
        Of the release, with this testing.
    testing : Testing

    Returns
    -------
    ReleaseSetScores
    """
    index, scores, shared = observed.shared.index, observed.scores, observed.shared
    names = index.artists
    placebos = placebo_numbers(index, testing.placebos, observed.imitations)
    only = reference_numbers(index, testing, observed.imitations)
    statistic, learned = learned_table(observed, testing)
    told = shared.told(statistic, testing)
    present = scores.present
    tested = sorted(np.flatnonzero(scores.sizes > 0).tolist(), key=lambda a: names[a])
    judged = [a for a in tested if told.told[a] and told.n_clusters[a] >= FEWEST]
    moving = {judged[i] for i in evenly(len(judged), MOST_ARTISTS)} if judged else set()
    scored = Scored(
        shared.works[0],
        observed.imitations,
        scores,
        None if learned is None else shared.scorer(statistic),
        learned,
    )
    rows = []
    for a in tested:
        size = int(scores.sizes[a])
        table = scores.percentiles(size) if learned is None else learned.values[size]
        compared = hub_corrected(table, statistic)
        can_tell = bool(told.told[a]) if told.n_clusters[a] >= FEWEST and np.isfinite(told.auc[a]) else None
        rows.append(
            ArtistSetScores(
                artist=names[a],
                told=can_tell,
                same_design=tuple((scores.designs[size][present] == scores.designs[size][a]).tolist()),
                scores=tuple(table[a, present].tolist()),
                rival_scores=None if compared is table else tuple(compared[a, present].tolist()),
                moved=moved_sets(scored, a, names, only.get(a, placebos)) if a in moving else None,
            )
        )
    return ReleaseSetScores(
        statistic=statistic, sets=tuple(names[n] for n in present.tolist()), artists=tuple(rows)
    )
