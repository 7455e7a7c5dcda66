"""Whitened matching, classification, comparison and search: the results of an index that stores whitened vectors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import open_index
from imindex.retrieval import api
from imindex.retrieval.evidence.power_plan import from_index
from imindex.retrieval.evidence.release_walk import observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.report.index_report import index_report
from imindex.retrieval.results import to_dict
from imindex.retrieval.shards.start import Workers
from imindex.retrieval.vectors.select import distinct, pictures
from imindex.retrieval.vectors.whitened import as_stored, learnt, whitened, whitened_by, whitening_of
from tests.support.commands import run
from tests.support.invented_index import invented_index
from tests.support.parts import pieces, read, rich_index, save, union
from tests.support.walks import TESTING, everything, results

NAMES_THE_INDEX = {"index", "root-digest", "root_digest", "source", "whitened", "whiten", "notes"}


def _same(one: Any, other: Any) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in NAMES_THE_INDEX}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    assert json.dumps(plain(to_dict(one)), sort_keys=True) == json.dumps(
        plain(to_dict(other)), sort_keys=True
    )


@pytest.fixture(params=[0, 1])
def both(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """An index, and one of the same pictures with whitened vectors."""
    raw, white = tmp_path / "raw.h5", tmp_path / "white.h5"
    invented_index(raw, request.param)
    with Index(raw) as index:
        whitening = learnt(index)
    contents, vectors = read(raw)
    save(white, contents, whitening.apply(vectors))
    return raw, white


@pytest.mark.parametrize("csls", [False, True])
def test_matching_classification_and_power_are_those_of_whitened_vectors(
    both: tuple[Path, Path], csls: bool
) -> None:
    raw, white = both
    how: dict[str, Any] = {"testing": TESTING, "csls": csls, "csls_k": 3}
    with api.open(raw) as one, api.open(white) as other:
        _same(one.match("r1", whiten=True, **how), other.match("r1", **how))
        _same(one.match("r1", whiten=True, testing=None), other.match("r1", testing=None))
        _same(one.classify("r1", by="works", whiten=True, **how), other.classify("r1", by="works", **how))
        assert one.match("r1", whiten=True, testing=None) != one.match("r1", testing=None)
    k = 3 if csls else None
    _same(
        from_index(raw, "r1", csls_k=k, whiten=True).__dict__ | {"given": None, "variances": None},
        from_index(white, "r1", csls_k=k).__dict__ | {"given": None, "variances": None},
    )


@pytest.mark.parametrize("csls", [False, True])
def test_a_comparison_is_that_of_whitened_vectors(both: tuple[Path, Path], csls: bool) -> None:
    raw, white = both
    how: dict[str, Any] = {"no_names": True, "n_resamples": 99, "csls": csls, "csls_k": 3}
    result = api.compare("r1", "r2", index=raw, whiten=True, **how)
    _same(result, api.compare("r1", "r2", index=white, **how))
    assert result.testing.whiten
    (note,) = (note for note in result.notes if note.startswith("Similarities are"))
    assert "whitened by" in note
    assert ("CSLS, k = 3" in note) == csls
    plain = api.compare("r1", "r2", index=raw, no_names=True, n_resamples=99)
    assert [row.auc_base for row in plain.artists] != [row.auc_base for row in result.artists]


def test_the_page_of_a_matching_ranks_as_the_matching(both: tuple[Path, Path], tmp_path: Path) -> None:
    raw, white = both
    how: dict[str, Any] = {"testing": TESTING, "csls": True, "csls_k": 3}
    reports = []
    for place, whiten in ((raw, True), (white, False)):
        with Index(place) as index, api.open(place) as opened:
            reports.append(index_report(index, opened.match("r1", whiten=whiten, **how)))
    one, other = (report.results[0] for report in reports)
    assert [row.neighbours for row in one.artists] == [row.neighbours for row in other.artists]
    assert [row.rank_histogram for row in one.artists] == [row.rank_histogram for row in other.artists]
    assert "adjusted for hubs (CSLS, k = 3) and whitened by" in one.adjusted
    assert "Similarities are adjusted" in {limit.title for limit in reports[0].limits}


def test_by_name_vectors_are_those_of_the_file(both: tuple[Path, Path]) -> None:
    with Index(both[0]) as index:
        view = whitened(index)
        assert as_stored(view) is index
        assert as_stored(index) is index
        assert whitened(view) is view
        assert whitening_of(index) is None
        assert whitened_by(index) is None
    with api.open(both[0]) as opened, pytest.raises(ImindexError, match="--by works"):
        opened.classify("r1", by="name", whiten=True)


@pytest.mark.parametrize("csls_k", [None, 3])
def test_one_walk_gives_the_results_of_each_by_itself(tmp_path: Path, csls_k: int | None) -> None:
    artists = invented_index(tmp_path / "i.h5", 3)
    testing = replace(TESTING, csls_k=csls_k, whiten=True)
    with Index(tmp_path / "i.h5") as index:
        view = whitened(index)
        wanted = replace(everything(view, "r1", artists), testing=testing, csls_k=csls_k)
        observed = observe(Shared(view), [wanted])["r1"]
        for one, other in zip(
            results(index, "r1", artists, None, testing)[:2],
            results(view, "r1", artists, observed, testing)[:2],
            strict=True,
        ):
            _same(one, other)
            assert other.csls_k == csls_k
            assert other.whitened is not None
            assert other.whitened.sha256 == whitening_of(view).sha256  # type: ignore[union-attr]


def test_parts_of_an_index_are_whitened_as_the_whole(tmp_path: Path) -> None:
    rich_index(tmp_path / "i.h5", 5)
    parts = pieces(tmp_path / "i.h5", tmp_path, 5, 3)
    union(parts, tmp_path / "whole.h5")
    with (
        open_index(tmp_path / "whole.h5") as one,
        open_index(parts) as several,
        Index(tmp_path / "i.h5") as first,
    ):
        assert learnt(one).sha256 == learnt(first).sha256
        assert learnt(one).sha256 == learnt(several).sha256
        whole, joined = whitened(one), whitened(several)
        assert np.array_equal(np.asarray(whole.vectors), np.asarray(joined.vectors))
    with api.open(tmp_path / "whole.h5") as one, api.open(parts) as several:
        for how in ({"whiten": True}, {"whiten": True, "csls": True}):
            _same(one.match("r1", testing=TESTING, **how), several.match("r1", testing=TESTING, **how))


def test_whitening_learns_on_distinct_works_and_the_background(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 6, ties=True)
    with Index(tmp_path / "i.h5") as index:
        works, repeated = distinct(pictures(index, "works", "background"))
        whitening = learnt(index)
        assert repeated
        assert whitening.n_works == len(works.rows)
        assert whitening.n_artists == len(np.unique(works.artist))


def test_workers_read_files_and_are_refused(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 7)
    with api.open(tmp_path / "i.h5") as opened:
        for testing in (None, TESTING):
            with pytest.raises(ImindexError, match=r"whiten .* works in this process alone"):
                opened.match("r1", testing=testing, whiten=True, workers=Workers(n=2))
        alone = opened.match("r1", testing=None, matrix=False, whiten=True, workers=Workers(n=1))
        _same(alone, opened.match("r1", testing=None, matrix=False, whiten=True))
        shared = opened.classify("r1", by="works", testing=None, whiten=True, csls=True, workers=Workers(n=2))
        _same(shared, opened.classify("r1", by="works", testing=None, whiten=True, csls=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["classify", "--by", "name", "--whiten"], "by works"),
        (["classify", "--by", "name", "--csls"], "by works"),
        (["query", "--text", "x", "--whiten"], "Drop the texts"),
        (["query", "x.png", "--csls", "--workers", "2"], "Drop workers"),
    ],
)
def test_combinations_that_mean_nothing_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    invented_index(tmp_path / "i.h5", 8)
    assert message in run(*options, "-i", tmp_path / "i.h5", code=1).stderr


def test_settings_are_checked_and_recorded() -> None:
    with pytest.raises(ImindexError, match="csls_k is 0"):
        Testing(csls_k=0)
    record = Testing(csls_k=7, whiten=True).record()
    assert (record.csls_k, record.whiten) == (7, True)
    assert (Testing().record().csls_k, Testing().record().whiten) == (None, False)
