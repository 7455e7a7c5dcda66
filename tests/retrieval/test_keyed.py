"""Keyed streams: an artist's figures are the same bits whatever other artists there are, in any order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.retrieval.compare.releases import Side, compare
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import ClassificationMethod, Comparison, Matching, Result, fields_of, to_json
from imindex.stats.keyed import generator, generators, one_each
from imindex.stats.resampling import bootstrap_artists, work_test
from imindex.stats.set_scores import collect, twice_midranks
from imindex.stats.validity import gap_bootstrap
from tests.support.commands import run
from tests.support.pictures import paint
from tests.support.precision import FP32
from tests.support.recompute_draws import keyed

NAMES = ("Ada", 'É"\\a', "🎨", "\u202eliet", "\udcff", "")
COLORS = {"ada": (200, 30, 30), "bo": (30, 60, 200), "cy": (40, 180, 60)}
MORE = {"Zed": (180, 160, 40), "aaron": (120, 40, 160)}  # first and last by name
TESTING = Testing(("placebo *",), adjust="bh", n_resamples=199, seed=5)
OF_MATCH = (
    "auc", "auc_low", "auc_high", "auc_bca", "auc_standard_error", "p_bootstrap", "p_name", "p_work", "gap", "gap_low",
    "gap_high", "p_differs",
)  # fmt: skip


class TestGenerator:
    def test_notes_describe_the_computation(self) -> None:
        digest = hashlib.sha256(b'[7,"gap","Ada Example",2]').digest()
        wanted = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
        assert generator(7, "gap", "Ada Example", 2).random() == wanted.random()

    @pytest.mark.parametrize("name", NAMES)
    def test_second_implementation_gives_the_same_results(self, name: str) -> None:
        assert generator(7, "gap", name).random() == keyed(7, "gap", name).random()

    def test_every_part_of_the_key_changes_the_stream(self) -> None:
        keys: list[tuple[Any, ...]] = [
            (0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a"), (0, "ab"), (0, "a", ""), (0, 1), (0, "1"),
            (0, 'a","b'), (-1,), (2**70,),
        ]  # fmt: skip
        assert len({generator(*key).random() for key in keys}) == len(keys)
        assert generator(np.int64(3), "a", np.int32(4)).random() == generator(3, "a", 4).random()
        assert generator(3, np.str_("a")).random() == generator(3, "a").random()

    @pytest.mark.parametrize("part", [1.0, None, True, b"a", ("a",)])
    def test_other_parts_are_refused(self, part: Any) -> None:
        with pytest.raises(TypeError, match="strings and integers"):
            generator(0, part)

    def test_streams_are_uniform_and_uncorrelated(self) -> None:
        table = np.array([g.random(400) for g in generators(0, "t", map(str, range(200)))])
        assert np.abs(table.mean() - 0.5) < 4 / np.sqrt(12 * table.size)
        correlation = np.corrcoef(table)[np.triu_indices(200, 1)]
        assert np.abs(correlation).max() < 6 / np.sqrt(400)


class TestOneEach:
    def test_generators_are_passed_through(self) -> None:
        given = generators(0, "t", "ab")
        assert one_each(given, 2) == given
        with pytest.raises(ValueError, match="3 generators, one per artist, not 2"):
            one_each(given, 3)

    @pytest.mark.parametrize("rng", [1, np.int64(1), np.random.default_rng(1)])
    def test_default_stream_is_spawned(self, rng: Any) -> None:
        found = one_each(rng, 3)
        assert len({one.random() for one in found}) == 3
        assert len(one_each(None, 2)) == 2


# Arrays


def world(names: list[str]) -> dict[str, Any]:
    """Works and sets of these names, each drawn from its name only; `extra` has works but no imitations."""
    works, imitations, prompts = [], [], []
    for name in names:
        random = generator(1, name)
        works.append(random.normal(size=(4, 6)) + random.normal(size=6))
        far = -5.0 if name.startswith("extra") else 5.0  # who is extra is nobody's nearest rival
        works[-1][:, 5] = far
        if not name.startswith("extra"):
            imitations.append(random.normal(size=(7, 6)))
            prompts.append(random.integers(0, 3, 7))
    asked = [place for place, name in enumerate(names) if not name.startswith("extra")]
    maker, imitated = np.repeat(np.arange(len(names)), 4), np.repeat(asked, 7)
    left = np.concatenate(works)
    # Computed one row at a time, so the bits do not depend on other rows in the product.
    ranks = twice_midranks(
        np.array([[row @ column for column in np.concatenate(imitations)] for row in left])
    )
    scores = collect(
        [(slice(None), ranks)], maker, imitated, len(names), prompt=np.concatenate(prompts),
        rng=generators(2, "subsample", names),
    )  # fmt: skip
    within = np.array([[float(np.sum(a * b)) for b in left] for a in left]) / 50
    boots = bootstrap_artists(scores.own, n_resamples=99, rng=generators(2, "AUC interval", names))
    test = work_test(scores, n_resamples=99, rng=generators(2, "work test", names))
    gaps = gap_bootstrap(
        within, maker, len(names), n_resamples=99, n_rivals=1, rng=generators(2, "gap", names)
    )
    return {
        "order": {names[a]: (scores.order[7 * k : 7 * k + 7] - 7 * k).tolist() for k, a in enumerate(asked)},
        "interval": {n: boot.distribution.tobytes() for n, boot in zip(names, boots, strict=True) if boot is not None},
        "work test": {n: float(p) for n, p in zip(names, test.pvalue, strict=True) if np.isfinite(p)},
        "gap": {n: (low, high) for n, low, high in zip(names, gaps.low.tolist(), gaps.high.tolist(), strict=True)},
    }  # fmt: skip


def test_array_results_do_not_depend_on_order() -> None:
    forth, back = world(["a", "b", "c", "d"]), world(["d", "b", "a", "c"])
    for test in ("order", "interval", "work test", "gap"):
        assert forth[test] == back[test], test


def test_array_results_do_not_depend_on_other_artists() -> None:
    few, many = world(["a", "b", "c", "d"]), world(["extra 1", "a", "b", "c", "extra 2", "d"])
    assert few["interval"] == {name: many["interval"][name] for name in few["interval"]}
    assert few["order"] == {name: many["order"][name] for name in few["order"]}
    assert few["gap"] == {name: many["gap"][name] for name in few["gap"]}


def test_the_draws_of_the_work_test_do_not_depend_on_the_order_of_the_works() -> None:
    ranks = twice_midranks(np.random.default_rng(3).normal(size=(9, 12)))
    maker, imitated, order = np.repeat([0, 1, 2], 3), np.repeat([0, 1, 2], 4), [8, 2, 5, 0, 1, 3, 4, 6, 7]
    found = [
        work_test(
            collect([(slice(None), ranks[rows])], maker[rows], imitated, 3, rng=1), n_resamples=99, rng=1
        ).pvalue
        for rows in (np.arange(9), order)
    ]
    assert found[0].tolist() == found[1].tolist()


# Indexes


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> dict[str, Path]:
    """The same works and imitations alone, with additional artists who have only works, and in reverse order."""
    root = tmp_path_factory.mktemp("keyed")
    lines: dict[str, list[dict[str, Any]]] = {}
    names = [*COLORS, *(f"placebo {n}" for n in range(9))]
    for place, (name, color) in enumerate(
        {**dict.fromkeys(names, (128, 128, 128)), **COLORS, **MORE}.items()
    ):
        rows = lines.setdefault(name, [])
        for n in range(7 if name in COLORS or name in MORE else 0):
            paint(root / f"w{place}-{n}.png", color, 100 * place + n)
            rows.append(
                {
                    "path": f"w{place}-{n}.png",
                    "artist": name,
                    "kind": "background" if name in MORE else "works",
                }
            )
        for release, first in (("r1", 10_000), ("r2", 20_000)) if name in names else ():
            for n in range(6):
                path = f"{release}-{place}-{n}.png"
                paint(root / path, color if name == "ada" else (128, 128, 128), first + 100 * place + n)
                rows.append({"path": path, "artist": name, "kind": "imitations", "collection": release,
                             "prompt": f"{n // 2 if n else ''}", "seed": n})  # fmt: skip
    made = {}
    for which, chosen in (("few", names), ("many", [*MORE, *names]), ("turned", names[::-1])):
        manifest = root / f"{which}.jsonl"
        manifest.write_text("\n".join(json.dumps(row) for name in chosen for row in lines[name]))
        made[which] = root / f"{which}.h5"
        run("build", manifest, "-i", made[which], "--model", tiny_model, "--device", "cpu", *FP32)
    return made


def by_artist(result: Matching | ClassificationMethod) -> dict[str, Any]:
    return {artist.artist: artist for artist in result.artists}


def matched(path: Path) -> Matching:
    return match_release(path, "r1", testing=TESTING)


def compared(path: Path) -> Comparison:
    return compare(Side(path, "r1"), Side(path, "r2"), testing=TESTING, encoder={"device": "cpu"})


def named(path: Path) -> ClassificationMethod:
    return classify_release(path, "r1", by="works", testing=TESTING).methods[0]


@pytest.mark.parametrize("other", ["many", "turned"])
def test_matching(indexes: dict[str, Path], other: str) -> None:
    few, more = by_artist(matched(indexes["few"])), by_artist(matched(indexes[other]))
    assert set(COLORS) <= set(few)
    for artist in COLORS:
        # Here every additional artist is a rival in the gap, because there are fewer than five others.
        names = [name for name in OF_MATCH if other == "turned" or not name.startswith(("gap", "p_work"))]
        # The discriminant is learned from the works of all artists.
        names = [name for name in names if other == "turned" or name != "p_name"]
        for name in [*names, *(("p_rival", "p") if other == "turned" else ())]:
            assert getattr(few[artist], name) == getattr(more[artist], name), (artist, name)
        assert 0 < few[artist].auc_low <= few[artist].auc_high


@pytest.mark.parametrize("other", ["many", "turned"])
def test_comparison(indexes: dict[str, Path], other: str) -> None:
    few, more = compared(indexes["few"]), compared(indexes[other])
    assert [artist.artist for artist in few.artists] == list(COLORS)
    names = [name for name in fields_of(few.artists[0]) if name.startswith(("auc", "p_auc", "n_"))]
    names += [name for name in fields_of(few.artists[0]) if name.startswith("accuracy") and other == "turned"]
    for one, two in zip(few.artists, more.artists, strict=True):
        assert [getattr(one, name) for name in names] == [getattr(two, name) for name in names]
    assert few.figures.auc == more.figures.auc


def test_classification_in_another_order(indexes: dict[str, Path]) -> None:
    few, turned = named(indexes["few"]), named(indexes["turned"])
    artists = by_artist(few), by_artist(turned)
    for artist in COLORS:
        assert artists[0][artist] == artists[1][artist]
    assert few.evidence and turned.evidence
    assert few.evidence.macro == turned.evidence.macro
    assert few.evidence.p_assignment == turned.evidence.p_assignment


def test_figures_over_all_artists_in_another_order(indexes: dict[str, Path]) -> None:
    few, turned = matched(indexes["few"]).evidence, matched(indexes["turned"]).evidence
    assert few and turned
    assert few.overall == turned.overall


@pytest.mark.parametrize("compute", [matched, compared, named])
def test_results_do_not_depend_on_earlier_calls(
    indexes: dict[str, Path], compute: Callable[[Path], Result]
) -> None:
    first = to_json(compute(indexes["few"]))
    for before in (named, compared, matched):
        before(indexes["many"])
        np.random.default_rng().random(7)
    assert to_json(compute(indexes["few"])) == first


def test_different_seeds_give_different_draws(indexes: dict[str, Path]) -> None:
    other = Testing(TESTING.placebos, n_resamples=199, seed=6)
    found = by_artist(match_release(indexes["few"], "r1", testing=other))
    same = by_artist(matched(indexes["few"]))
    assert found["bo"].auc_standard_error != same["bo"].auc_standard_error
