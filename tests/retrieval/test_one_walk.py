"""Each product of works and imitations is computed once per release and encoder, and shared by all results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

import imindex.indexer.encoders.load as loading
import imindex.retrieval.evidence.testing as evidence
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.compare.releases import Side, compare, prepare
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.gallery import gallery, nearest_own
from imindex.retrieval.evidence.looks import SIDE, compositions
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import composition, copies, nearest_works
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared, Texts
from imindex.retrieval.vectors.select import distinct, pictures
from imindex.stats.keyed import generator
from imindex.stats.mmd import mmd_test, rbf_kernel_from_similarity
from tests.support.audits import run_plan
from tests.support.invented_index import RELEASES, invented_index
from tests.support.products import Products

TESTING = evidence.Testing(placebos=("placebo *",), n_resamples=99, adjust="bh", seed=3)
WORKS = "works"


@pytest.fixture(params=[(1, False), (2, True), (5, False)], ids=["plain", "ties", "other"])
def invented(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    seed, ties = request.param
    return tmp_path / "i.h5", invented_index(tmp_path / "i.h5", seed, ties=ties)


def everything(index: Index, release: str, artists: list[str]) -> Wanted:
    numbers = [index.artists.index(name) for name in artists]
    return Wanted(release, TESTING, classified=numbers, nearest=15, neighbours=True)


def results(index: Index, release: str, artists: list[str], observed: Observed | None) -> list[Any]:
    return [
        classify_release(index, release, artists=artists, testing=TESTING, by="works", observed=observed),
        match_release(index, release, testing=TESTING, observed=observed),
        gallery(index, release, artists, observed=observed),
        copies(index, release, 0.6, observed=observed),
    ]


def test_one_walk_gives_the_same_results_as_separate_walks(invented: tuple[Path, list[str]]) -> None:
    path, artists = invented
    sides = [Side(path, release, {}) for release in RELEASES]
    with Index(path) as index:
        prepared, pair = prepare(*sides, TESTING).watched()
        both = observe(Shared(index), [everything(index, release, artists) for release in RELEASES], [pair])
        for release in RELEASES:
            shared_walk = results(index, release, artists, both[release])
            assert shared_walk == results(index, release, artists, None)
    alone = compare(*sides, testing=TESTING, by_name=False)
    assert compare(*sides, testing=TESTING, by_name=False, prepared=prepared) == alone


def test_each_product_is_computed_once(tmp_path: Path) -> None:
    artists = invented_index(tmp_path / "i.h5", 6, repeats=False)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        with products.counting():
            sides = [Side(tmp_path / "i.h5", release, {}) for release in RELEASES]
            prepared, pair = prepare(*sides, TESTING).watched()
            both = observe(
                Shared(index), [everything(index, release, artists) for release in RELEASES], [pair]
            )
            for release in RELEASES:
                results(index, release, artists, both[release])
            compare(*sides, testing=TESTING, by_name=False, prepared=prepared)
        for release in RELEASES:
            assert products.times(WORKS, f"imitations of {release}") == 1
        assert products.times(WORKS, WORKS) == 1


def test_a_release_that_is_matched_alone_is_walked_once(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 6, repeats=False)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        with products.counting():
            match_release(index, "r1", testing=TESTING)
        n_background = len(pictures(index, "background").rows)
        share = 1 - n_background / products.sizes[WORKS]
        assert n_background and products.times(WORKS, "imitations of r1") == pytest.approx(share)
        assert products.times(WORKS, WORKS) == 1


def test_two_releases_that_are_compared_share_one_walk(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 6, repeats=False)
    sides = [Side(tmp_path / "i.h5", release) for release in RELEASES]
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        share = 1 - len(pictures(index, "background").rows) / products.sizes[WORKS]
        alone = [match_release(index, release, testing=TESTING) for release in RELEASES]
    with products.counting():
        comparison = compare(*sides, testing=TESTING, by_name=False)
    for release in RELEASES:
        assert products.times(WORKS, f"imitations of {release}") == pytest.approx(share)
    assert products.times(WORKS, WORKS) == 1
    findings = [{row.artist: row.finding for row in matched.artists if row.finding} for matched in alone]
    known = [Side(tmp_path / "i.h5", *side) for side in zip(RELEASES, findings, strict=True)]
    assert compare(*known, testing=TESTING, by_name=False) == comparison


def test_tests_of_a_release_match_brute_force(invented: tuple[Path, list[str]]) -> None:
    """Compare the control floor and the kernel test of each artist with those from the full tables."""
    path, _ = invented
    with Index(path) as index:
        matched = {row.artist: row for row in match_release(index, "r2", testing=TESTING).artists}
        works, _ = distinct(pictures(index, "works"))
        imitations, _ = distinct(pictures(index, "imitations", collections=["r2"]))
        control = pictures(index, "control", collections=["r2"]).vectors.astype(np.float64)
        exact, ranked = works.vectors.astype(np.float64), imitations.vectors.astype(np.float64)
        for number, name in enumerate(index.artists):
            own, own_imitations = works.artist == number, imitations.artist == number
            if not own.any() or not own_imitations.any():
                continue
            floor = [
                rankdata([cosine, *line])[0] - 1
                for work, line in zip(exact[own], exact[own] @ ranked.T, strict=True)
                for cosine in control @ work
            ]
            assert matched[name].floor_control == pytest.approx(np.mean(floor) / len(ranked))
            if min(own.sum(), own_imitations.sum()) < 2:
                assert matched[name].p_differs is None
                continue
            both = np.concatenate([exact[own], ranked[own_imitations]])
            expected = mmd_test(
                rbf_kernel_from_similarity(both @ both.T), int(own.sum()), n_resamples=99,
                rng=generator(TESTING.seed, "MMD", name),
            )  # fmt: skip
            assert matched[name].p_differs == expected.pvalue


def test_galleries_and_near_copies_match_the_full_tables(invented: tuple[Path, list[str]]) -> None:
    path, artists = invented
    with Index(path) as index:
        shown = gallery(index, "r1", artists, n_works=99)
        works, _ = distinct(pictures(index, "works"))
        imitations, _ = distinct(pictures(index, "imitations", collections=["r1"]))
        rows = {path: row for row, path in enumerate(index.column("path").tolist())}
        for name, of_artist in shown.items():
            number = index.artists.index(name)
            own = works.vectors[works.artist == number]
            nearest = nearest_own(own, imitations.vectors, imitations.artist == number)
            assert of_artist.rank_histogram == tuple(nearest.histogram.tolist())
            assert sorted(pair.rank for pair in of_artist.neighbours) == sorted(nearest.rank.tolist())
            neighbours = {rows[pair.imitation] for pair in of_artist.neighbours}
            assert neighbours == set(imitations.rows[nearest.imitation].tolist())
        every = pictures(index, "imitations", collections=["r1"])
        all_works = pictures(index, "works", "background")
        work, cosine = nearest_works(every.vectors, all_works.vectors)
        result = copies(index, "r1", 0.6)
        assert result.n_candidates == (cosine[:, 0] >= 0.6).sum()
        best = {rows[pair.imitation]: (rows[pair.work], pair.cosine) for pair in result.pairs}
        same_bytes = {rows[pair.imitation] for pair in result.pairs if pair.same_bytes}
        for position, row in enumerate(every.rows.tolist()):
            if row in best and row not in same_bytes:
                assert best[row] == (all_works.rows[work[position, 0]], min(cosine[position, 0], 1.0))


def test_comparing_several_small_pictures_at_a_time_is_bit_identical() -> None:
    random = np.random.default_rng(4)
    looks = list(random.integers(0, 256, (9, 3, SIDE, SIDE), dtype=np.uint8))
    looks += [np.full_like(looks[0], 7), looks[0][:, :, ::-1], looks[0] // 2]
    for look in (looks[0], looks[9]):
        assert compositions(look, looks) == [composition(look, other) for other in looks]


def test_texts_are_encoded_once_and_the_encoder_is_loaded_when_needed() -> None:
    calls: list[Any] = []

    class Encoder:
        dim = 3

        def encode_texts(self, texts: Any) -> np.ndarray:
            calls.append(list(texts))
            return np.eye(3, dtype=np.float16)[: len(texts)]

    def load() -> Encoder:
        calls.append("loaded")
        return Encoder()

    texts = Texts(load)
    texts.encode_with(Encoder(), [["a", "b"]])
    assert len(texts.encode_texts(["a", "b"])) == 2 and calls == [["a", "b"]]
    assert len(texts.encode_texts(["a"])) == len(texts.encode_texts(["a"])) == 1
    assert calls == [["a", "b"], "loaded", ["a"]]


# A whole audit


@pytest.fixture
def copied(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of the finished audit."""
    shutil.copytree(finished[0], tmp_path / "world", symlinks=True)
    return tmp_path / "world"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the encoders that are loaded."""
    loaded: list[str] = []
    load = loading.load

    def recorded(model: str, *args: Any, **kwargs: Any) -> Any:
        loaded.append(model)
        return load(model, *args, **kwargs)

    monkeypatch.setattr(loading, "load", recorded)
    return loaded


def counted_audit(root: Path) -> tuple[Outcome, Products]:
    """Run the audit, and count the products between the pictures of its index."""
    (path,) = (root / "audit").glob("*.h5")
    with Index(path) as index:
        products = Products(index)
    with products.counting():
        outcome = run_plan(root)
    return outcome, products


@pytest.mark.usefixtures("one_thread")
def test_an_audit_computes_each_product_once_and_loads_each_encoder_once(
    finished: tuple[Path, Outcome], copied: Path, loads: list[str]
) -> None:
    shutil.rmtree(copied / "audit/results")
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    for release in ("one", "two"):
        assert products.times(WORKS, f"imitations of {release}") == 1
    assert products.times(WORKS, WORKS) == 1
    assert len(loads) == 1


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("missing", "times"),
    [
        (("two",), (0, 1)),
        (("two", "two-against-one"), (2 / 3, 1)),
        (("one", "two-against-one"), (1, 2 / 3)),
        (("two-against-one",), (2 / 3, 2 / 3)),
    ],
)
def test_results_that_are_kept_are_not_computed_again(
    finished: tuple[Path, Outcome], copied: Path, missing: tuple[str, ...], times: tuple[float, float]
) -> None:
    """A comparison uses the works of two of the three artists, because the third is in the background."""
    for name in missing:
        next((copied / "audit/results").rglob(f"{name}.json")).unlink()
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    counts = [products.times(WORKS, f"imitations of {release}") for release in ("one", "two")]
    assert counts == pytest.approx(times)


@pytest.mark.usefixtures("one_thread")
def test_releases_that_take_too_much_memory_are_walked_separately(
    finished: tuple[Path, Outcome], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(copied / "audit/results")
    monkeypatch.setattr("imindex.retrieval.audit.assess.TOGETHER_BYTES", 0)
    outcome, products = counted_audit(copied)
    assert outcome.report.digest == finished[1].report.digest
    for release in ("one", "two"):  # once for its results, once for the comparison
        assert products.times(WORKS, f"imitations of {release}") == pytest.approx(1 + 2 / 3)
    assert products.times(WORKS, WORKS) == 1


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


def test_the_counter_counts_repeated_products(tmp_path: Path) -> None:
    """A product that is computed twice counts twice."""
    invented_index(tmp_path / "i.h5", 4)
    with Index(tmp_path / "i.h5") as index:
        products = Products(index)
        compute: Callable[[], Any] = lambda: copies(index, "r1", 2.0)  # noqa: E731
        with products.counting():
            compute()
            once = products.times(WORKS, "imitations of r1")
            compute()
        assert once > 0 and products.times(WORKS, "imitations of r1") == 2 * once
