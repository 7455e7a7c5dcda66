"""A release in an index -> classification and matching."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.indexer.store.index import Index, opened
from imindex.retrieval.classify.by_name import average_templates, label_scores_by_name
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.classify.classify import classify
from imindex.retrieval.evidence.classification_tests import classification_evidence
from imindex.retrieval.evidence.release_walk import Observed
from imindex.retrieval.evidence.shared import TextEncoder, Texts
from imindex.retrieval.evidence.testing import Testing, numbers_of, placebo_numbers
from imindex.retrieval.results import (
    AccuracyTests,
    Classification,
    ClassificationMethod,
    ClassifiedArtist,
    NamedCounts,
    fields_of,
)
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures, distinct, pictures, release

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

GENERIC_LABELS = ("Artwork", "Digital artwork", "Artwork from the public domain")
"""Labels that name nobody, beside the artists."""
VOTERS = 15
"""Works that vote, by works."""


def classify_release(  # noqa: PLR0913
    path: Path | Index,
    collection: str | None = None,
    *,
    artists: Sequence[str] | None = None,
    by: str = "name",
    labels: Sequence[str] = GENERIC_LABELS,
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    k: int = VOTERS,
    encoder: Mapping[str, Any] | None = None,
    testing: Testing | None = None,
    texts: TextEncoder | None = None,
    observed: Observed | None = None,
) -> Classification:
    """Name the artist of each picture of a collection, and say how sure the figures are.

    Parameters
    ----------
    path : Path or Index
        The index, or one that is open already.
    collection : str, optional
        Imitations, or works (classified by works, each is left out of its own prototype). By
        default the only release.
    artists : sequence of str, optional
        Classify the pictures made of these names only; everybody stays a candidate.
    by : str
        `name` (zero-shot by text) or `works` (prototype, and vote of the k nearest).
    labels : sequence of str
        Generic labels, by name only.
    templates : sequence of str
        Prompt templates with `{artist}`; several are averaged.
    k : int
        Works that vote.
    encoder : mapping, optional
        model, pretrained, device: where the index's encoder is, and computes, now.
    testing : Testing, optional
        How to test; by default nothing is tested.
    texts : TextEncoder, optional
        Encodes texts as the index's encoder does, where it is loaded already.
    observed : Observed, optional
        What was seen of the release, its `votes` of these pictures included, where it was walked before.

    Returns
    -------
    Classification
        `methods` has one entry by name, two by works. With several templates `templates_top1` has the accuracy of each
        alone.

    Raises
    ------
    ImindexError
        No such collection, no works, a template without `{artist}`, the encoder is not there.
    """
    with opened(path) as index:
        name, kind = release(index, collection, ("imitations", "works"))
        chosen, n_repeated = distinct(pictures(index, kind, collections=[name]))
        placebos = placebo_numbers(index, testing.placebos, chosen) if testing else []
        rivals = numbers_of(index, testing.rivals, chosen) if testing else []
        chosen = chosen.without([*placebos, *rivals])
        candidates = candidate_numbers(index, chosen)
        if artists is not None:
            chosen = chosen.of([n for n, one in enumerate(index.artists) if one in set(artists)])
        alone: dict[str, float] = {}
        scored: list[tuple[str, Callable[[], Float64]]]
        if by == "name":
            if texts is None:
                texts = Texts(functools.partial(load_encoder, index.encoder, encoder or {}))
            by_template, together = scores_by_name(index, chosen, labels, templates, texts, candidates)
            scored = [(f"by name, {_listed(templates)}", lambda: together)]
            if len(templates) > 1:
                alone = {
                    template: _top1(index, scores, labels, chosen.artist)
                    for template, scores in zip(templates, by_template, strict=True)
                }
        else:
            labels = ()
            scored = _by_works(index, chosen, kind, k, observed)
        names = [*index.artists, *labels]
        # One table of scores at a time; the last method first, because its table may be there already.
        methods = [
            _classification(index, method, scores(), names, chosen, testing)
            for method, scores in reversed(scored)
        ]
        return Classification(
            collection=name,
            kind=kind,
            root_digest=index.root_digest,
            encoder=index.encoder.name(),
            by=by,
            templates=tuple(templates) if by == "name" else (),
            templates_top1=alone,
            testing=testing.record() if testing else None,
            placebos=tuple(index.artists[a] for a in placebos),
            generic_labels=tuple(labels),
            n=len(chosen.rows),
            n_repeated=n_repeated,
            methods=tuple(reversed(methods)),
        )


def load_encoder(info: EncoderInfo, where: Mapping[str, Any]) -> Encoder:
    """Load the encoder of an index. `where` may say its model, pretrained and device now.

    Raises
    ------
    ImindexError
        As `imindex.indexer.encoders.load.load_as`.
    """
    from imindex.indexer.encoders.load import load_as

    return load_as(info, **where)


def _listed(templates: Sequence[str]) -> str:
    return " and ".join(f'"{template}"' for template in templates)


def scores_by_name(
    index: Index,
    chosen: Pictures,
    labels: Sequence[str],
    templates: Sequence[str],
    encoder: TextEncoder,
    candidates: Int64,
) -> tuple[Iterator[Float64], Float64]:
    """Scores by each template alone (empty if there is one only), and by their mean.

    Parameters
    ----------
    index : Index
    chosen : Pictures
        n pictures.
    labels, templates : sequence of str
    encoder : TextEncoder
        Encodes texts as the index's encoder does; asked after labels and templates are checked.
    candidates : ndarray, int64
        Numbers of the artists to choose among.

    Returns
    -------
    by_template, mean
        An iterator of arrays, and an array, of shape (n, artists + labels), float64, -inf where an artist is no
        candidate.

    Raises
    ------
    ImindexError
        A template without `{artist}`, a label that is an artist's name, or the encoder cannot be loaded.
    """
    wrong = [template for template in templates if "{artist}" not in template]
    if wrong:
        raise ImindexError(f'The template "{wrong[0]}" has no {{artist}}. Write it where the name goes.')
    clash = sorted(set(labels) & set(index.artists))
    if clash or len(set(labels)) < len(labels):
        raise ImindexError(
            f"The generic label {clash[0] if clash else 'list'} is also an artist or given twice. "
            "Pass other ones with --label."
        )
    named = label_texts(index.artists, labels, templates)
    by_template = [encoder.encode_texts(texts) for texts in named[: len(templates)]]
    generic = encoder.encode_texts(named[-1]) if labels else np.empty((0, encoder.dim), np.float16)
    absent = np.setdiff1d(np.arange(len(index.artists)), candidates)

    def scores(texts: Any) -> Float64:
        found = label_scores_by_name(chosen.vectors, np.concatenate([texts, generic])[None])
        found[:, absent] = -np.inf
        return found

    alone = (scores(texts) for texts in by_template) if len(templates) > 1 else iter(())
    return alone, scores(average_templates(np.stack(by_template)))


def label_texts(artists: Sequence[str], labels: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """The lists of texts that `scores_by_name` encodes: artists in each template, then the labels, if any."""
    named = [[template.replace("{artist}", artist) for artist in artists] for template in templates]
    return [*named, list(labels)] if labels else named


def candidate_numbers(index: Index, asked: Pictures) -> Int64:
    """The artists among whom a release is named: those with works, and those it was asked for (no placebo names).

    Names that only other releases were asked for are none, nor are artists of whom no picture could be read.
    """
    is_work = np.array([c.kind in ("works", "background") for c in index.collections], np.bool_)
    with_works = index.column("artist")[is_work[index.column("collection")]]
    return np.union1d(with_works, asked.artist).astype(np.int64)


def _top1(index: Index, scores: Float64, labels: Sequence[str], truth: Int64) -> float:
    return classify(scores, [*index.artists, *labels], truth, n_generic=len(labels)).topk[1]


def _by_works(
    index: Index, chosen: Pictures, kind: str, k: int, observed: Observed | None
) -> list[tuple[str, Callable[[], Float64]]]:
    """Return the methods by works, and functions that compute the scores of each."""
    works = observed.shared.known if observed else distinct(pictures(index, "works", "background"))[0]
    # A work must not be found by itself, nor by a copy of its bytes.
    exclude = _same_bytes(index, chosen.rows, works.rows) if kind == "works" else None
    arguments = (chosen.vectors, works.vectors, works.artist, len(index.artists))
    k = min(k, len(works.rows))

    def prototype() -> Float64:
        return _usable(index, prototype_scores(*arguments, exclude=exclude))

    def vote() -> Float64:
        if observed is not None:
            return _usable(index, observed.knn_scores(chosen.rows, k))
        return _usable(index, knn_scores(*arguments, k=k, exclude=exclude))

    return [("by works, prototype", prototype), (f"by works, vote of the {k} nearest", vote)]


def _usable(index: Index, scores: Float64) -> Float64:
    if not np.isfinite(scores).any(axis=1).all():
        raise ImindexError(
            f"{index.path}: a picture has no other work to be compared with. Add works, or classify --by name."
        )
    return scores


def _same_bytes(index: Index, left: Int64, right: Int64) -> np.ndarray[Any, np.dtype[np.bool_]]:
    digests = np.ascontiguousarray(index.column("sha256")).view("V32").ravel()
    _, group = np.unique(digests, return_inverse=True)
    same: np.ndarray[Any, np.dtype[np.bool_]] = group[left][:, None] == group[right][None, :]
    return same


def _classification(
    index: Index,
    method: str,
    scores: Float64,
    labels: Sequence[str],
    chosen: Pictures,
    testing: Testing | None,
) -> ClassificationMethod:
    result = classify(scores, labels, chosen.artist, n_generic=len(labels) - len(index.artists))
    artists = np.flatnonzero(result.n_images)
    others = result.confusion.copy()
    np.fill_diagonal(others, 0)
    tests: Mapping[int, AccuracyTests] = {}
    evidence = None
    if testing:
        tests, evidence = classification_evidence(index, scores, result, chosen, testing)
    return ClassificationMethod(
        method=method,
        n_labels=int(np.isfinite(scores).any(axis=0).sum()),
        n_generic=result.n_generic,
        top1=result.topk[1],
        top5=result.topk[5],
        macro_top1=result.macro_topk[1],
        macro_top5=result.macro_topk[5],
        chance_top1=result.chance[1],
        chance_top5=result.chance[5],
        macro_chance_top1=result.macro_chance[1],
        macro_chance_top5=result.macro_chance[5],
        mrr=result.mrr,
        macro_mrr=result.macro_mrr,
        generic_share=result.generic_share,
        n_unscored=int(result.n_unscored.sum()),
        n_tied=int(result.tied.sum()),
        artists=tuple(
            ClassifiedArtist(
                **fields_of(tests.get(artist) or AccuracyTests(artist=index.artists[artist])),
                n=int(result.n_images[artist]),
                top1=result.artist_topk[1][artist],
                top5=result.artist_topk[5][artist],
                mrr=result.artist_mrr[artist],
                confused_with=result.labels[others[artist].argmax()] if others[artist].any() else "",
            )
            for artist in artists.tolist()
        ),
        evidence=evidence,
        labels=tuple(result.labels),
        confusion=NamedCounts(
            rows=tuple(index.artists[a] for a in artists),
            counts=tuple(map(tuple, result.confusion[artists].tolist())),
        ),
    )
