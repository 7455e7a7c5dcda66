"""Candidates for copies: imitations that repeat one work, which is another finding than having an artist's style."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.decode.rendering import Rendering
from imindex.indexer.store.index import Index
from imindex.indexer.system.cpu import processors
from imindex.retrieval.evidence.copy_rule import FLOOR, RATE, Nearest, calibrate, candidates, near_series
from imindex.retrieval.evidence.looks import File, batches
from imindex.retrieval.evidence.outlines import Alike, Field, Searched, Sought, alike
from imindex.retrieval.evidence.proposals import coarse_middles, coarse_windows, nearest_outlines
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.match.nearest_works import NearestWorks
from imindex.retrieval.match.similarity_pass import Columns, Watch, walk
from imindex.retrieval.results import Copies, CopyPair
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_pair

NEAREST = 5
"""Works that each picture is compared with: this many by the encoder, and as many by coarse outlines."""
SAME_WORK = 0.95
"""Works whose outlines agree as far are one work twice (two scans, two encodings), and say nothing of a series."""
SERIES = 100
"""Other works of the artist that the work is compared with, the nearest first."""
COMPARISONS = 12
"""Pairs that are no candidates and are listed for comparison."""
TOGETHER = 256
"""Number of pictures that are read at a time."""


def nearest_works(imitations: Float16, works: Float16, k: int = NEAREST) -> tuple[Int64, Float64]:
    """The k nearest works of each imitation, and the cosines.

    Parameters
    ----------
    imitations : ndarray, shape (m, d), float16, unit norm
    works : ndarray, shape (w, d), float16, unit norm

    Returns
    -------
    work : ndarray, shape (m, min(k, w)), int64
        The nearest first; of equal ones the first.
    cosine : ndarray, of that shape, float64
    """
    made, left = check_pair(imitations, works, ("imitations", "works"))
    observer = NearestWorks(np.arange(len(made)), min(k, len(left)))
    columns = Columns.of(made, np.zeros(len(made), np.int64), 1)
    walk(left, np.zeros(len(left), np.int64), [columns], [Watch(observer, (0,), np.arange(len(left)))])
    return observer.finish()


@dataclass(frozen=True)
class Found:
    """The work that a picture comes nearest to: its position in `every_work`, and how near."""

    work: int
    alike: Alike
    same_bytes: bool


def copies(
    index: Index,
    collection: str,
    placebos: Collection[str] = (),
    *,
    rate: float = RATE,
    observed: Observed | None = None,
) -> Copies:
    """List the pictures of a release that are candidates for copies of works.

    Parameters
    ----------
    index : Index
        The pictures lie where it says.
    collection : str
        The release.
    placebos : collection of str
        Names whose pictures cannot be copies of the works.
    rate : float
        Probability that a release without copies has a candidate.
    observed : Observed, optional
        The release, if it was observed before, with at least `NEAREST` nearest works.

    Returns
    -------
    Copies

    Notes
    -----
    Each picture is compared with the works that encoder and coarse outlines find nearest, and is paired with the work
    whose outlines agree best. `imindex.retrieval.evidence.copy_rule.calibrate` sets the threshold from the pictures of
    the placebo names, which are compared in the same way. A candidate lies above it, shows a work of the artist that it
    was made for, and is nearer to the work than the artist's other works are. A file with the bytes of a work is a
    candidate whoever it was made for; it says nothing of the threshold.
    """
    if observed is None:
        observed = observe(Shared(index), [Wanted(collection, nearest=NEAREST)])[collection]
    release = Compared(observed, frozenset(placebos))
    found = release.nearest()
    calibration = calibrate(release.of_placebos(found), rate)
    called = release.called(found, calibration.threshold)
    listed = sorted(found, key=lambda k: (k not in called, -found[k].alike.value, k))
    shown = listed[: len(called) + COMPARISONS]
    return Copies(
        rate=rate,
        bound=calibration.bound,
        threshold=calibration.threshold,
        n_compared=release.n_read,
        n_unread=len(release.rows) - release.n_read,
        n_placebo_names=calibration.n_names,
        n_placebo_false=calibration.n_false,
        pairs=tuple(release.pair(k, found[k], k in called) for k in shown),
    )


class Compared:
    """The pictures of a release, and the works that they are compared with. Pictures are named by their position."""

    def __init__(self, observed: Observed, placebos: frozenset[str]):
        self._observed, self._placebos = observed, placebos
        shared, index = observed.shared, observed.shared.index
        self._shared, self._works, self._looks, self._series = (
            shared,
            shared.every_work,
            shared.looks,
            shared.series,
        )
        self._places = index.places()
        self._rendering = Rendering(index.encoder.color, index.encoder.truncated)
        names = ("artist", "path", "prompt", "seed", "sha256", "width", "height")
        self._columns = {name: index.column(name) for name in names}
        self._artists = index.artists
        self.rows, self._by_encoder = nearest_by_encoder(observed)
        self.n_read = 0

    def nearest(self) -> dict[int, Found]:
        """Compare each picture with works. A picture that cannot be read has none, unless it has a work's bytes."""
        sought = self._sought()
        self.n_read = len(sought)
        by_work: dict[int, list[int]] = defaultdict(list)
        for k, proposed in self._proposed(sought).items():
            for work in proposed:
                by_work[work].append(k)

        def compare(work: int) -> list[tuple[int, Found]]:
            return [(k, Found(work, value, False)) for k, value in self._compare(work, by_work[work], sought)]

        found: dict[int, Found] = {}
        for works in batches(sorted(by_work), TOGETHER):
            self._looks.load(self._file_of_work(work) for work in works)
            with ThreadPoolExecutor(processors()) as pool:
                for k, one in itertools.chain.from_iterable(pool.map(compare, works)):
                    # Of works that agree equally, the first in the index is named.
                    if k not in found or one.alike.value > found[k].alike.value:
                        found[k] = one
        digests = self._columns["sha256"]
        first = {
            bytes(digests[row]): work for work, row in reversed(list(enumerate(self._works.rows.tolist())))
        }
        for k, row in enumerate(self.rows.tolist()):
            same = first.get(bytes(digests[row]))
            if same is not None:
                found[k] = Found(same, Alike(1.0, False), True)
        return found

    def of_placebos(self, found: Mapping[int, Found]) -> list[list[Nearest]]:
        """Return the pictures of each placebo name, with the works that they come nearest to."""
        return [
            [self.nearest_of(found[k]) for k in places]
            for name, places in self.by_name(found).items()
            if name in self._placebos
        ]

    def called(self, found: Mapping[int, Found], threshold: float) -> set[int]:
        """Return the pictures that are candidates."""
        own = {name: ks for name, ks in self.by_name(found).items() if name not in self._placebos}
        above = candidates(
            {name: [self.nearest_of(found[k]) for k in places] for name, places in own.items()}, threshold
        )
        return {k for k, one in found.items() if one.same_bytes} | {
            own[name][place] for name, places in above.items() for place in places
        }

    def pair(self, k: int, found: Found, candidate: bool) -> CopyPair:
        """Describe a picture and the work that it comes nearest to."""
        columns, made, row = self._columns, int(self.rows[k]), int(self._works.rows[found.work])
        name = self._artists[columns["artist"][made]]
        column = int(self._observed.columns_of(self.rows[[k]])[0])
        # Products of fp16 are multiples of 2**-48, so that their sum is exact in any order.
        own, work = self._observed.columns.vectors[column], self._works.vectors[found.work]
        cosine = float(own.astype(np.float64) @ work.astype(np.float64))
        series = self._series.get(found.work, float("nan"))
        return CopyPair(
            artist=name,
            imitation=columns["path"][made],
            imitation_sha256=bytes(columns["sha256"][made]).hex(),
            prompt=columns["prompt"][made],
            seed=int(columns["seed"][made]),
            work=columns["path"][row],
            work_sha256=bytes(columns["sha256"][row]).hex(),
            work_artist=self._artists[columns["artist"][row]],
            cosine=shown_cosine(cosine),
            outlines=found.alike.value,
            mirrored=found.alike.mirrored,
            series=None if np.isnan(series) else series,
            same_bytes=found.same_bytes,
            placebo=name in self._placebos,
            candidate=candidate,
        )

    def _sought(self) -> dict[int, Sought]:
        """Read the pictures; those that cannot be read are missing."""
        sought = {}
        for batch in batches(list(range(len(self.rows))), TOGETHER):
            rows = self.rows[batch].tolist()
            self._looks.load(map(self._file, rows))
            for k, row in zip(batch, rows, strict=True):
                pixels = self._looks.get(self._file(row))
                if pixels is not None:
                    sought[k] = Sought.of(pixels, self._aspect(row))
            self._looks.forget(map(self._file, rows))
        return sought

    def _proposed(self, sought: Mapping[int, Sought]) -> dict[int, set[int]]:
        """Return the works (positions in `every_work`) that each picture is compared with."""
        places = list(sought)
        coarse = nearest_outlines(coarse_middles(list(sought.values())), self._windows(), NEAREST)
        return {
            k: {*self._by_encoder[k].tolist(), *near[near >= 0].tolist()}
            for k, near in zip(places, coarse, strict=True)
        }

    def _windows(self) -> Iterator[tuple[int, Field]]:
        """Yield the coarse outlines of the works that can be read."""

        def windows(work: int) -> Field | None:
            pixels = self._looks.get(self._file_of_work(work))
            return None if pixels is None else coarse_windows(pixels, self._aspect_of_work(work))

        for works in batches(list(range(len(self._works.rows))), TOGETHER):
            self._looks.load(map(self._file_of_work, works))
            with ThreadPoolExecutor(processors()) as pool:
                for work, one in zip(works, pool.map(windows, works), strict=True):
                    if one is not None:
                        yield work, one

    def _compare(self, work: int, ks: list[int], sought: Mapping[int, Sought]) -> list[tuple[int, Alike]]:
        """Compare a work with pictures."""
        pixels, values = self._looks.get(self._file_of_work(work)), []
        if pixels is None:
            return []
        searched: dict[float, Searched] = {}
        for k in ks:
            aspect = sought[k].aspect
            if aspect not in searched:
                searched = {aspect: Searched.of(pixels, self._aspect_of_work(work), sought=aspect)}
            values.append((k, alike(sought[k], searched[aspect])))
        return values

    def by_name(self, found: Mapping[int, Found]) -> dict[str, list[int]]:
        """Return the pictures of each name, without those that have a work's bytes."""
        artist, places = self._columns["artist"][self.rows], defaultdict(list)
        for k in sorted(found):
            if not found[k].same_bytes:
                places[self._artists[artist[k]]].append(k)
        return places

    def nearest_of(self, found: Found) -> Nearest:
        """Describe what a picture comes nearest to; the artist's other works are looked at from `FLOOR` on."""
        value, artist = found.alike.value, self._artists[self._works.artist[found.work]]
        in_series = value > FLOOR and near_series(value, self._among_own(found.work))
        return Nearest(value, artist, not in_series)

    def _among_own(self, work: int) -> float:
        """Return how far the outlines of a work agree with another work of its artist at most; NaN if there is none."""
        if work not in self._series:
            others = self._others(work)
            self._looks.load(map(self._file_of_work, (work, *others)))
            own = self._looks.get(self._file_of_work(work))
            values = []
            if own is not None:
                sought = Sought.of(own, self._aspect_of_work(work))
                for other in others:
                    values += self._compare(other, [0], {0: sought})
            known = [one.value for _, one in values if one.value < SAME_WORK]
            self._series[work] = max(known, default=float("nan"))
        return self._series[work]

    def _others(self, work: int) -> list[int]:
        """Return the artist's nearest other works, without files that are identical to this one."""
        digests = self._columns["sha256"][self._works.rows]
        places = np.flatnonzero(self._works.artist == self._works.artist[work])
        places = places[(digests[places] != digests[work]).any(axis=1)]
        if len(places):
            near = self._shared.similarity_to(work, places)
            places = places[np.argsort(-near, kind="stable")[:SERIES]]
        return [int(place) for place in places]

    def _file_of_work(self, work: int) -> File:
        return self._file(int(self._works.rows[work]))

    def _file(self, row: int) -> File:
        path, digest = self._columns["path"][row], bytes(self._columns["sha256"][row])
        return File(self._places.full(path) or path, digest, self._rendering)

    def _aspect_of_work(self, work: int) -> float:
        return self._aspect(int(self._works.rows[work]))

    def _aspect(self, row: int) -> float:
        return float(self._columns["width"][row]) / max(float(self._columns["height"][row]), 1.0)


def nearest_by_encoder(observed: Observed) -> tuple[Int64, Int64]:
    """Return the rows of all imitations, and the works that are nearest to each by the encoder.

    Works are numbered by their position in `Shared.every_work`. Repetitions of imitations and works are listed
    separately.
    """
    assert observed.nearest is not None
    shared, rows = observed.shared, observed.every_row
    known, cosine = observed.nearest.finish()
    column = observed.columns_of(rows)
    k = min(NEAREST, len(shared.every_work.rows))
    members = np.argsort(shared.known_of, kind="stable")
    counts = np.bincount(shared.known_of)
    if counts.max() == 1:
        return rows, members[known[column, :k]]
    ends, distinct_columns = np.cumsum(counts), len(known)
    nearest = np.empty((distinct_columns, k), np.int64)
    for place in range(distinct_columns):
        groups = [members[ends[work] - counts[work] : ends[work]] for work in known[place].tolist()]
        works = np.concatenate(groups)
        near = np.repeat(cosine[place], [len(group) for group in groups])
        nearest[place] = works[np.lexsort((works, -near))[:k]]
    return rows, nearest[column]
