"""One walk over the works and the imitations of some releases, for all results that need them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import Calls
from imindex.indexer.store.index import Index
from imindex.retrieval.classify.by_works import knn_scores_of
from imindex.retrieval.evidence.match_observers import ControlFloor, Differences
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.evidence.release_names import control_collections
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing, prompt_labels
from imindex.retrieval.match.among_works import AmongWorks
from imindex.retrieval.match.match import Ranking
from imindex.retrieval.match.nearest_works import ArtistsNearest, NearestWorks
from imindex.retrieval.match.own_neighbours import OwnNeighbours
from imindex.retrieval.match.paired_cells import PairedCells
from imindex.retrieval.match.ranking import csls_penalties
from imindex.retrieval.match.similarity_pass import Block, Columns, Mergeable, Watch, walk
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors
from imindex.retrieval.vectors.select import Pictures, pictures, same_pictures
from imindex.retrieval.vectors.whitened import ALONE, whitening_of
from imindex.stats.keyed import generators
from imindex.stats.set_scores import Collector, SetScores
from imindex.stats.set_statistics import SetTable

Outline = tuple[Int64, Int64, Int64]
"""Which works of each artist are compared: `AmongWorks.outline`."""


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


class _Read(NamedTuple):
    """The imitations of a release, as `Observed` describes them."""

    rows: Int64
    columns: Columns
    imitations: Pictures
    n_repeated: int
    every_row: Int64
    every_place: Int64


def _read(shared: Shared, wanted: Wanted) -> _Read:
    index, (works, _) = shared.index, shared.works
    n_artists = len(index.artists)
    every = pictures(index, "imitations", collections=[wanted.release])
    first, group = np.unique(same_pictures(every), return_inverse=True)
    rows, artist = every.rows[first], every.artist[first]
    vectors = every.vectors if len(first) == len(group) else every.vectors[first]
    check_vectors(vectors, "imitations")
    check_artists(artist, len(vectors), n_artists, "imitation_artist")
    csls_k, penalties = csls_penalties(works.vectors, vectors, wanted.csls_k)
    columns = Columns.of(vectors, artist, n_artists, csls_k=csls_k, penalties=penalties)
    order = columns.order
    imitations = Pictures(rows[order], columns.vectors, artist[order])
    return _Read(rows, columns, imitations, len(group) - len(first), every.rows, group.astype(np.int64))


class Observed:
    """One release in a walk: its imitations, and its observers.

    Attributes
    ----------
    shared : Shared
    wanted : Wanted
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
    tables : dict from str to SetTable
        Scores of the sets by the statistics that were computed.
    """

    def __init__(
        self,
        shared: Shared,
        wanted: Wanted,
        *,
        before: Observed | None = None,
        outline: Outline | None = None,
    ):
        self.shared, self.wanted, self._outline = shared, wanted, outline
        (works, _), n_artists = shared.works, len(shared.index.artists)
        read: _Read = _read(shared, wanted) if before is None else before._read
        self._read: _Read = read
        self.rows, self.columns, self.imitations = read.rows, read.columns, read.imitations
        self.n_repeated, self.every_row, self._every_place = read.n_repeated, read.every_row, read.every_place
        self.ranking: Ranking | None = None
        self.control: ControlFloor | None = None
        self.differences: Differences | None = None
        self.votes: ArtistsNearest | None = None
        self.nearest: NearestWorks | None = None
        self.neighbours: OwnNeighbours | None = None
        self.tables: dict[str, SetTable] = {}
        self._collector: Collector | None = None
        if wanted.testing is not None:
            self._watch_tests(wanted.testing)
        if wanted.classified is not None:
            parts = wanted.classified, wanted.references
            artist = self.imitations.artist[self.columns.places()]
            chosen = np.concatenate([np.flatnonzero(np.isin(artist, part)) for part in parts])
            self._voted_rows = self.rows[chosen]
            self.votes = ArtistsNearest(self.columns.places()[chosen], n_artists)
        if wanted.nearest:
            k = min(wanted.nearest, len(shared.known.rows))
            self.nearest = NearestWorks(np.arange(len(self.rows)), k)
        if wanted.neighbours:
            self.neighbours = OwnNeighbours(works.artist, n_artists)

    def _watch_tests(self, testing: Testing) -> None:
        shared, wanted, imitations = self.shared, self.wanted, self.imitations
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
        known = shared.known.vectors
        self.differences = Differences(
            shared.among(testing) if self._outline is None else AmongWorks.outlined(known, self._outline),
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
        place: Int64 = self._every_place[np.searchsorted(self.every_row, rows)]
        return self.columns.places()[place]

    def _observers(self) -> list[tuple[Mergeable | None, Int64]]:
        """Return all observers that there may be, and the number under which each knows each work of `known`."""
        (works, places), known = self.shared.works, np.arange(len(self.shared.known.rows))
        matched = np.full(len(known), -1)
        matched[places] = np.arange(len(works.rows))
        collected = None if self._collector is None else _Midranks(self._collector)
        return [
            (self.ranking, matched),
            (collected, matched),
            (self.control, matched),
            (self.differences, matched),
            (self.neighbours, matched),
            (self.votes, known),
            (self.nearest, known),
        ]

    def watches(self, place: int) -> list[Watch]:
        """Return what each observer receives, given the position of this release in the walk."""
        watching = self._observers()
        return [Watch(observer, (place,), numbers) for observer, numbers in watching if observer is not None]

    def received(self) -> list[Any]:
        """Return what each observer has received, for `absorb`."""
        return [observer.received() for observer, _ in self._observers() if observer is not None]

    def absorb(self, received: Sequence[Any]) -> None:
        """Add what the observers of the same release have received in another process, of other artists' works."""
        observers = [observer for observer, _ in self._observers() if observer is not None]
        for observer, its in zip(observers, received, strict=True):
            observer.absorb(its)


@dataclass(frozen=True)
class _Midranks:
    """Observer that passes the midranks of a walk to a `Collector`."""

    collector: Collector

    def add(self, rows: Int64, *seen: Block) -> None:
        self.collector.add(rows, seen[0].midrank)

    def received(self) -> Any:
        return self.collector.received()

    def absorb(self, received: Any) -> None:
        self.collector.absorb(received)


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


@dataclass(frozen=True, eq=False)
class Share:
    """What workers observe, each for some of the works.

    Attributes
    ----------
    wanted : tuple of Wanted
    pairs : tuple of (base, new, works)
        As in `Pair`.
    outlines : dict of str to Outline
        By release that is tested, which works of an artist are compared.
    """

    wanted: tuple[Wanted, ...]
    pairs: tuple[tuple[str, str, Int64], ...]
    outlines: dict[str, Outline]


class Received(NamedTuple):
    """What the observers of a share have received: by release, and of each pair."""

    releases: dict[str, list[Any]]
    pairs: list[Any]


def observe(
    shared: Shared, wanted: Sequence[Wanted], pairs: Sequence[Pair] = (), *, calls: Calls | None = None
) -> dict[str, Observed]:
    """Walk once over the works of an index and the imitations of some releases.

    Parameters
    ----------
    shared : Shared
    wanted : sequence of Wanted
        One for each release, including those that are only compared.
    pairs : sequence of Pair
    calls : Calls, optional
        Workers that share the artists' works, made from `imindex.retrieval.shards.worker.Worker`. Each reads all
        imitations of the releases, and ranks them all for its works. By default, this process walks alone.

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
    if calls is not None and calls.n_workers > 1 and whitening_of(shared.index) is not None:
        raise ImindexError(ALONE)
    shared.check_works()
    releases = {request.release: Observed(shared, request) for request in wanted}
    if calls is None or calls.n_workers == 1:
        _walk(shared, releases, pairs, slice(None))
        return releases
    if any(request.keep_ranks for request in wanted):
        raise ValueError("keep_ranks needs all works in one process.")
    share = Share(
        tuple(wanted),
        tuple((pair.base, pair.new, pair.works) for pair in pairs),
        {request.release: shared.among(request.testing).outline() for request in wanted if request.testing},
    )
    for pair in pairs:
        pair.cells.watch(releases[pair.base].columns, releases[pair.new].columns)
    groups = _whole_artists(shared.known.artist, 2 * calls.n_workers)
    for received in calls.map("observe", ((works,) for works in groups), share):
        for release, observed in releases.items():
            observed.absorb(received.releases[release])
        for pair, its in zip(pairs, received.pairs, strict=True):
            pair.cells.absorb(its)
    return releases


def observe_share(
    shared: Shared, share: Share, works: Int64, before: Mapping[str, Observed]
) -> tuple[Received, dict[str, Observed]]:
    """Walk over some works in a worker.

    Parameters
    ----------
    shared : Shared
    share : Share
    works : ndarray, int64
        Positions in `Shared.known`: all works of some artists.
    before : mapping of str to Observed
        Releases that were observed by this function before, which need not be read again.

    Returns
    -------
    Received
    dict of str to Observed
        What to pass as `before` next time.
    """
    releases = {
        request.release: Observed(
            shared,
            request,
            before=_same_columns(before.get(request.release), request),
            outline=share.outlines.get(request.release),
        )
        for request in share.wanted
    }
    pairs = [Pair(base, new, PairedCells(), numbers) for base, new, numbers in share.pairs]
    _walk(shared, releases, pairs, works)
    received = {release: observed.received() for release, observed in releases.items()}
    return Received(received, [pair.cells.received() for pair in pairs]), releases


def _same_columns(before: Observed | None, wanted: Wanted) -> Observed | None:
    return before if before is not None and before.wanted.csls_k == wanted.csls_k else None


def _walk(
    shared: Shared, releases: Mapping[str, Observed], pairs: Sequence[Pair], works: slice | Int64
) -> None:
    """Walk over some of the works in `known`."""
    (_, places), known = shared.works, shared.known
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
    walk(
        known.vectors[works],
        known.artist[works],
        columns,
        [replace(watch, numbers=watch.numbers[works]) for watch in watches],
        sequence=sequence[works],
    )


def _whole_artists(artist: Int64, n_groups: int) -> list[Int64]:
    """Divide works into groups of about equal size; the works of an artist are in one group."""
    order = np.argsort(artist, kind="stable")
    ends = np.flatnonzero(np.diff(artist[order], append=-1)) + 1
    wanted = len(order) * np.arange(1, n_groups + 1) / n_groups
    cuts = np.unique(ends[np.searchsorted(ends, wanted - 0.5)])
    return [np.sort(group) for group in np.split(order, cuts[:-1])]


def _controls_of(index: Index, imitations: Pictures) -> Pictures | None:
    """Return the control pictures of the release (a collection of the same name), or else those of no release."""
    own = index.collections[int(index.column("collection")[imitations.rows[0]])].name
    chosen = control_collections(index, own)
    return pictures(index, "control", collections=chosen) if chosen else None
