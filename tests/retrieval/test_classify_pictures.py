"""Pictures that need not be in the index: the labels that `classify` gives to the same pictures of a release."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.evidence.classify_pictures import PictureClassifier
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.search.queries import Queries
from imindex.retrieval.vectors.select import distinct, pictures
from tests.support.invented_index import invented_index

TRUST = {"trust": True}


def test_a_release_is_classified_as_its_pictures_are(built: Path) -> None:
    templates = ["Artwork from {artist}", "A picture by {artist}"]
    with imindex.open(built) as index:
        paths = [built.parent / item["path"] for item in index.items if item["collection"] == "r1"]
        true = [path.parent.name for path in paths]
        release = index.classify("r1", templates=templates, testing=None, encoder=TRUST)
        by_works = index.classify("r1", by="works", k=3, testing=None)
        found = index.classify_pictures(*paths, templates=templates, k=3, top=50, encoder=TRUST)
    expected = [*release.methods, *by_works.methods]
    assert [one.method for one in found.pictures[0].methods] == [one.method for one in expected]
    for place, method in enumerate(expected):
        ours = [picture.methods[place] for picture in found.pictures]
        assert {one.n_labels for one in ours if one.labels[0].votes is None} <= {method.n_labels}
        first = [
            one.labels[0].label == artist and not one.tied for one, artist in zip(ours, true, strict=True)
        ]
        assert np.mean(first) == method.top1
    for picture, artist in zip(found.pictures, true, strict=True):
        shares = {label.label: label.share for label in picture.methods[0].labels}
        assert sum(shares.values()) == pytest.approx(1)
        assert [label.is_artist for label in picture.methods[0].labels].count(True) == 2
        assert set(shares) == {"ada", "bo", *found.generic_labels}
        assert artist in shares
    confidence = {one.artist: one.confidence for one in release.methods[0].artists}
    ada = [
        label.share
        for picture, artist in zip(found.pictures, true, strict=True)
        for label in picture.methods[0].labels
        if artist == label.label == "ada"
    ]
    assert np.mean(ada) == pytest.approx(confidence["ada"], abs=1e-15)
    assert len(found.records()) == sum(len(m.labels) for p in found.pictures for m in p.methods)


@pytest.mark.parametrize("ties", [False, True])
def test_works_are_compared_as_by_the_functions_for_releases(tmp_path: Path, ties: bool) -> None:
    invented_index(tmp_path / "i.h5", 4 + 3 * ties, ties=ties)
    with Index(tmp_path / "i.h5") as index:
        works, _ = distinct(pictures(index, "works", "background"))
        digests = index.column("sha256")
        rows = np.arange(index.n)
        same = (digests[rows][:, None] == digests[works.rows][None]).all(axis=2)
        known = works.vectors, works.artist, len(index.artists)
        vectors = np.asarray(index.vectors)
        prototype = prototype_scores(vectors, *known, exclude=same)
        votes = knn_scores(vectors, *known, k=7, exclude=same)
        classifier = PictureClassifier(Prepared(index), None, by="works", k=7)
        found = classifier.classify(classifier_queries(index, rows), top=1000)
        for row, picture in enumerate(found.pictures):
            by_prototype, by_vote = picture.methods
            scores = {
                index.artists[a]: prototype[row, a] for a in np.flatnonzero(np.isfinite(prototype[row]))
            }
            assert {label.label: label.score for label in by_prototype.labels} == scores
            assert by_prototype.n_itself == by_vote.n_itself == same[row].sum()
            order = [index.artists[a] for a in np.argsort(-votes[row], kind="stable")]
            counts = {index.artists[a]: int(votes[row, a] // len(index.artists)) for a in range(len(index.artists))
                      if np.isfinite(votes[row, a]) and votes[row, a] >= len(index.artists)}  # fmt: skip
            assert {label.label: label.votes for label in by_vote.labels} == counts
            assert by_vote.tied == (np.count_nonzero(votes[row] == votes[row].max()) > 1)
            if not by_vote.tied:
                assert by_vote.labels[0].label == order[0]


def classifier_queries(index: Index, rows: np.ndarray) -> Queries:
    return Prepared(index).rows(rows.tolist())


def test_texts_are_encoded_once_for_all_threads(built: Path) -> None:
    with imindex.open(built) as index:
        encoder = imindex.Encoder.load(index.encoder.model, device="cpu", precision="fp32")
        calls = []
        real = encoder._encoder.encode_texts
        encoder._encoder = _Counted(encoder._encoder, calls, real)
        prepared = index.prepared()
        classifier = index.classifier(encoder, prepared=prepared)
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda row: classifier.classify(prepared.rows([row])), range(len(index))))
        assert len(calls) == 2  # the names, and the generic labels
        vectors, digest = (
            np.asarray(index.vectors[:1]),
            bytes(index.items.to_arrow()["sha256"][0].as_py(), "ascii"),
        )
        name = index.items.to_arrow()["path"][0].as_py()
        alone = index.classify_vectors(vectors, [name], [bytes.fromhex(digest.decode())], encoder=TRUST)
        assert alone == found[0]


class _Counted:
    """An encoder that counts how often texts are encoded."""

    def __init__(self, encoder: object, calls: list, encode_texts: object):
        self._encoder, self._calls, self._encode_texts = encoder, calls, encode_texts

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self._calls.append(texts)
        return self._encode_texts(texts)


def test_a_work_does_not_vote_for_itself_and_a_picture_that_cannot_be_read_is_told(
    built: Path, tmp_path: Path
) -> None:
    work = built.parent / "art/works/ada/0.png"
    shutil.copy(work, tmp_path / "same.png")
    Image.open(work).resize((30, 30)).save(tmp_path / "new.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    with imindex.open(built) as index:
        found = index.classify_pictures(
            tmp_path / "same.png", tmp_path / "new.png", tmp_path / "broken.png", by="works", encoder=TRUST
        )
    assert [[m.n_itself for m in picture.methods] for picture in found.pictures] == [[1, 1], [0, 0]]
    assert sum(label.votes for label in found.pictures[0].methods[1].labels) == 5
    assert sum(label.votes for label in found.pictures[1].methods[1].labels) == 6
    assert list(found.rejects) == [str(tmp_path / "broken.png")]
    assert found.generic_labels == found.templates == ()


def test_what_cannot_be_classified_is_refused(built: Path, tmp_path: Path) -> None:
    with imindex.open(built) as index:
        with pytest.raises(ImindexError, match="has no artist nobody"):
            index.classifier(TRUST, artists=["nobody"])
        with pytest.raises(ImindexError, match=r"has no \{artist\}"):
            index.classify_vectors(index.vectors[:1], ["a"], [b""], templates=["Artwork"], encoder=TRUST)
        with pytest.raises(ValueError, match="a text cannot be classified"):
            index.classifier(by="works").classify(Queries(("a",), np.asarray(index.vectors[:1]), (None,)))
        other = imindex.Encoder.load("demo", device="cpu", precision="fp32")
        with pytest.raises(ImindexError, match="encoder"):
            index.classifier(other)
        only = index.classifier(by="works", artists=["bo"]).classify(index.prepared().rows([0]))
        assert only.artists == 1 and only.pictures[0].methods[0].labels[0].label == "bo"
        digest = hashlib.sha256(b"x").digest()
        assert index.classifier(by="works").classify(
            Queries(("a",), np.asarray(index.vectors[:1]), (digest,))
        )
    invented_index(tmp_path / "i.h5", 1)
    with Index(tmp_path / "i.h5") as index, pytest.raises(ImindexError, match="no text side"):
        PictureClassifier(Prepared(index), None, by="name")
