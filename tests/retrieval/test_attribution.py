"""Classification of a release: candidates and chance."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.retrieval.evidence import match_tests as evidence
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from tests.support.builds import Counting


@pytest.fixture
def index(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> Path:
    root = works(
        {
            "works/ada": 3,
            "works/bo": 3,
            "background/cy": 2,
            "imitations/r1/ada": 2,
            "imitations/r1/dee": 2,
            "control": 1,
        }
    )
    broken = root / "works/eve"
    broken.mkdir()
    (broken / "broken.png").write_bytes(b"x")
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    return tmp_path / "i.h5"


def test_artists_without_a_picture_are_not_candidates_by_name(index: Path) -> None:
    method = classify_release(index, by="name", encoder={"device": "cpu"}).methods[0]
    assert method.n_labels == 4 + 3  # ada, bo, cy, dee and the generic labels, not eve
    assert method.chance_top1 == pytest.approx(1 / 7)


def test_by_works_background_artists_are_candidates_and_chance_counts_them(index: Path) -> None:
    for method in classify_release(index, by="works").methods:
        assert method.n_labels == 3  # ada, bo, cy
        assert method.n_unscored == 2  # the pictures of dee, who has no works
        assert method.chance_top1 == pytest.approx(1 / 3 * 2 / 4)
        assert method.macro_chance_top1 == pytest.approx((1 / 3 + 0) / 2)
        assert method.top5 <= 0.5


def test_works_do_not_match_themselves_or_their_copies(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 3, "works/bo": 3, "works/solo": 1})
    shutil.copy(root / "works/solo/000.png", root / "works/solo/copy.png")
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    for method in classify_release(tmp_path / "i.h5", "works", by="works").methods:
        assert method.n_unscored == 1  # the duplicate counts once, and solo has no other work
        assert {a.artist: a.top5 for a in method.artists}["solo"] == 0.0


def test_the_number_of_votes_is_limited_by_the_number_of_works(index: Path) -> None:
    assert "vote of the 8 nearest" in classify_release(index, by="works").methods[1].method


def test_a_lone_work_cannot_be_classified_by_works(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    build(list(find([works({"works/ada": 1})])), tmp_path / "i.h5", Counting(tiny_encoder))
    with pytest.raises(ImindexError, match="no other work"):
        classify_release(tmp_path / "i.h5", "works", by="works")


def test_imitations_take_precedence_if_collections_share_a_name(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 2, "works/bo": 2, "imitations/works/ada": 1, "imitations/works/bo": 2})
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    assert classify_release(tmp_path / "i.h5", "works", by="works").kind == "imitations"
    assert match_release(tmp_path / "i.h5", "works").n_imitations == 3


@pytest.mark.parametrize("csls", [False, True])
def test_without_the_matrix_the_figures_are_the_same(index: Path, csls: bool) -> None:
    with_matrix, without = (
        match_release(index, csls=csls, csls_k=2, matrix=matrix) for matrix in (True, False)
    )
    assert with_matrix.auc_matrix is not None and with_matrix.auc_matrix.values
    assert without.auc_matrix is None
    assert replace(with_matrix, auc_matrix=None) == without  # bit-identical


def test_templates_need_a_placeholder_and_labels_must_not_be_artists(index: Path) -> None:
    with pytest.raises(ImindexError, match=r"has no \{artist\}"):
        classify_release(index, templates=["Artwork"])
    with pytest.raises(ImindexError, match="generic label ada"):
        classify_release(index, labels=["ada"])


def test_a_second_release_changes_neither_the_candidates_nor_the_floor_of_the_first(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    first = {
        "works/ada": 5, "works/bo": 5, "imitations/r1/ada": 3, "imitations/r1/bo": 3, "imitations/r1/inv": 3,
    }  # fmt: skip
    root = works({**first, "control/r1": 4})
    items, path = list(find([root])), tmp_path / "i.h5"
    build(items, path, Counting(tiny_encoder))
    testing = evidence.Testing(placebos=("inv",), n_resamples=99)
    options = {"encoder": {"device": "cpu"}, "testing": testing}
    classified, matched = classify_release(path, "r1", **options), match_release(path, "r1", testing=testing)
    more = works({"imitations/r2/ada": 2, "imitations/r2/other": 2, "control/r2": 4}, first_seed=500)
    build(list(find([more])), path, Counting(tiny_encoder))
    again = classify_release(path, "r1", **options), match_release(path, "r1", testing=testing)
    assert again[0].methods[0].n_labels == classified.methods[0].n_labels == 2 + 3
    floors = [{a.artist: a.floor_control for a in matching.artists} for matching in (matched, again[1])]
    assert floors[0]["ada"] == floors[1]["ada"]
    other = match_release(path, "r2", testing=evidence.Testing(n_resamples=99))
    assert {a.artist: a for a in other.artists}["ada"].floor_control != floors[0]["ada"]
