"""Data shared by the results of an index, computed once: works, similarities between works, and text vectors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.encoders.tokens import Tokens, tokens_of
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.compared import Compared, compared_works
from imindex.retrieval.evidence.looks import Looks
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.match.among_works import AmongWorks, Discrimination, among_works
from imindex.retrieval.match.discrimination import discrimination_gap
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import Pictures, pictures, same_pictures
from imindex.retrieval.vectors.similarity import similarities
from imindex.stats.keyed import generators
from imindex.stats.set_statistics import Scorer, Statistic, ToldApart, fit, tell_apart
from imindex.stats.validity import GapCollector


class TextEncoder(Protocol):
    """The text side of an encoder."""

    @property
    def has_text(self) -> bool:
        """Whether there is one; without it, `encode_texts` raises."""

    @property
    def dim(self) -> int:
        """The length of a vector."""

    def encode_texts(self, texts: Sequence[str]) -> Float16:
        """Encode texts as unit vectors, shape (n, dim)."""


class Texts:
    """Text vectors of one encoder. Each list of texts is encoded once, and the encoder is loaded when first needed.

    A list is encoded as a whole, because the rounding of a vector may depend on its batch.

    Parameters
    ----------
    load : callable
        Returns the encoder.
    """

    def __init__(self, load: Callable[[], TextEncoder]):
        self._load = functools.cache(load)
        self._vectors: dict[tuple[str, ...], Float16] = {}
        self._tokens: dict[tuple[str, ...], Tokens | None] = {}
        self._known: bool | None = None

    @property
    def has_text(self) -> bool:
        """Whether the encoder encodes texts; loads it unless that is known."""
        if self._known is None:
            self._known = self._load().has_text
        return self._known

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._load().dim

    def encode_texts(self, texts: Sequence[str]) -> Float16:
        """Encode texts as unit vectors, shape (n, dim)."""
        key = tuple(texts)
        if key not in self._vectors:
            self._vectors[key] = self._load().encode_texts(texts)
        return self._vectors[key]

    def tokens(self, texts: Sequence[str]) -> Tokens | None:
        """Return how many tokens of texts are read, see `imindex.indexer.encoders.base.Encoder.tokens`."""
        key = tuple(texts)
        if key not in self._tokens:
            self._tokens[key] = tokens_of(self._load(), texts)
        return self._tokens[key]

    def encode_with(
        self,
        encoder: TextEncoder,
        lists: Iterable[Sequence[str]],
        counted: Iterable[Sequence[str]] = (),
    ) -> None:
        """Encode lists of texts with an encoder that is already loaded, if it has a text side. It is not kept.

        Their tokens are counted, and those of further lists.
        """
        self._known = encoder.has_text
        for texts in lists if encoder.has_text else ():
            self._vectors[tuple(texts)] = encoder.encode_texts(texts)
            self._tokens[tuple(texts)] = tokens_of(encoder, texts)
        for texts in counted if encoder.has_text else ():
            self._tokens[tuple(texts)] = tokens_of(encoder, texts)


class Shared:
    """Data shared by the results of an index. Each part is computed when it is first needed.

    Parameters
    ----------
    index : Index
        Must stay open.
    looks : Looks, optional
        A cache of small pictures, which several indexes can share.

    Attributes
    ----------
    series : dict of int to float
        Cache of `imindex.retrieval.evidence.near_copies`: by work (its position in `every_work`), the highest
        correlation with the artist's other works.
    """

    def __init__(self, index: Index, looks: Looks | None = None):
        self.index = index
        self.looks = Looks() if looks is None else looks
        self.series: dict[int, float] = {}
        self._among: dict[tuple[float, int, int], AmongWorks] = {}
        self._scorers: dict[Statistic, Scorer] = {}
        self._compared: dict[tuple[int, int], Compared] = {}
        self._clusters: dict[tuple[int, int], Int64] = {}
        self._told: dict[tuple[Statistic, int, int], ToldApart] = {}

    @functools.cached_property
    def every_work(self) -> Pictures:
        """All works, including the background and repetitions."""
        return pictures(self.index, "works", "background")

    @functools.cached_property
    def _groups(self) -> tuple[Int64, Int64]:
        """Positions of the distinct works in `every_work`, and for each work the number of its distinct one."""
        first, group = np.unique(same_pictures(self.every_work), return_inverse=True)
        return first, group.astype(np.int64)

    @functools.cached_property
    def known(self) -> Pictures:
        """The distinct works, including the background."""
        first, every = self._groups[0], self.every_work
        if len(first) == len(every.rows):
            return every
        return Pictures(every.rows[first], every.vectors[first], every.artist[first])

    @property
    def known_of(self) -> Int64:
        """The position in `known` of each work of `every_work`."""
        return self._groups[1]

    @functools.cached_property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Whether some release was asked for each artist's name, shape (A,)."""
        index = self.index
        kinds = np.array([c.kind == "imitations" for c in index.collections], np.bool_)
        asked = np.zeros(len(index.artists), np.bool_)
        named = index.column("artist")[kinds[index.column("collection")]]
        asked[named[named >= 0]] = True
        return asked

    @functools.cached_property
    def judged(self) -> Int64:
        """The artists that can be tested: those with works, without the background, and imitations by some release."""
        with_works = np.zeros(len(self.index.artists), np.bool_)
        with_works[self.works[0].artist] = True
        return np.flatnonzero(with_works & self.asked)

    def compared(self, testing: Testing) -> Compared:
        """Return the works that works are compared with: all, or a sample that `testing` limits."""
        key = testing.seed, testing.background
        if key not in self._compared:
            self._compared[key] = compared_works(
                self.known.artist,
                self.asked,
                self.index.artists,
                background=testing.background,
                seed=testing.seed,
            )
        return self._compared[key]

    def clusters(self, testing: Testing) -> Int64:
        """Return the cluster of near-duplicates of each work of `known`: the position of its first work.

        Works that are not compared, by artists that no release was asked for, are alone.
        """
        key = testing.seed, testing.background
        if key not in self._clusters:
            known, compared, among = self.known, self.compared(testing), None
            if compared.sampled is not None:
                among = np.union1d(compared.rows, np.flatnonzero(self.asked[known.artist]))
            self._clusters[key] = near_duplicates(known.vectors, known.artist, among=among)[0]
        return self._clusters[key]

    @functools.cached_property
    def works(self) -> tuple[Pictures, Int64]:
        """The distinct works without the background, with which imitations are matched, and their positions in `known`.

        Raises
        ------
        ImindexError
            If there are none.
        """
        rows = pictures(self.index, "works").rows
        places = self.known_of[np.searchsorted(self.every_work.rows, rows)]
        # The first of repeated works is kept, even where `known` has a background picture in its place.
        _, first = np.unique(places, return_index=True)
        first.sort()
        places = places[first]
        known = self.known
        return Pictures(rows[first], known.vectors[places], known.artist[places]), places

    @functools.cached_property
    def n_repeated_works(self) -> int:
        """Number of repetitions that are not in `works`."""
        return len(pictures(self.index, "works").rows) - len(self.works[0].rows)

    def check_works(self) -> None:
        """Validate the vectors and artists of `known`.

        Raises
        ------
        ValueError
            If the vectors are not float16 unit vectors, or a work has no artist.
        """
        vectors = check_vectors(self.known.vectors, "works")
        check_artists(self.known.artist, len(vectors), len(self.index.artists), "work_artist")

    def among(self, testing: Testing) -> AmongWorks:
        """Return the gaps with their bootstrap, and the ceilings.

        They depend on the confidence level and the seed of `testing`, but not on the release.
        """
        key = testing.confidence_level, testing.seed, testing.background
        if key not in self._among:
            known, names, rows = self.known, self.index.artists, self.compared(testing).rows
            artist, cluster = known.artist[rows], self.clusters(testing)[rows]
            self._among[key] = among_works(
                known.vectors[rows],
                artist,
                len(names),
                cluster=cluster,
                gaps=GapCollector(
                    artist,
                    len(names),
                    cluster=cluster,
                    confidence_level=testing.confidence_level,
                    rng=generators(testing.seed, "gap", names),
                ),
                artists=self.judged,
            ).numbered(rows, known.vectors)
        return self._among[key]

    def discrimination(self, testing: Testing, artists: Int64) -> Discrimination:
        """Return the gaps of some artists without a bootstrap. Those of other artists are undefined."""
        known, rows = self.known, self.compared(testing).rows
        return discrimination_gap(
            known.vectors[rows],
            known.artist[rows],
            len(self.index.artists),
            cluster=self.clusters(testing)[rows],
            artists=artists,
        )

    def scorer(self, statistic: Statistic) -> Scorer | None:
        """Return a statistic fitted to `known`; None if there are works of fewer than two artists."""
        if statistic not in self._scorers:
            if len(np.unique(self.known.artist)) < 2:
                return None
            self._scorers[statistic] = fit(self.known.vectors, self.known.artist, statistic)
        return self._scorers[statistic]

    def told(self, statistic: Statistic, testing: Testing) -> ToldApart:
        """Return whether a statistic tells held-out works of each artist from those of others."""
        key = statistic, testing.seed, testing.background
        if key not in self._told:
            known, rows = self.known, self.compared(testing).rows
            self._told[key] = tell_apart(
                known.vectors[rows],
                known.artist[rows],
                len(self.index.artists),
                statistic=statistic,
                cluster=self.clusters(testing)[rows],
                artists=self.judged,
            )
        return self._told[key]

    def similarity_to(self, work: int, others: Int64) -> Float64:
        """Return the exact similarities of a work to works of the same artist, by their positions in `every_work`."""
        every = self.every_work
        if not self._among:
            own, rest = every.vectors[[work]], every.vectors[others]
            return np.ravel(similarities(own, rest, names=("works", "works")))
        among = next(iter(self._among.values()))
        positions = np.concatenate([self.known_of[[work]], self.known_of[others]])
        return np.ravel(among.similarity(int(every.artist[work]), positions[:1], positions[1:]))
