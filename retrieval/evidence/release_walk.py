"""One walk over the works and the imitations of some releases, for all results that need them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.classify.by_works import knn_scores_of
from imindex.retrieval.evidence.match_observers import ControlFloor, Differences
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.evidence.release_names import control_collections
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing, prompt_labels
from imindex.retrieval.match.match import Ranking
from imindex.retrieval.match.nearest_works import ArtistsNearest, NearestWorks
from imindex.retrieval.match.own_neighbours import OwnNeighbours
from imindex.retrieval.match.paired_cells import PairedCells
from imindex.retrieval.match.ranking import csls_penalties
from imindex.retrieval.match.similarity_pass import Block, Columns, Observer, Watch, walk
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors
from imindex.retrieval.vectors.select import Pictures, pictures, same_pictures
from imindex.stats.keyed import generators
from imindex.stats.set_scores import Collector, SetScores


@dataclass(frozen=True)
class Wanted:
    """What to observe of one release.

    Attributes
    ----------
    release : str
    testing : Testing, optional
        If given, observe what `imindex.retrieval.evidence.match_release.match_release` needs to match and test the
        release.
    csls_k : int, optional
    recall_at : sequence of int
    matrix, keep_ranks : bool
        As in `match_release`.
    classified : sequence of int, optional
        Numbers of the artists whose imitations are classified by works.
    references : sequence of int
        Numbers of the placebo names whose pictures are classified as well.
    nearest : int
        Number of nearest works to keep for each imitation.
    neighbours : bool
        Whether to find the nearest own imitation of each work.
    """

    release: str
    testing: Testing | None = None
    csls_k: int | None = None
    recall_at: Sequence[int] = (1, 5, 10, 50)
    matrix: bool = True
    keep_ranks: bool = False
    classified: Sequence[int] | None = None
    references: Sequence[int] = ()
    nearest: int = 0
    neighbours: bool = False


class Observed:
    """One release in a walk: its imitations, and its observers.

    Attributes
    ----------
    shared : Shared
    rows : ndarray, shape (M,), int64
        Rows in the index of the distinct imitations, ascending.
    every_row : ndarray of int64
        Rows of all imitations, including repetitions, ascending.
    columns : Columns
        The distinct imitations, sorted by artist.
    imitations : Pictures
        The same, with their rows in the index.
    n_repeated : int
        Number of repeated imitations that are excluded.
    ranking : Ranking or None
    control : ControlFloor or None
        None also if there are no control pictures.
    differences : Differences or None
        Present if the release is tested.
    votes : ArtistsNearest or None
        For the imitations that are classified, in the order of their rows, and then for those of placebo names.
    nearest : NearestWorks or None
        For each column. Works are numbered as in `Shared.known`.
    neighbours : OwnNeighbours or None
        Works are numbered as in `Shared.works`, imitations by their position in `rows`.
    """

    def __init__(self, shared: Shared, wanted: Wanted):
        self.shared, self._wanted = shared, wanted
        index, (works, _) = shared.index, shared.works
        n_artists = len(index.artists)
        every = pictures(index, "imitations", collections=[wanted.release])
        first, group = np.unique(same_pictures(every), return_inverse=True)
        self.rows, artist = every.rows[first], every.artist[first]
        vectors = every.vectors if len(first) == len(group) else every.vectors[first]
        check_vectors(vectors, "imitations")
        check_artists(artist, len(vectors), n_artists, "imitation_artist")
        csls_k, penalties = csls_penalties(works.vectors, vectors, wanted.csls_k)
        self.columns = Columns.of(vectors, artist, n_artists, csls_k=csls_k, penalties=penalties)
        order = self.columns.order
        self.imitations = Pictures(self.rows[order], self.columns.vectors, artist[order])
        self.n_repeated = len(group) - len(first)
        self.every_row, self._every_place = every.rows, group

        self.ranking: Ranking | None = None
        self.control: ControlFloor | None = None
        self.differences: Differences | None = None
        self.votes: ArtistsNearest | None = None
        self.nearest: NearestWorks | None = None
        self.neighbours: OwnNeighbours | None = None
        self._collector: Collector | None = None
        if wanted.testing is not None:
            self._watch_tests(wanted.testing)
        if wanted.classified is not None:
            parts = wanted.classified, wanted.references
            chosen = np.concatenate([np.flatnonzero(np.isin(artist, part)) for part in parts])
            self._voted_rows = self.rows[chosen]
            self.votes = ArtistsNearest(self.columns.places()[chosen], n_artists)
        if wanted.nearest:
            k = min(wanted.nearest, len(shared.known.rows))
            self.nearest = NearestWorks(np.arange(len(order)), k)
        if wanted.neighbours:
            self.neighbours = OwnNeighbours(works.artist, n_artists)

    def _watch_tests(self, testing: Testing) -> None:
        shared, wanted, imitations = self.shared, self._wanted, self.imitations
        names, (works, places) = shared.index.artists, shared.works
        self.ranking = Ranking(
            works.artist,
            imitations.artist,
            len(names),
            csls_k=self.columns.csls_k,
            recall_at=wanted.recall_at,
            matrix=wanted.matrix,
            keep_ranks=wanted.keep_ranks,
        )
        self._collector = Collector(
            works.artist,
            imitations.artist,
            len(names),
            prompt=prompt_labels(shared.index, imitations),
            template=template_labels(shared.index, imitations),
            rng=generators(testing.seed, "subsample", names),
        )
        control = _controls_of(shared.index, imitations)
        if control is not None:
            self.control = ControlFloor(works.vectors, works.artist, control.vectors, len(names))
        self.differences = Differences(
            shared.among(testing),
            places,
            works.artist,
            testing.n_resamples,
            generators(testing.seed, "MMD", names),
        )

    @functools.cached_property
    def scores(self) -> SetScores:
        """Scores of the sets. Imitations are numbered by their position in `imitations`."""
        assert self._collector is not None
        return self._collector.finish()

    def knn_scores(self, rows: Int64, k: int) -> Float64:
        """Return the `imindex.retrieval.classify.by_works.knn_scores` of the imitations that are classified.

        Parameters
        ----------
        rows : ndarray, shape (N,), int64
            Rows of these imitations, ascending, and then those of placebo names, ascending.
        k : int
            At most the number of works that `nearest` keeps.

        Notes
        -----
        The scores overwrite `votes`, to hold a single table, so this method can be called only once.
        """
        assert self.votes is not None and self.nearest is not None
        if not np.array_equal(rows, self._voted_rows):
            raise ValueError("rows are not those of the imitations that were observed for classification.")
        nearest, _ = self.nearest.finish()
        best, self.votes = self.votes.cosine, None
        return knn_scores_of(best, nearest[self.columns_of(rows), :k], self.shared.known.artist)

    def columns_of(self, rows: Int64) -> Int64:
        """Return the columns of imitations, including repetitions, given their rows in the index."""
        return self.columns.places()[self._every_place[np.searchsorted(self.every_row, rows)]]

    def watches(self, place: int) -> list[Watch]:
        """Return what each observer receives, given the position of this release in the walk."""
        (works, places), known = self.shared.works, np.arange(len(self.shared.known.rows))
        matched = np.full(len(known), -1)
        matched[places] = np.arange(len(works.rows))
        collected = None if self._collector is None else _Midranks(self._collector)
        watching: list[tuple[Observer | None, Int64]] = [
            (self.ranking, matched),
            (collected, matched),
            (self.control, matched),
            (self.differences, matched),
            (self.neighbours, matched),
            (self.votes, known),
            (self.nearest, known),
        ]
        return [Watch(observer, (place,), numbers) for observer, numbers in watching if observer is not None]


@dataclass(frozen=True)
class _Midranks:
    """Observer that passes the midranks of a walk to a `Collector`."""

    collector: Collector

    def add(self, rows: Int64, *seen: Block) -> None:
        self.collector.add(rows, seen[0].midrank)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two releases to compare.

    Attributes
    ----------
    base, new : str
    cells : PairedCells
    works : ndarray, shape (W,), int64
        The number of each work of `Shared.works` in the comparison; -1 for works that are not compared.
    """

    base: str
    new: str
    cells: PairedCells
    works: Int64


def observe(shared: Shared, wanted: Sequence[Wanted], pairs: Sequence[Pair] = ()) -> dict[str, Observed]:
    """Walk once over the works of an index and the imitations of some releases.

    Parameters
    ----------
    shared : Shared
    wanted : sequence of Wanted
        One for each release, including those that are only compared.
    pairs : sequence of Pair

    Returns
    -------
    dict of str to Observed
        By release. Its observers have received all works.

    Raises
    ------
    ImindexError
        If there is no such release, or there are no works.
    ValueError
        If the vectors are not float16 unit vectors, or a picture has no artist.
    """
    (_, places), known = shared.works, shared.known
    shared.check_works()
    releases = {request.release: Observed(shared, request) for request in wanted}
    position = {release: place for place, release in enumerate(releases)}
    watches = [
        watch for release, observed in releases.items() for watch in observed.watches(position[release])
    ]
    for pair in pairs:
        numbers = np.full(len(known.rows), -1)
        numbers[places] = pair.works
        watches.append(Watch(pair.cells, (position[pair.base], position[pair.new]), numbers))
    sequence = len(places) + np.arange(len(known.rows))
    sequence[places] = np.arange(len(places))
    columns = [observed.columns for observed in releases.values()]
    walk(known.vectors, known.artist, columns, watches, sequence=sequence)
    return releases


def _controls_of(index: Index, imitations: Pictures) -> Pictures | None:
    """Return the control pictures of the release (a collection of the same name), or else those of no release."""
    own = index.collections[int(index.column("collection")[imitations.rows[0]])].name
    chosen = control_collections(index, own)
    return pictures(index, "control", collections=chosen) if chosen else None
