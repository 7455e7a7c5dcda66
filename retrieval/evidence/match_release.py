"""Match the imitations of a release with the works, and test each artist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.runners.calls import Calls
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.system.index_files import Named
from imindex.retrieval.evidence.compared import BACKGROUND
from imindex.retrieval.evidence.match_tests import match_evidence
from imindex.retrieval.evidence.release_names import names_of_release
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.match.match import Figures, match
from imindex.retrieval.results import (
    ArtistTests,
    AucMatrix,
    MatchedArtist,
    Matching,
    RankFigures,
    fields_of,
)
from imindex.retrieval.shards.ranks import match_by_workers
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.hubs import CSLS_K
from imindex.retrieval.vectors.select import distinct, pictures, release, without_vectors
from imindex.retrieval.vectors.whitened import ALONE, whitened, whitened_by


def match_release(  # noqa: PLR0913
    path: Named | Index,
    collection: str | None = None,
    *,
    csls: bool = False,
    csls_k: int = CSLS_K,
    recall_at: Sequence[int] = (1, 5, 10, 50),
    ranks_file: Path | None = None,
    testing: Testing | None = None,
    matrix: bool = True,
    observed: Observed | None = None,
    background: int = BACKGROUND,
    calls: Calls | None = None,
    whiten: bool = False,
) -> Matching:
    """Rank the imitations of a release for each work, and optionally test the results.

    Parameters
    ----------
    path : path-like, sequence of path-like, or Index
        The path of an index, or an open index; several files, or a pattern of them, are read as one.
    collection : str, optional
        The release; by default the only one.
    csls : bool
        Whether to correct for hubs with CSLS, over `csls_k` neighbours. By default as in `testing`.
    recall_at : sequence of int
        The values of k for recall and hit.
    ranks_file : Path, optional
        Write `ranks` (works x imitations, int32) and the index rows `works` and `imitations` to this .npz file.
    testing : Testing, optional
        How to test. By default nothing is tested.
    matrix : bool
        Whether to also compute the AUC of each artist's imitations for every other artist's works. If nothing is
        tested and no ranks are kept, False is much faster and takes less memory.
    observed : Observed, optional
        The release, if it was observed before with this `testing`. The options for ranks are then those of that walk.
    background : int
        As in `Testing`, which replaces it.
    calls : Calls, optional
        Workers made from `imindex.retrieval.shards.worker.Worker` for this index. Without tests, matrix and
        `ranks_file`, each counts pieces of the imitations, and nobody holds all of them. With tests, each ranks all
        imitations for some of the works. Results do not depend on them.
    whiten : bool
        Whiten all vectors by what is learnt on works (`imindex.stats.whitening`). By default as in `testing`.

    Returns
    -------
    Matching
        `evidence` is None if nothing was tested, and `auc_matrix` is None if `matrix` is False.

    Raises
    ------
    ImindexError
        If there is no such release, there are no works, or `testing` has an invalid placebo name.
    """
    tests: Mapping[int, ArtistTests] = {}
    evidence = None
    comparing = Testing(background=background) if testing is None else testing
    k = csls_k if csls else comparing.csls_k
    with opened(path) as index:
        if whiten or comparing.whiten:
            if calls is not None and calls.n_workers > 1:
                raise ImindexError(ALONE)
            index, calls = whitened(index), None
        name, _ = release(index, collection)
        in_pieces = (
            calls is not None
            and testing is None
            and observed is None
            and not (matrix or ranks_file is not None)
        )
        if observed is not None:
            asked = observed.imitations
        elif in_pieces:
            asked = without_vectors(index, "imitations", collections=[name])
        else:
            asked = pictures(index, "imitations", collections=[name])
        # Fails early, before the long computation, if a placebo name is not one.
        resolved, names = names_of_release(index, name, asked, testing or Testing())
        testing = testing and resolved
        if in_pieces:
            assert calls is not None
            works, works_repeated = distinct(pictures(index, "works"))
            ranked = match_by_workers(index, name, works, calls, csls_k=k, recall_at=recall_at)
            result, imitations, imitations_repeated = ranked.match, ranked.imitations, ranked.n_repeated
            shared = Shared(index)
            gaps = shared.discrimination(comparing, np.union1d(works.artist, imitations.artist))
        elif testing is None:
            works, works_repeated = distinct(pictures(index, "works"))
            imitations, imitations_repeated = distinct(asked)
            result = match(
                works.vectors,
                works.artist,
                imitations.vectors,
                imitations.artist,
                len(index.artists),
                csls_k=k,
                recall_at=recall_at,
                keep_ranks=ranks_file is not None,
                matrix=matrix,
            )
            # Artists must also be distinguished from those in the background.
            shared = Shared(index)
            shown = np.union1d(works.artist, imitations.artist)
            gaps = shared.discrimination(comparing, shown)
        else:
            if observed is None:
                wanted = Wanted(
                    name,
                    testing,
                    csls_k=k,
                    recall_at=recall_at,
                    matrix=matrix,
                    keep_ranks=ranks_file is not None,
                )
                spread = None if wanted.keep_ranks else calls
                observed = observe(Shared(index), [wanted], calls=spread)[name]
            assert observed.ranking is not None
            shared = observed.shared
            works, works_repeated = shared.works[0], shared.n_repeated_works
            imitations, imitations_repeated = observed.imitations, observed.n_repeated
            result = observed.ranking.finish()
            tests, evidence = match_evidence(observed, testing)
            if names is not None and names.notes:
                evidence = replace(evidence, notes=(*evidence.notes, *names.notes))
            gaps = shared.among(testing).discrimination
        if ranks_file is not None and result.ranks is not None:
            _save_ranks(ranks_file, result.ranks, works.rows, np.sort(imitations.rows))
        present = np.flatnonzero((result.n_works > 0) | (result.n_imitations > 0))
        return Matching(
            collection=name,
            root_digest=index.root_digest,
            encoder=index.encoder.name(),
            csls_k=result.csls_k,
            recall_at=tuple(recall_at),
            n_works=len(works.rows),
            n_imitations=len(imitations.rows),
            n_repeated_works=works_repeated,
            n_repeated_imitations=imitations_repeated,
            n_artists=sum(status == "ok" for status in result.status),
            macro=_at(result.macro, ()),
            artists=tuple(
                MatchedArtist(
                    **fields_of(tests.get(a) or ArtistTests(artist=index.artists[a])),
                    **fields_of(_at(result.artists, a)),
                    n_works=int(result.n_works[a]),
                    n_imitations=int(result.n_imitations[a]),
                    status=result.status[a],
                    gap=gaps.gap[a],
                    gap_nearest=index.artists[gaps.nearest[a]] if gaps.nearest[a] >= 0 else "",
                    gap_status=gaps.status[a],
                )
                for a in present.tolist()
            ),
            evidence=evidence,
            auc_matrix=AucMatrix(
                artists=tuple(index.artists[a] for a in present),
                values=tuple(map(tuple, result.auc_matrix[np.ix_(present, present)].tolist())),
            )
            if matrix
            else None,
            demonstration=is_demonstration(index.encoder.weights_sha256),
            names=names,
            sampled_works=shared.compared(comparing).sampled,
            whitened=whitened_by(index),
        )


def _at(figures: Figures, position: Any) -> RankFigures:
    """Return the figures at an index; ``()`` for scalars."""
    return RankFigures(
        auc=figures.auc[position],
        rank_percentile=figures.rank_percentile[position],
        reciprocal_rank=figures.reciprocal_rank[position],
        average_precision=figures.average_precision[position],
        recall={k: values[position] for k, values in figures.recall.items()},
        hit={k: values[position] for k, values in figures.hit.items()},
    )


def _save_ranks(path: Path, ranks: Any, works: Int64, imitations: Int64) -> None:
    from imindex.indexer.system.atomic import put_in_place

    with put_in_place(path) as file:
        np.savez(file, ranks=ranks, works=works, imitations=imitations)
