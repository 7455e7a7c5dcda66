"""Classify pictures that need not be in an index by artist, one picture at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.bounds import NEIGHBOURS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.base import no_text_side
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.retrieval.classify.by_name import average_templates, label_scores_by_name, shares
from imindex.retrieval.evidence.classify_release import AUTO, GENERIC_LABELS, VOTERS, label_vectors
from imindex.retrieval.evidence.label_lengths import check_label_lengths
from imindex.retrieval.evidence.shared import TextEncoder
from imindex.retrieval.results import (
    ClassifiedPicture,
    CutTexts,
    LabelScore,
    PictureClassification,
    PictureMethod,
)
from imindex.retrieval.search.nearest import nearest, vote
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.search.queries import Queries
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.exact_sums import unit_means
from imindex.retrieval.vectors.near_duplicates import rows_by_artist
from imindex.retrieval.vectors.select import artist_numbers, same_pictures_at
from imindex.retrieval.vectors.similarity import similarities


class PictureClassifier:
    """Classifies pictures by the names of artists, and by their works, in several threads at a time.

    Text vectors and prototypes are computed when they are first needed, and kept.

    Parameters
    ----------
    prepared : Prepared
        The index.
    encoder : TextEncoder or None
        The encoder of the index, for its text side.
    by : {"auto", "name", "works"}
        Compare pictures with the texts of the artists' names, with their works, or with both as far as the encoder has
        a text side and the index has works.
    artists : sequence of str
        Names of the candidates; by default the artists with works, or all if the index has no works.
    labels : sequence of str
        Generic labels, which are candidates besides the artists by name.
    templates : sequence of str
        Prompt templates for the names; their text vectors are averaged.
    k : int
        Number of works that vote.

    Raises
    ------
    ImindexError
        If an artist does not exist, or the encoder has no text side or the index no works and `by` asks for them.
    """

    def __init__(
        self,
        prepared: Prepared,
        encoder: TextEncoder | None,
        *,
        by: str = AUTO,
        artists: Sequence[str] = (),
        labels: Sequence[str] = GENERIC_LABELS,
        templates: Sequence[str] = (DEFAULT_TEMPLATE,),
        k: int = VOTERS,
    ):
        one_of(by, (AUTO, "name", "works"), "by")
        NEIGHBOURS.check(k, "k")
        index = prepared.index
        self._prepared, self._index, self._k = prepared, index, k
        has_text = encoder is not None and encoder.has_text
        if by == "name" and not has_text:
            raise no_text_side(index.encoder)
        self._encoder = encoder if has_text and by != "works" else None
        self._labels = tuple(labels) if self._encoder else ()
        self._templates = tuple(templates) if self._encoder else ()
        columns = prepared.columns
        is_work = np.array([c.kind in ("works", "background") for c in index.collections], np.bool_)
        works = np.flatnonzero(is_work[columns["collection"]] & (columns["artist"] >= 0))
        if artists:
            numbers = np.array(artist_numbers(index, artists), np.int64)
            works = works[np.isin(columns["artist"][works], numbers)]
        elif len(works):
            numbers = np.unique(columns["artist"][works]).astype(np.int64)
        else:
            numbers = np.arange(len(index.artists))
        if by == "works" and not len(works):
            raise ImindexError(
                f"{index.path} has no works of the candidates to compare pictures with. Add works, or classify "
                "by='name' (--by name)."
            )
        self._candidates = numbers
        self._work_rows = works if by != "name" else works[:0]
        self._lock = threading.Lock()

    def classify(self, queries: Queries, *, top: int = 10) -> PictureClassification:
        """Classify pictures by their vectors.

        Parameters
        ----------
        queries : Queries
            Pictures. Works with the bytes of a picture are left out for it.
        top : int
            Number of labels to list.

        Returns
        -------
        PictureClassification
        """
        NEIGHBOURS.check(top, "top")
        if None in queries.digests:
            raise ValueError("queries: a text cannot be classified. Pass pictures.")
        by_picture: list[list[PictureMethod]] = [[] for _ in queries.names]
        if queries.names:
            methods = [self._by_name(queries, top)] if self._encoder else []
            if len(self._work_rows):
                methods += [self._by_prototype(queries, top), self._by_vote(queries, top)]
            for method in methods:
                for place, one in enumerate(method):
                    by_picture[place].append(one)
        index = self._index
        return PictureClassification(
            index=index.files,
            root_digest=index.root_digest,
            encoder=index.encoder.name(),
            templates=self._templates,
            generic_labels=self._labels,
            artists=len(self._candidates),
            demonstration=is_demonstration(index.encoder.weights_sha256),
            pictures=tuple(
                ClassifiedPicture(query=name, methods=tuple(found))
                for name, found in zip(queries.names, by_picture, strict=True)
            ),
            rejects=queries.rejects,
            cut_texts=self._texts()[1] if self._encoder else None,
        )

    def prepare(self) -> None:
        """Compute text vectors and prototypes now."""
        if self._encoder:
            self._texts()
        if len(self._work_rows):
            self._works()

    def _by_name(self, queries: Queries, top: int) -> list[PictureMethod]:
        names = [*(self._index.artists[number] for number in self._candidates.tolist()), *self._labels]
        scores = label_scores_by_name(queries.vectors, self._texts()[0])
        softmax = shares(scores)
        quoted = " and ".join(f'"{template}"' for template in self._templates)
        return [
            _method(f"by name, {quoted}", names, len(self._candidates), own, top, softmax=its)
            for own, its in zip(scores, softmax, strict=True)
        ]

    def _by_prototype(self, queries: Queries, top: int) -> list[PictureMethod]:
        works = self._works()
        names = [self._index.artists[number] for number in works.artists.tolist()]
        scores = similarities(queries.vectors, works.prototypes, names=("queries", "prototypes"))
        answers = []
        for own, vector, digest in zip(scores, queries.vectors, queries.digests, strict=True):
            itself = self._itself(digest)
            for a in np.unique(works.artist_of[itself]).tolist():
                removed = itself[works.artist_of[itself] == a]
                own[a] = works.score_without(a, np.asarray(self._index.vectors[works.rows[removed]]), vector)
            answers.append(_method("by works, prototype", names, len(names), own, top, n_itself=len(itself)))
        return answers

    def _by_vote(self, queries: Queries, top: int) -> list[PictureMethod]:
        works = self._works()
        among = np.zeros(self._index.n, np.bool_)
        among[works.rows] = True
        searcher, artist = self._prepared.exact_searcher(), self._prepared.columns["artist"]
        answers = []
        for place, digest in enumerate(queries.digests):
            itself = self._itself(digest)
            allowed = among
            if len(itself):
                allowed = among.copy()
                allowed[works.rows[itself]] = False
            k = min(self._k, int(np.count_nonzero(allowed)))
            vector = queries.vectors[place : place + 1]
            found = nearest(searcher, self._index.vectors, vector, k=self._k, among=allowed)
            votes = vote(found, artist)[0]
            tied = len(votes) > 1 and votes[0].votes == votes[1].votes and votes[0].best == votes[1].best
            answers.append(
                PictureMethod(
                    method=f"by works, vote of the {k} nearest",
                    n_labels=len(np.unique(artist[allowed])),
                    n_itself=len(itself),
                    tied=tied,
                    labels=tuple(
                        LabelScore(
                            label=self._index.artists[v.artist], is_artist=True, score=v.best, votes=v.votes
                        )
                        for v in votes[:top]
                    ),
                )
            )
        return answers

    def _itself(self, digest: bytes | None) -> Int64:
        """Return the positions of the works with these bytes."""
        works, rows = self._works(), self._prepared.digests.rows(digest or b"")
        place = np.searchsorted(works.rows, rows)
        place = place.clip(max=len(works.rows) - 1)
        return np.asarray(place[works.rows[place] == rows])

    def _texts(self) -> tuple[Float16, CutTexts | None]:
        with self._lock:
            return self._text_vectors

    def _works(self) -> _Works:
        with self._lock:
            return self._distinct_works

    @cached_property
    def _text_vectors(self) -> tuple[Float16, CutTexts | None]:
        """Vectors of the candidates, and then of the generic labels."""
        artists, encoder = self._index.artists, self._encoder
        assert encoder is not None
        # All names of the index are encoded together, as for a release: the rounding may depend on what is encoded.
        named = label_vectors(artists, self._labels, self._templates, encoder, self._candidates)
        vectors = average_templates(np.stack(named.by_template))[self._candidates]
        cut = check_label_lengths(encoder, artists, self._labels, self._templates, self._candidates.tolist())
        return np.concatenate([vectors, named.generic]), cut

    @cached_property
    def _distinct_works(self) -> _Works:
        vectors, artist = self._index.vectors, self._prepared.columns["artist"].astype(np.int64)
        rows = self._work_rows
        same = same_pictures_at(
            lambda at: np.asarray(vectors[rows[at]]), artist[rows], self._index.encoder.dim
        )
        rows = rows[np.unique(same)]
        by_artist = rows_by_artist(artist[rows])
        sums = np.stack([np.asarray(vectors[rows[own]]).astype(np.float64).sum(axis=0) for own in by_artist])
        artists, place = np.unique(artist[rows], return_inverse=True)
        return _Works(rows, place, artists, sums, np.bincount(place), self._index.artists)


@dataclass(frozen=True, eq=False)
class _Works:
    """The distinct works of the candidates: W works of A artists.

    Attributes
    ----------
    rows, artist_of : ndarray, shape (W,), int64
        Rows, and positions in `artists`.
    artists : ndarray, shape (A,), int64
        Numbers of the artists.
    sums : ndarray, shape (A, d), float64
        Exact sums of vectors.
    counts : ndarray, shape (A,), int64
    names : sequence of str
        Names of all artists of the index.
    """

    rows: Int64
    artist_of: Int64
    artists: Int64
    sums: Float64
    counts: Int64
    names: Sequence[str]

    @cached_property
    def prototypes(self) -> Float16:
        """Mean directions of the works of each artist."""
        return unit_means(self.sums, self.counts, lambda a: self.names[self.artists[a]])

    def score_without(self, a: int, removed: Float16, vector: Float16) -> float:
        """Return the cosine of a vector to the prototype of an artist without some works; -inf if none are left."""
        left = self.counts[a : a + 1] - len(removed)
        if not left[0]:
            return -np.inf
        sums = self.sums[a : a + 1] - removed.astype(np.float64).sum(axis=0)
        name = f"{self.names[self.artists[a]]} without the picture itself"
        return float(similarities(vector[None], unit_means(sums, left, lambda _: name))[0, 0])


def _method(
    name: str,
    labels: Sequence[str],
    n_artists: int,
    scores: Float64,
    top: int,
    *,
    n_itself: int = 0,
    softmax: Float64 | None = None,
) -> PictureMethod:
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    return PictureMethod(
        method=name,
        n_labels=len(order),
        n_itself=n_itself,
        tied=len(order) > 1 and bool(scores[order[0]] == scores[order[1]]),
        labels=tuple(
            LabelScore(
                label=labels[place],
                is_artist=place < n_artists,
                score=float(scores[place]),
                share=None if softmax is None else float(softmax[place]),
            )
            for place in order[:top].tolist()
        ),
    )
