"""One release by one encoder, as the questions see it: vectors, names, prompts, and scores learned from works."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import as_stored
from imindex.indexer.generate.remove_name import without_name
from imindex.indexer.image_api.request_log import Request
from imindex.retrieval.evidence.shared import Shared, Texts
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.questions.settings import QuestionTable
from imindex.retrieval.results import Matching
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.select import pictures
from imindex.stats.set_statistics import Scorer
from imindex.stats.validity import FEWEST

if TYPE_CHECKING:
    from imindex.retrieval.results import BlockedPicture


@dataclass(frozen=True, eq=False)
class Named:
    """Pictures of one collection, in the order of the rows of the index.

    Attributes
    ----------
    rows : ndarray, shape (N,), int64
        Rows in the index.
    vectors : ndarray, shape (N, d), float16
    names : tuple of str
        The name that each picture was credited to; empty without a name.
    prompts : tuple of str
    seeds : ndarray, shape (N,), int64
        -1 where unknown.
    arms : tuple of str
        own, placebo, rival, nameless or control; empty if unknown.
    """

    rows: Int64
    vectors: Float16
    names: tuple[str, ...]
    prompts: tuple[str, ...]
    seeds: Int64
    arms: tuple[str, ...]

    def of(self, names: Sequence[str]) -> Named:
        """Return the pictures of some names."""
        wanted = set(names)
        return self.at(np.flatnonzero([name in wanted for name in self.names]))

    def at(self, places: Int64) -> Named:
        """Return the pictures at some places."""
        chosen = places.tolist()
        return Named(
            self.rows[places],
            self.vectors[places],
            tuple(self.names[i] for i in chosen),
            tuple(self.prompts[i] for i in chosen),
            self.seeds[places],
            tuple(self.arms[i] for i in chosen),
        )


@dataclass(frozen=True, eq=False)
class Study:
    """One release by one encoder.

    Attributes
    ----------
    shared : Shared
        Works, index, and what is computed once per index.
    release, encoder : str
    testing : Testing
        Level, correction, statistic, seed, confidence level and resamples of the audit.
    tested, placebos, rivals : tuple of str
        Names: the artists of the plan, placebo names, and further real names.
    templates : tuple of str
        Of the main prompts, with `{artist}`; empty if the pictures came without a plan's prompts.
    matching : Matching
        The audit's main result, for figures that a question refers to.
    texts : Texts
        The encoder's text side.
    blocked : sequence of BlockedPicture
        Pictures of this release that were blocked.
    folder : Path
        To which paths in the plan, and in the index, are relative.
    training_images : mapping of str to int
        How many works of an artist the training data hold, as the plan states.
    others : mapping of str to Study
        The other releases of the audit by the same encoder.
    base_name : str
        The base release of the audit; empty if there is none.
    asked : mapping of str to QuestionTable
        The settings of all questions that the plan asks, by their keys.
    requests : sequence of Request
        The request that stands for each picture, and for each that was not made; empty without a log of requests.
    """

    shared: Shared
    release: str
    encoder: str
    testing: Testing
    tested: tuple[str, ...]
    placebos: tuple[str, ...]
    rivals: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    matching: Matching | None = None
    texts: Texts | None = None
    blocked: Sequence[BlockedPicture] = ()
    folder: Path = field(default_factory=Path)
    others: Mapping[str, Study] = field(default_factory=dict)
    training_images: Mapping[str, int] = field(default_factory=dict)
    base_name: str = ""
    asked: Mapping[str, QuestionTable] = field(default_factory=dict)
    requests: Sequence[Request] = ()

    def with_others(self, others: Mapping[str, Study]) -> Study:
        """Return this study with the other releases of the audit."""
        return replace(self, others=others)

    @property
    def base(self) -> Study | None:
        """The base release; None if there is none, or if this is it."""
        return self.others.get(self.base_name)

    def collection(self, key: str = "") -> str:
        """Return the collection of a question's pictures, by default of the release itself."""
        return f"{self.release} / {key}" if key else self.release

    def imitations(self, key: str = "") -> Named:
        """Return the pictures of all names, of the release or of a question. Repetitions are included."""
        return self._named("imitations", self.collection(key))

    def controls(self, key: str = "") -> Named:
        """Return the pictures whose prompts name nobody, of the release or of a question; possibly none."""
        return self._named("control", self.collection(key))

    @functools.cached_property
    def _read(self) -> dict[tuple[str, str], Named]:
        """Pictures that were read, by kind and collection."""
        return {}

    def _named(self, kind: str, collection: str) -> Named:
        if (kind, collection) not in self._read:
            self._read[kind, collection] = self._pictures(kind, collection)
        return self._read[kind, collection]

    def _pictures(self, kind: str, collection: str) -> Named:
        index = self.shared.index
        if not any(c.kind == kind and c.name == collection for c in index.collections):
            none = np.empty(0, np.int64)
            return Named(none, np.empty((0, index.encoder.dim), np.float16), (), (), none, ())
        chosen = pictures(index, kind, collections=[collection])
        rows, listed = chosen.rows, chosen.rows.tolist()
        prompts, arms, seeds = index.column("prompt"), index.column("arm"), index.column("seed")
        artists = [*index.artists, ""]  # -1 is no artist
        return Named(
            rows,
            chosen.vectors,
            tuple(artists[number] for number in chosen.artist.tolist()),
            tuple(str(prompts[row]) for row in listed),
            np.asarray(seeds, np.int64)[rows],
            tuple(str(arms[row]) for row in listed),
        )

    @functools.cached_property
    def scorer(self) -> Scorer:
        """The audit's statistic as a score of single pictures, learned from works only.

        Raises
        ------
        ImindexError
            There are works of a single artist.
        """
        scorer = self.shared.scorer(self.testing.statistic)
        if scorer is None:
            raise ImindexError(
                "There are works of a single artist, so no score can be learned. Add works of other artists as "
                "background."
            )
        return scorer

    def has_works(self, artist: str) -> bool:
        """Return whether a score can be learned for an artist: there are works of this artist, and of others.

        Works that cannot be read are not in the index, so an artist of the plan may have none.
        """
        scorer = self.shared.scorer(self.testing.statistic)
        return scorer is not None and self.number(artist) in scorer.artists

    def scores(self, vectors: Float16, artist: str) -> Float64:
        """Return the score of pictures for one artist, shape (N,); higher is more like the artist's works."""
        column = self.column(artist)
        return np.asarray(self.table(vectors)[:, column])

    def table(self, vectors: Float16) -> Float64:
        """Return the score of pictures for every artist with works, shape (N, K). Ask for it once for many artists."""
        return self.scorer.score(vectors) if len(vectors) else np.empty((0, len(self.scorer.artists)))

    def column(self, artist: str) -> int:
        """Return the column of an artist in `table`.

        Raises
        ------
        ImindexError
            The artist has no works.
        """
        place = int(np.searchsorted(self.scorer.artists, self.number(artist)))
        if place >= len(self.scorer.artists) or self.scorer.artists[place] != self.number(artist):
            raise ImindexError(f"{artist} has no works in the index, so no score can be learned.")
        return place

    def placebos_of(self, artist: str) -> tuple[str, ...]:
        """Return the placebo names that an artist is compared with: of the own origin, where the audit chooses them."""
        chosen = (self.testing.references or {}).get(artist)
        return (
            self.placebos if chosen is None else tuple(name for name in self.placebos if name in set(chosen))
        )

    def works_of(self, artist: str) -> Float16:
        """Return the vectors of an artist's distinct works, shape (N, d)."""
        works = self.shared.works[0]
        return works.of([self.number(artist)]).vectors

    def file_digests(self, pictures: Named) -> tuple[str, ...]:
        """Return the SHA-256 of the file of each picture."""
        digests = self.shared.index.column("sha256")
        return tuple(digests[row].tobytes().hex() for row in pictures.rows.tolist())

    def same_files(self, pictures: Named) -> tuple[str, ...]:
        """Return which work, or picture of the release, has the same file as each picture; empty if none."""
        digests, works, made = self.shared.index.column("sha256"), self.shared.every_work, self.imitations()
        artists = self.shared.index.artists
        known = {
            digests[row].tobytes(): f"a picture that {self.release} made for {name}"
            for row, name in zip(made.rows.tolist(), made.names, strict=True)
        } | {
            digests[row].tobytes(): f"a work by {artists[number]}"
            for row, number in zip(works.rows.tolist(), works.artist.tolist(), strict=True)
        }
        return tuple(known.get(digests[row].tobytes(), "") for row in pictures.rows.tolist())

    def number(self, artist: str) -> int:
        """Return the number of a name in the index; -1 if it is not there."""
        stored = as_stored([artist], self.shared.index.artists)[0]
        artists = self.shared.index.artists
        return artists.index(stored) if stored in artists else -1

    @functools.cached_property
    def judged(self) -> tuple[str, ...]:
        """The artists of the plan whose works the encoder tells from those of others, with enough works to say so."""
        told = self.shared.told(self.testing.statistic, self.testing)
        numbers = {name: self.number(name) for name in self.tested}
        return tuple(
            name
            for name, number in numbers.items()
            if number >= 0 and told.told[number] and told.n_clusters[number] >= FEWEST
        )

    def template_of(self, prompt: str, name: str) -> str:
        """Return the main template of a prompt; empty if it is none of them."""
        for template in self.templates:
            made = template.replace("{artist}", name) if name else without_name(template)
            if made == prompt:
                return template
        return ""
