"""Nothing is computed twice: one product of works and imitations per release and encoder serves all results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

import imindex.indexer.encoders.load as loading
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.compare.overall import resolution_of
from imindex.retrieval.compare.releases import Side, compare, prepare
from imindex.retrieval.evidence.gallery import gallery, nearest_own
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import NEAREST, copies, nearest_by_encoder, nearest_works
from imindex.retrieval.evidence.release_walk import Wanted, observe
from imindex.retrieval.evidence.shared import Shared, Texts
from imindex.retrieval.vectors.select import distinct, pictures
from imindex.stats.keyed import generator
from imindex.stats.mmd import mmd_test, rbf_kernel_from_similarity
from tests.support.audits import run_plan
from tests.support.invented_index import RELEASES, invented_index
from tests.support.products import Products
from tests.support.walks import TESTING, everything, results

WORKS = "works"


@pytest.fixture(params=[(1, False), (2, True), (5, False)], ids=["plain", "ties", "other"])
def invented(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    seed, ties = request.param
    return tmp_path / "i.h5", invented_index(tmp_path / "i.h5", seed, ties=ties)


def test_joint_walk_equals_separate_walks(invented: tuple[Path, list[str]]) -> None:
    path, artists = invented
    sides = [Side(path, release, {}) for release in RELEASES]
    with Index(path) as index:
        prepared, pair = prepare(*sides, TESTING).watched()
        both = observe(Shared(index), [everything(index, one, artists) for one in RELEASES], [pair])
        for release in RELEASES:
            together = results(index, release, artists, both[release])
            assert together == results(index, release, artists, None)
    alone = compare(*sides, testing=TESTING, by_name=False)
    assert compare(*sides, testing=TESTING, by_name=False, prepared=prepared) == alone


def test_each_product_is_computed_once(tmp_path: Path) -> None:
    artists = invented_index(tmp_path / "i.h5", 6, repeats=False)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        with products.counting():
            sides = [Side(tmp_path / "i.h5", one, {}) for one in RELEASES]
            prepared, pair = prepare(*sides, TESTING).watched()
            both = observe(Shared(index), [everything(index, one, artists) for one in RELEASES], [pair])
            for release in RELEASES:
                results(index, release, artists, both[release])
            compare(*sides, testing=TESTING, by_name=False, prepared=prepared)
        for release in RELEASES:
            assert products.times(WORKS, f"imitations of {release}") == 1
        assert products.times(WORKS, WORKS) == pytest.approx(1 + products.for_near_duplicates)


def test_release_matched_alone_is_walked_once(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 6, repeats=False)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        with products.counting():
            match_release(index, "r1", testing=TESTING)
        n_background = len(pictures(index, "background").rows)
        share = 1 - n_background / products.sizes[WORKS]
        assert n_background and products.times(WORKS, "imitations of r1") == pytest.approx(share)
        assert products.times(WORKS, WORKS) == pytest.approx(1 + products.for_near_duplicates)


def test_compared_releases_share_one_walk(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 6, repeats=False)
    sides = [Side(tmp_path / "i.h5", release) for release in RELEASES]
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        share = 1 - len(pictures(index, "background").rows) / products.sizes[WORKS]
        alone = [match_release(index, release, testing=TESTING) for release in RELEASES]
    with products.counting():
        found = compare(*sides, testing=TESTING, by_name=False)
    for release in RELEASES:
        assert products.times(WORKS, f"imitations of {release}") == pytest.approx(share)
    assert products.times(WORKS, WORKS) == pytest.approx(1 + products.for_near_duplicates)
    findings = [{one.artist: one.finding for one in matched.artists if one.finding} for matched in alone]
    known = [
        Side(tmp_path / "i.h5", release, finding, resolution=resolution_of(matched))
        for release, finding, matched in zip(RELEASES, findings, alone, strict=True)
    ]
    assert compare(*known, testing=TESTING, by_name=False) == found


def test_tests_of_a_release_equal_brute_force(invented: tuple[Path, list[str]]) -> None:
    """Control floors and kernel tests from the full tables, for each artist."""
    path, _ = invented
    with Index(path) as index:
        found = {one.artist: one for one in match_release(index, "r2", testing=TESTING).artists}
        works, _ = distinct(pictures(index, "works"))
        made, _ = distinct(pictures(index, "imitations", collections=["r2"]))
        control = pictures(index, "control", collections=["r2"]).vectors.astype(np.float64)
        exact, ranked = works.vectors.astype(np.float64), made.vectors.astype(np.float64)
        for number, name in enumerate(index.artists):
            own, mine = works.artist == number, made.artist == number
            if not own.any() or not mine.any():
                continue
            floor = [
                rankdata([asked, *line])[0] - 1
                for work, line in zip(exact[own], exact[own] @ ranked.T, strict=True)
                for asked in control @ work
            ]
            assert found[name].floor_control == pytest.approx(np.mean(floor) / len(ranked))
            if min(own.sum(), mine.sum()) < 2:
                assert found[name].p_differs is None
                continue
            both = np.concatenate([exact[own], ranked[mine]])
            expected = mmd_test(
                rbf_kernel_from_similarity(both @ both.T), int(own.sum()), n_resamples=99,
                rng=generator(TESTING.seed, "MMD", name),
            )  # fmt: skip
            assert found[name].p_differs == expected.pvalue


def test_galleries_and_the_works_that_are_compared_are_those_of_whole_tables(
    invented: tuple[Path, list[str]],
) -> None:
    path, artists = invented
    with Index(path) as index:
        shown = gallery(index, "r1", artists, n_works=99)
        works, _ = distinct(pictures(index, "works"))
        made, _ = distinct(pictures(index, "imitations", collections=["r1"]))
        rows = {row: place for place, row in enumerate(index.column("path").tolist())}
        for name, one in shown.items():
            number = index.artists.index(name)
            nearest = nearest_own(works.vectors[works.artist == number], made.vectors, made.artist == number)
            assert one.rank_histogram == tuple(nearest.histogram.tolist())
            assert sorted(item.rank for item in one.neighbours) == sorted(nearest.rank.tolist())
            assert {rows[item.imitation] for item in one.neighbours} == set(
                made.rows[nearest.imitation].tolist()
            )
        every = pictures(index, "imitations", collections=["r1"])
        all_works = pictures(index, "works", "background")
        work, cosine = nearest_works(every.vectors, all_works.vectors)
        observed = observe(Shared(index), [Wanted("r1", nearest=NEAREST)])["r1"]
        made_rows, proposed = nearest_by_encoder(observed)
        assert (made_rows == every.rows).all()
        table = every.vectors.astype(float) @ all_works.vectors.astype(float).T
        assert np.allclose(np.take_along_axis(table, proposed, axis=1), cosine)
        assert (proposed[:, 0] == work[:, 0]).all()


def test_texts_are_encoded_once_by_a_lazily_loaded_encoder() -> None:
    asked: list[Any] = []

    class Encoder:
        dim = 3
        has_text = True

        def encode_texts(self, texts: Any) -> np.ndarray:
            asked.append(list(texts))
            return np.eye(3, dtype=np.float16)[: len(texts)]

    def load() -> Encoder:
        asked.append("loaded")
        return Encoder()

    texts = Texts(load)
    texts.encode_with(Encoder(), [["a", "b"]])
    assert len(texts.encode_texts(["a", "b"])) == 2 and asked == [["a", "b"]]
    assert len(texts.encode_texts(["a"])) == len(texts.encode_texts(["a"])) == 1
    assert asked == [["a", "b"], "loaded", ["a"]]


def test_an_encoder_without_a_text_side_is_asked_for_no_text() -> None:
    loaded: list[str] = []

    class Encoder:
        dim = 3
        has_text = False

        def encode_texts(self, texts: Any) -> np.ndarray:
            raise AssertionError("asked for a text")

    def load() -> Encoder:
        loaded.append("loaded")
        return Encoder()

    texts = Texts(load)
    texts.encode_with(Encoder(), [["a", "b"]])
    assert not texts.has_text and not loaded  # known from the encoder that was there
    assert not Texts(load).has_text and loaded == ["loaded"]


# A whole audit


@pytest.fixture
def copied(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A modifiable finished audit."""
    shutil.copytree(finished[0], tmp_path / "world", symlinks=True)
    return tmp_path / "world"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the encoders that are loaded."""
    loaded: list[str] = []
    load = loading.load

    def counted(model: str, *how: Any, **named: Any) -> Any:
        loaded.append(model)
        return load(model, *how, **named)

    monkeypatch.setattr(loading, "load", counted)
    return loaded


def counted_audit(root: Path) -> tuple[Outcome, Products]:
    """Run the audit, and count the products between the pictures of its index."""
    (path,) = (root / "audit").glob("*.h5")
    with Index(path) as index:
        products = Products(index)
    with products.counting():
        outcome = run_plan(root)
    return outcome, products


def once_among(root: Path) -> float:
    """Return the share of the pairs of works that is multiplied: those of artists that cannot be tested once only."""
    with Index(next((root / "audit").glob("*.h5"))) as index:
        shared = Shared(index)
        rest = float(1 - np.isin(shared.known.artist, shared.judged).mean())
    assert 0 < rest < 1
    return 1 - rest + rest**2


@pytest.mark.usefixtures("one_thread")
def test_an_audit_computes_each_product_once_and_loads_each_encoder_once(
    finished: tuple[Path, Outcome], copied: Path, loads: list[str]
) -> None:
    shutil.rmtree(copied / "audit/results")
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    for release in ("one", "two"):
        assert products.times(WORKS, f"imitations of {release}") == 1
    assert products.times(WORKS, WORKS) == pytest.approx(once_among(copied) + products.for_near_duplicates)
    assert len(loads) == 1


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("gone", "times"),
    [
        (("two",), (0, 1)),
        (("two", "two-against-one"), (2 / 3, 1)),
        (("one", "two-against-one"), (1, 2 / 3)),
        (("two-against-one",), (2 / 3, 2 / 3)),
    ],
)
def test_cached_results_are_not_recomputed(
    finished: tuple[Path, Outcome], copied: Path, gone: tuple[str, ...], times: tuple[float, float]
) -> None:
    """A comparison ranks by the works of two of three artists only: the third is in the background."""
    for name in gone:
        next((copied / "audit/results").rglob(f"{name}.json")).unlink()
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    found = [products.times(WORKS, f"imitations of {release}") for release in ("one", "two")]
    assert found == pytest.approx(times)


@pytest.mark.usefixtures("one_thread")
def test_releases_that_exceed_memory_are_walked_separately(
    finished: tuple[Path, Outcome], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(copied / "audit/results")
    monkeypatch.setattr("imindex.retrieval.audit.assess.TOGETHER_BYTES", 0)
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    for release in ("one", "two"):  # once for its results, once for the comparison
        assert products.times(WORKS, f"imitations of {release}") == pytest.approx(1 + 2 / 3)
    assert products.times(WORKS, WORKS) == pytest.approx(once_among(copied) + products.for_near_duplicates)


@pytest.mark.usefixtures("one_thread")
def test_an_audit_from_the_start_loads_each_encoder_once(
    world: Path, tmp_path: Path, loads: list[str], finished: tuple[Path, Outcome]
) -> None:
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    assert run_plan(root).report.digest == finished[1].report.digest
    assert len(loads) == 1


def test_counter_counts(tmp_path: Path) -> None:
    """The counter itself: a product computed twice counts twice."""
    invented_index(tmp_path / "i.h5", 4)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        again: Callable[[], Any] = lambda: copies(index, "r1")  # noqa: E731
        with products.counting():
            again()
            once = products.times(WORKS, "imitations of r1")
            again()
        assert once > 0 and products.times(WORKS, "imitations of r1") == 2 * once
