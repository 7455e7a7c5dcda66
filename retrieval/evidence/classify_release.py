"""Classify the pictures of a release by artist."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.base import no_text_side
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.indexer.runners.calls import Calls
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.system.index_files import Named
from imindex.retrieval.classify.by_name import average_templates, confidences, label_scores_by_name
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.classify.classify import classify
from imindex.retrieval.evidence.classification_tests import classification_evidence, naming
from imindex.retrieval.evidence.label_lengths import check_label_lengths, label_texts
from imindex.retrieval.evidence.release_names import names_of_release
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
from imindex.retrieval.shards.worker import SCORED_TOGETHER, Candidates
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.hubs import CSLS_K
from imindex.retrieval.vectors.select import Pictures, distinct, pictures, release
from imindex.retrieval.vectors.whitened import as_stored, whitened, whitened_by

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

GENERIC_LABELS = ("Artwork", "Digital artwork", "Artwork from the public domain")
"""Default labels that name no artist."""
AUTO = "auto"
"""By name, or by works if the encoder has no text side."""
VOTERS = 15
"""Default number of works that vote in classification by works."""


def classify_release(  # noqa: PLR0913
    path: Named | Index,
    collection: str | None = None,
    *,
    artists: Sequence[str] | None = None,
    by: str = AUTO,
    labels: Sequence[str] = GENERIC_LABELS,
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    k: int = VOTERS,
    encoder: Mapping[str, Any] | None = None,
    testing: Testing | None = None,
    texts: TextEncoder | None = None,
    observed: Observed | None = None,
    calls: Calls | None = None,
    csls: bool = False,
    csls_k: int = CSLS_K,
    whiten: bool = False,
) -> Classification:
    """Classify each picture of a collection by artist, and optionally test the accuracy.

    Parameters
    ----------
    path : path-like, sequence of path-like, or Index
        The path of an index, or an open index; several files, or a pattern of them, are read as one.
    collection : str, optional
        A collection of imitations or works. By works, each work is excluded from its own prototype. By default, the
        only release.
    artists : sequence of str, optional
        Classify only the pictures of these artists. All artists remain candidates.
    by : str
        `name` (zero-shot from text) or `works` (by prototype, and by vote of the k nearest works). `auto` is `name`, or
        `works` if the encoder has no text side.
    labels : sequence of str
        Generic labels; used by name only.
    templates : sequence of str
        Prompt templates with `{artist}`, used by name only. Several templates are averaged.
    k : int
        Number of works that vote.
    encoder : mapping, optional
        Overrides for `model`, `pretrained` or `device` of the index's encoder.
    testing : Testing, optional
        How to test. By default nothing is tested.
    texts : TextEncoder, optional
        A loaded text encoder, equivalent to that of the index.
    observed : Observed, optional
        The release, if it was observed before, with `votes` for these pictures.
    calls : Calls, optional
        Workers made from `imindex.retrieval.shards.worker.Worker` for this index, which share the pictures that are
        compared with works. Results do not depend on them.
    csls : bool
        By works: correct for hubs (`imindex.retrieval.vectors.hubs`), with terms over `csls_k` works. By default as in
        `testing`.
    csls_k : int
    whiten : bool
        By works: whiten all vectors by what is learnt on works (`imindex.stats.whitening`). By default as in `testing`.
        By name, vectors are always those of the file, since those of texts are not whitened.

    Returns
    -------
    Classification
        `methods` has one entry by name and two by works. With several templates, `templates_top1` has the accuracy of
        each.

    Raises
    ------
    ImindexError
        If there is no such collection, there are no works, a template lacks `{artist}`, the encoder cannot be loaded,
        or `by` is `name`, or labels or templates are passed, and the encoder has no text side.
    """
    one_of(by, (AUTO, "name", "works"), "by")
    with opened(path) as index:
        if (csls or whiten) and (by == "name" or (by == AUTO and index.encoder.tokens_sha256)):
            raise ImindexError(
                "csls and whiten (--csls, --whiten) apply to works. Classify by='works' (--by works), or drop them."
            )
        name, kind = release(index, collection, ("imitations", "works"))
        if by != "works":
            texts = texts or Texts(functools.partial(load_encoder, index.encoder, encoder or {}))
            # An index that records a tokenizer has a text side: its encoder need not be loaded yet.
            has_text = bool(index.encoder.tokens_sha256) or texts.has_text
            own_texts = tuple(labels) != GENERIC_LABELS or tuple(templates) != (DEFAULT_TEMPLATE,)
            if not has_text and (by == "name" or own_texts):
                raise no_text_side(index.encoder)
            by = "name" if has_text else "works"
        planned = testing.csls_k if testing is not None and by == "works" else None
        csls_k_used = csls_k if csls else planned
        if by == "name":
            index = as_stored(index)
        elif whiten or (testing is not None and testing.whiten):
            index = whitened(index)
        chosen, n_repeated = distinct(pictures(index, kind, collections=[name]))
        names_known = None
        if kind == "imitations":
            resolved, names_known = names_of_release(index, name, chosen, testing or Testing())
            testing = testing and resolved
        placebos = placebo_numbers(index, testing.placebos, chosen) if testing else []
        rivals = numbers_of(index, testing.rivals, chosen) if testing else []
        references = chosen.of(placebos)
        chosen = chosen.without([*placebos, *rivals])
        candidates = candidate_numbers(index, chosen)
        if artists is not None:
            wanted = set(artists)
            chosen = chosen.of([number for number, artist in enumerate(index.artists) if artist in wanted])
            if not len(chosen.rows):
                listed = ", ".join(sorted(wanted)[:3]) or "nobody"
                raise ImindexError(f"{name} has no pictures of {listed} to classify. Choose other artists.")
        n = len(chosen.rows)
        both = chosen.followed_by(references)
        templates_top1: dict[str, float] = {}
        cut_texts = None
        scored: list[tuple[str, Callable[[], Float64]]]
        if by == "name" and texts is not None:
            by_template, mean_scores = scores_by_name(index, both, labels, templates, texts, candidates)
            cut_texts = check_label_lengths(texts, index.artists, labels, templates, candidates.tolist())
            scored = [(f"by name, {_quoted(templates)}", lambda: mean_scores)]
            if len(templates) > 1:
                templates_top1 = {
                    template: _top1(index, scores[:n], labels, chosen.artist)
                    for template, scores in zip(templates, by_template, strict=True)
                }
        else:
            labels = ()
            scored = _by_works(index, both, kind, k, observed, calls, csls_k_used)
        names = [*index.artists, *labels]
        # One table of scores at a time, the last method first because its table may already be in memory.
        methods = [
            _classification(index, method, scores(), names, chosen, both, testing, by_name=by == "name")
            for method, scores in reversed(scored)
        ]
        return Classification(
            collection=name,
            kind=kind,
            root_digest=index.root_digest,
            encoder=index.encoder.name(),
            by=by,
            templates=tuple(templates) if by == "name" else (),
            templates_top1=templates_top1,
            testing=testing.record() if testing else None,
            placebos=tuple(index.artists[a] for a in placebos),
            generic_labels=tuple(labels),
            n=n,
            n_repeated=n_repeated,
            methods=tuple(reversed(methods)),
            demonstration=is_demonstration(index.encoder.weights_sha256),
            names=names_known,
            cut_texts=cut_texts,
            csls_k=csls_k_used,
            whitened=whitened_by(index),
        )


def load_encoder(info: EncoderInfo, where: Mapping[str, Any]) -> Encoder:
    """Load the encoder of an index. `where` can override its `model`, `pretrained` and `device`.

    Raises
    ------
    ImindexError
        See `imindex.indexer.encoders.load.load_with`.
    """
    from imindex.indexer.encoders.load import load_with

    return load_with(info, where)


def _quoted(templates: Sequence[str]) -> str:
    return " and ".join(f'"{template}"' for template in templates)


def scores_by_name(
    index: Index,
    chosen: Pictures,
    labels: Sequence[str],
    templates: Sequence[str],
    encoder: TextEncoder,
    candidates: Int64,
) -> tuple[Iterator[Float64], Float64]:
    """Compute the scores by each template, and by the mean of all templates.

    Parameters
    ----------
    index : Index
    chosen : Pictures
        n pictures.
    labels, templates : sequence of str
    encoder : TextEncoder
        A text encoder equivalent to that of the index. Used only after labels and templates are validated.
    candidates : ndarray, int64
        Numbers of the candidate artists.

    Returns
    -------
    by_template : iterator of ndarray, shape (n, artists + labels), float64
        -inf where an artist is not a candidate. Empty if there is a single template.
    mean : ndarray, of that shape, float64

    Raises
    ------
    ImindexError
        If a template lacks `{artist}`, a label is an artist's name or is listed twice, the encoder cannot be loaded, or
        it does not read the whole name of a candidate.
    """
    named = label_vectors(index.artists, labels, templates, encoder, candidates)
    absent = np.setdiff1d(np.arange(len(index.artists)), candidates)

    def scores(texts: Any) -> Float64:
        table = label_scores_by_name(chosen.vectors, np.concatenate([texts, named.generic])[None])
        table[:, absent] = -np.inf
        return table

    separate = (scores(texts) for texts in named.by_template) if len(templates) > 1 else iter(())
    return separate, scores(average_templates(np.stack(named.by_template)))


@dataclass(frozen=True, eq=False)
class LabelVectors:
    """Text vectors of labels.

    Attributes
    ----------
    by_template : list of ndarray, shape (artists, d), float16
        Of every artist of the index, in each template.
    generic : ndarray, shape (labels, d), float16
    """

    by_template: list[Float16]
    generic: Float16


def label_vectors(
    artists: Sequence[str],
    labels: Sequence[str],
    templates: Sequence[str],
    encoder: TextEncoder,
    candidates: Int64,
) -> LabelVectors:
    """Encode the texts that stand for artists and generic labels; see `scores_by_name`."""
    invalid = [template for template in templates if "{artist}" not in template]
    if invalid:
        raise ImindexError(f'The template "{invalid[0]}" has no {{artist}}. Write it where the name goes.')
    clashes = sorted(set(labels) & set(artists))
    if clashes:
        raise ImindexError(
            f"The generic label {clashes[0]} is also an artist. Pass another label in labels (--label)."
        )
    repeated = [label for label in labels if list(labels).count(label) > 1]
    if repeated:
        raise ImindexError(
            f"The generic label {repeated[0]} is listed twice. Pass each label once in labels (--label)."
        )
    check_label_lengths(encoder, artists, labels, templates, candidates.tolist())
    named = label_texts(artists, labels, templates)
    by_template = [encoder.encode_texts(texts) for texts in named[: len(templates)]]
    generic = encoder.encode_texts(named[-1]) if labels else np.empty((0, encoder.dim), np.float16)
    return LabelVectors(by_template, generic)


def candidate_numbers(index: Index, chosen: Pictures) -> Int64:
    """Return the candidate artists of a release: artists with works, and the artists of `chosen` (without placebos).

    Names that occur only in other releases, and artists without a readable picture, are not candidates.
    """
    is_work = np.array([c.kind in ("works", "background") for c in index.collections], np.bool_)
    with_works = index.column("artist")[is_work[index.column("collection")]]
    return np.union1d(with_works, chosen.artist).astype(np.int64)


def _top1(index: Index, scores: Float64, labels: Sequence[str], truth: Int64) -> float:
    return classify(scores, [*index.artists, *labels], truth, n_generic=len(labels)).topk[1]


def _by_works(
    index: Index,
    chosen: Pictures,
    kind: str,
    k: int,
    observed: Observed | None,
    calls: Calls | None,
    csls_k: int | None,
) -> list[tuple[str, Callable[[], Float64]]]:
    """Return the methods by works, and functions that compute the scores of each."""
    works = observed.shared.known if observed else distinct(pictures(index, "works", "background"))[0]
    # A work must not match itself or a byte-identical copy.
    exclude = _same_bytes(index, chosen.rows, works.rows) if kind == "works" else None
    arguments = (chosen.vectors, works.vectors, works.artist, len(index.artists))
    k = min(k, len(works.rows))

    def by_workers(method: str) -> Float64:
        assert calls is not None
        candidates = Candidates(method, works.vectors, works.artist, len(index.artists), k, csls_k)
        scores = np.empty((len(chosen.rows), len(index.artists)))
        shares = [
            slice(start, start + SCORED_TOGETHER) for start in range(0, len(chosen.rows), SCORED_TOGETHER)
        ]
        tasks = ((chosen.vectors[share], None if exclude is None else exclude[share]) for share in shares)
        for share, its in zip(shares, calls.map("scores", tasks, candidates), strict=True):
            scores[share] = its
        return scores

    def prototype() -> Float64:
        if calls is not None:
            return _usable(index, by_workers("prototype"))
        return _usable(index, prototype_scores(*arguments, exclude=exclude, csls_k=csls_k))

    def vote() -> Float64:
        if observed is not None and csls_k is None:
            return _usable(index, observed.knn_scores(chosen.rows, k))
        if calls is not None:
            return _usable(index, by_workers("vote"))
        return _usable(index, knn_scores(*arguments, k=k, exclude=exclude, csls_k=csls_k))

    return [("by works, prototype", prototype), (f"by works, vote of the {k} nearest", vote)]


def _usable(index: Index, scores: Float64) -> Float64:
    if not np.isfinite(scores).any(axis=1).all():
        raise ImindexError(
            f"{index.path}: a picture has no other work to be compared with. Add works, or "
            "classify by='name' (--by name)."
        )
    return scores


def _same_bytes(index: Index, left: Int64, right: Int64) -> np.ndarray[Any, np.dtype[np.bool_]]:
    digests = np.ascontiguousarray(index.column("sha256")).view("V32").ravel()
    _, group = np.unique(digests, return_inverse=True)
    same: np.ndarray[Any, np.dtype[np.bool_]] = group[left][:, None] == group[right][None, :]
    return same


def _classification(  # noqa: PLR0913
    index: Index,
    method: str,
    scores: Float64,
    labels: Sequence[str],
    chosen: Pictures,
    both: Pictures,
    testing: Testing | None,
    *,
    by_name: bool,
) -> ClassificationMethod:
    """Evaluate the scores of `both`: the pictures that are classified, followed by those of placebo names, if any."""
    test = None
    if testing and len(both.rows) > len(chosen.rows):
        placebos = np.unique(both.artist[len(chosen.rows) :]).tolist()
        test = naming(index, scores, both, placebos, testing)
        scores = scores[: len(chosen.rows)]
    result = classify(scores, labels, chosen.artist, n_generic=len(labels) - len(index.artists))
    artists = np.flatnonzero(result.n_images)
    confidence = confidences(scores, chosen.artist) if by_name else {}
    others = result.confusion.copy()
    np.fill_diagonal(others, 0)
    tests: Mapping[int, AccuracyTests] = {}
    evidence = None
    if testing:
        tests, evidence = classification_evidence(index, scores, result, chosen, testing, test)
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
                confidence=confidence.get(artist),
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
