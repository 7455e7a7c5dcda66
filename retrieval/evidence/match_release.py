"""Match the imitations of one release with the works, and test each artist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.store.index import Index, opened
from imindex.retrieval.evidence.match_tests import match_evidence
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing, placebo_numbers
from imindex.retrieval.match.discrimination import discrimination_gap
from imindex.retrieval.match.match import Figures, match
from imindex.retrieval.results import (
    ArtistTests,
    AucMatrix,
    MatchedArtist,
    Matching,
    RankFigures,
    fields_of,
)
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import distinct, pictures, release


def match_release(  # noqa: PLR0913
    path: Path | Index,
    collection: str | None = None,
    *,
    csls: bool = False,
    csls_k: int = 15,
    recall_at: Sequence[int] = (1, 5, 10, 50),
    ranks_file: Path | None = None,
    testing: Testing | None = None,
    matrix: bool = True,
    observed: Observed | None = None,
) -> Matching:
    """Rank the imitations of a release by every work, and test what was found.

    Parameters
    ----------
    path : Path or Index
        The index, or one that is open already.
    collection : str, optional
        The release; by default the only one.
    csls : bool
        Correct for hubs with CSLS, over `csls_k` neighbours.
    recall_at : sequence of int
    ranks_file : Path, optional
        Write `ranks` (works x imitations, int32), and the rows `works` and `imitations`, as .npz.
    testing : Testing, optional
        How to test; by default nothing is tested.
    matrix : bool
        Whether to find the AUC of each artist's imitations for every other artist's works as well. Where nothing is
        tested and no ranks are kept, it is much quicker without, and takes less memory.
    observed : Observed, optional
        What was seen of the release, where works and imitations were walked before with this `testing`; the options
        that concern ranks are then those of that walk.

    Returns
    -------
    Matching
        `evidence` is None where nothing was tested, `auc_matrix` where it was not wanted.

    Raises
    ------
    ImindexError
        No such release, no works, or a placebo name that is none.
    """
    tests: Mapping[int, ArtistTests] = {}
    evidence = None
    with opened(path) as index:
        name, _ = release(index, collection)
        if testing is None:
            works, works_repeated = distinct(pictures(index, "works"))
            imitations, imitations_repeated = distinct(pictures(index, "imitations", collections=[name]))
            found = match(
                works.vectors,
                works.artist,
                imitations.vectors,
                imitations.artist,
                len(index.artists),
                csls_k=csls_k if csls else None,
                recall_at=recall_at,
                keep_ranks=ranks_file is not None,
                matrix=matrix,
            )
            # An artist in the background is one to be told from.
            known, _ = distinct(pictures(index, "works", "background"))
            gaps = discrimination_gap(
                known.vectors,
                known.artist,
                len(index.artists),
                cluster=near_duplicates(known.vectors, known.artist)[0],
            )
        else:
            if observed is None:
                imitations = pictures(index, "imitations", collections=[name])
                placebo_numbers(index, testing.placebos, imitations)  # before the long part
                wanted = Wanted(
                    name,
                    testing,
                    csls_k=csls_k if csls else None,
                    recall_at=recall_at,
                    matrix=matrix,
                    keep_ranks=ranks_file is not None,
                )
                observed = observe(Shared(index), [wanted])[name]
            assert observed.ranking is not None
            shared = observed.shared
            works, works_repeated = shared.works[0], shared.n_repeated_works
            imitations, imitations_repeated = observed.imitations, observed.n_repeated
            found = observed.ranking.finish()
            tests, evidence = match_evidence(observed, testing)
            gaps = shared.among(testing).discrimination
        if ranks_file is not None and found.ranks is not None:
            _save_ranks(ranks_file, found.ranks, works.rows, np.sort(imitations.rows))
        concerned = np.flatnonzero((found.n_works > 0) | (found.n_imitations > 0))
        return Matching(
            collection=name,
            root_digest=index.root_digest,
            encoder=index.encoder.name(),
            csls_k=found.csls_k,
            recall_at=tuple(recall_at),
            n_works=len(works.rows),
            n_imitations=len(imitations.rows),
            n_repeated_works=works_repeated,
            n_repeated_imitations=imitations_repeated,
            n_artists=sum(status == "ok" for status in found.status),
            macro=_at(found.macro, ()),
            artists=tuple(
                MatchedArtist(
                    **fields_of(tests.get(a) or ArtistTests(artist=index.artists[a])),
                    **fields_of(_at(found.artists, a)),
                    n_works=int(found.n_works[a]),
                    n_imitations=int(found.n_imitations[a]),
                    status=found.status[a],
                    gap=gaps.gap[a],
                    gap_nearest=index.artists[gaps.nearest[a]] if gaps.nearest[a] >= 0 else "",
                    gap_status=gaps.status[a],
                )
                for a in concerned.tolist()
            ),
            evidence=evidence,
            auc_matrix=AucMatrix(
                artists=tuple(index.artists[a] for a in concerned),
                values=tuple(map(tuple, found.auc_matrix[np.ix_(concerned, concerned)].tolist())),
            )
            if matrix
            else None,
        )


def _at(figures: Figures, place: Any) -> RankFigures:
    """The figures of one artist, or with ``()`` the only ones there are."""
    return RankFigures(
        auc=figures.auc[place],
        rank_percentile=figures.rank_percentile[place],
        reciprocal_rank=figures.reciprocal_rank[place],
        average_precision=figures.average_precision[place],
        recall={k: values[place] for k, values in figures.recall.items()},
        hit={k: values[place] for k, values in figures.hit.items()},
    )


def _save_ranks(path: Path, ranks: Any, works: Int64, imitations: Int64) -> None:
    from imindex.indexer.system.atomic import put_in_place

    with put_in_place(path) as temporary, temporary.open("wb") as file:
        np.savez(file, ranks=ranks, works=works, imitations=imitations)
