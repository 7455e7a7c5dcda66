"""Two releases: the arrays' core against scipy, enumeration and simulation; indexes against their stored vectors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import save_model
from scipy import stats as scipy_stats
from test_cli import run
from test_evidence import paint

from indexer.errors import ImindexError
from indexer.store import Index
from retrieval import evidence
from retrieval.attribution import classify_release, match_release
from retrieval.compare import Side, compare, compare_reports
from retrieval.compare_sets import (
    PAIRS,
    PICTURES,
    PROMPTS,
    WITHIN,
    ReleaseSet,
    compare_sets,
    design_of,
    square_and_add,
)
from retrieval.comparison import adjusted, shifts
from stats.compare import exchange_test, paired_difference
from stats.intervals import Interval, clopper_pearson
from stats.multiple import adjust
from stats.ranks import twice_midranks

# The core, on arrays


def made(scores: Any, prompt: Any, seed: Any, right: Any = None, works: int = 5) -> ReleaseSet:
    scores = np.asarray(scores, dtype=np.float64)
    own = scores + np.linspace(-0.05, 0.05, works)[:, None]
    right = None if right is None else np.asarray(right, np.bool_)
    return ReleaseSet(own, own.mean(axis=0), np.asarray(prompt), np.asarray(seed), right)


@pytest.mark.parametrize(
    ("base", "new", "name", "fixed"),
    [
        (([0, 0, 0], [1, 2, 3]), ([0, 0, 0], [3, 1, 2]), PAIRS, True),
        (([0, 1, 2], [1, 2, 3]), ([2, 0, 1], [3, 1, 2]), PAIRS, False),
        (([0, 1, 2], [-1, -1, -1]), ([2, 0, 1], [-1, -1, -1]), PAIRS, False),  # one picture a prompt
        (([0, 1, 2], [1, 2, 3]), ([2, 0, 1], [7, 8, 9]), PAIRS, False),
        (([0, 0, 1], [1, 2, 3]), ([0, 0, 1], [1, 2, 4]), WITHIN, True),
        (
            ([0, 0, 1], [-1, -1, -1]),
            ([0, 0, 1], [-1, -1, -1]),
            WITHIN,
            True,
        ),  # unknown seeds are not the same
        (([0, 0, 1], [1, 1, 3]), ([0, 0, 1], [1, 1, 3]), WITHIN, True),  # a seed twice is no pair
        (([0, 0, 1], [-1, 1, 3]), ([0, 0, 1], [-1, 1, 3]), WITHIN, True),
        (([0, 0, 1], [1, 2, 3]), ([0, 1], [1, 3]), WITHIN, True),
        (([0, 0, 1], [1, 2, 3]), ([0, 0, 2], [1, 2, 3]), PROMPTS, True),
        (([0, 1, 2], [1, 2, 3]), ([3, 4, 5], [1, 2, 3]), PICTURES, False),
        (([*range(5)] * 2, [*range(10)]), ([*range(5)] * 2, [*range(10)]), PAIRS, False),
    ],
)
def test_designs(base: Any, new: Any, name: str, fixed: bool) -> None:
    sets = [made(np.zeros(len(prompt)), prompt, seed) for prompt, seed in (base, new)]
    found = design_of(*sets)
    assert (found.name, found.prompts_held_fixed) == (name, fixed)
    if name == PAIRS:
        assert (sets[0].prompt[found.base_order] == sets[1].prompt[found.new_order]).all()


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_pairs_and_pictures_are_those_of_scipy(alternative: str) -> None:
    random = np.random.default_rng(3)
    base, new = random.normal(0.5, 0.1, 8).round(2), random.normal(0.6, 0.1, 8).round(2)
    order = random.permutation(8)
    paired = compare_sets(
        made(base, [0] * 8, range(8)), made(new[order], [0] * 8, order), alternative=alternative, rng=1
    )
    theirs = scipy_stats.permutation_test(
        (new, base), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", vectorized=True,
        alternative=alternative,
    )  # fmt: skip
    assert paired.design.name == PAIRS and paired.auc.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)
    assert paired.shared_change == pytest.approx((new - base).mean())
    apart = compare_sets(
        made(base[:5], range(5), range(5)),
        made(new[:4], range(5, 9), range(4)),
        alternative=alternative,
        rng=1,
    )
    theirs = scipy_stats.permutation_test(
        (new[:4], base[:5]), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), vectorized=True,
        alternative=alternative,
    )  # fmt: skip
    assert apart.design.name == PICTURES and apart.auc.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_exchange_within_prompts_approaches_all_exchanges(alternative: str) -> None:
    random = np.random.default_rng(7)
    base, new = random.normal(0.5, 0.1, 6).round(2), random.normal(0.57, 0.1, 5).round(2)
    prompt = (np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1]))
    base, new = (
        base + 0.4 * prompt[0],
        new + 0.4 * prompt[1],
    )  # far apart: what is exchanged across them shows
    found = compare_sets(
        made(base, prompt[0], [-1] * 6), made(new, prompt[1], [-1] * 5), alternative=alternative, rng=1
    )
    sums = []
    for chosen in itertools.product(itertools.combinations(range(5), 2), itertools.combinations(range(6), 3)):
        pools = [np.concatenate([base[prompt[0] == p], new[prompt[1] == p]]) for p in (0, 1)]
        sums.append(sum(pool[list(some)].sum() for pool, some in zip(pools, chosen, strict=True)))
    greater = np.mean(np.array(sums) >= new.sum() - 1e-9)
    less = np.mean(np.array(sums) <= new.sum() + 1e-9)
    wanted = {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]
    assert found.design.name == WITHIN
    assert found.auc.pvalue == pytest.approx(wanted, abs=0.02)


def test_prompts_are_averaged_first() -> None:
    random = np.random.default_rng(2)
    base, new = random.normal(0.5, 0.1, (5, 3)), random.normal(0.7, 0.1, (4, 3))
    found = compare_sets(
        made(base.ravel(), np.repeat(range(5), 3), range(15)), made(new.ravel(), np.repeat(range(5, 9), 3), range(12)),
        rng=1,
    )  # fmt: skip
    assert found.design.name == PROMPTS and not found.design.uneven
    assert found.auc.pvalue == exchange_test(base.mean(axis=1), new.mean(axis=1)).pvalue
    uneven = design_of(made([0] * 3, [0, 0, 1], [1, 2, 3]), made([0] * 2, [2, 2], [1, 2]))
    assert uneven.uneven


def test_swapping_the_releases_turns_the_change_around() -> None:
    random = np.random.default_rng(4)
    one = made(random.normal(0.5, 0.1, 9), [0] * 9, range(9), random.random(9) < 0.4)
    other = made(random.normal(0.6, 0.1, 9), [0] * 9, range(9), random.random(9) < 0.7)
    forth, back = compare_sets(one, other, rng=1), compare_sets(other, one, rng=1)
    assert forth.accuracy and back.accuracy
    for a, b in ((forth.auc, back.auc), (forth.accuracy, back.accuracy)):
        assert a.change == -b.change and a.pvalue == b.pvalue
        assert (a.low, a.high) == pytest.approx((-b.high, -b.low), abs=1e-9)
    same = compare_sets(one, one, rng=1)
    assert same.auc.pvalue == 1 and same.auc.change == 0 and same.auc.low == same.auc.high == 0


def test_no_spread_is_not_certainty() -> None:
    all_near = made([0.95] * 8, [0] * 8, range(8), [True] * 8)
    all_near.own[:], all_near.shared[:] = 1.0, 1.0
    found = compare_sets(all_near, all_near, rng=1)
    assert found.accuracy
    least = clopper_pearson(5, 5, 0.95).low  # 5 works
    assert (found.auc.low, found.auc.high) == pytest.approx((least - 1, 1 - least))
    least = clopper_pearson(8, 8, 0.95).low
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((least - 1, 1 - least))


def test_newcombes_own_example() -> None:
    """Newcombe 1998, table II (a): 56/70 against 48/80, by Wilson's intervals: 0.0524 to 0.3339."""

    def wilson(right: int, n: int) -> Interval:
        found = scipy_stats.binomtest(right, n).proportion_ci(method="wilson")
        return Interval(found.low, found.high)

    found = square_and_add(48 / 80, wilson(48, 80), 56 / 70, wilson(56, 70))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_one_work_or_one_picture_has_no_interval() -> None:
    one = made([0.4], [0], [1], [True])
    found = compare_sets(one, made([0.6], [0], [1], [False]), rng=1)
    assert np.isnan([found.auc.low, found.auc.high]).all() and found.auc.pvalue == 1
    with pytest.raises(ValueError, match="the same works"):
        compare_sets(one, made([0.6], [0], [1], works=4))


def world(
    random: np.random.Generator, design: str, delta: float, n_prompts: int, n_seeds: int
) -> tuple[ReleaseSet, ReleaseSet]:
    """Two releases of one generator; the new one nearer by delta, and named right so much more often."""
    n_works, m = 10, n_prompts * n_seeds
    works, shared_prompts = random.normal(0, 0.1, n_works), random.normal(0, 0.08, n_prompts)
    shared_seeds, out = random.normal(0, 0.07, m), []
    for side in (0, 1):
        prompts = shared_prompts if design in (PAIRS, WITHIN) else random.normal(0, 0.08, n_prompts)
        scores = np.repeat(prompts, n_seeds) + random.normal(0, 0.07, m)
        scores += shared_seeds if design == PAIRS else random.normal(0, 0.07, m)
        own = 0.5 + side * delta + works[:, None] + scores + random.normal(0, 0.1, (n_works, m))
        right = random.random(m) < np.clip(0.5 + side * delta + scores, 0, 1)
        prompt = np.repeat(np.arange(n_prompts), n_seeds) + side * 1000 * (design in (PROMPTS, PICTURES))
        seed = np.arange(m) if design == PAIRS else np.full(m, -1)
        out.append(ReleaseSet(own, own.mean(axis=0), prompt, seed, right))
    return out[0], out[1]


@pytest.mark.parametrize(
    ("design", "n_prompts", "n_seeds"),
    [(PAIRS, 1, 10), (PAIRS, 6, 2), (WITHIN, 1, 10), (WITHIN, 6, 3), (PROMPTS, 6, 3), (PICTURES, 12, 1)],
)
def test_level_power_and_coverage(design: str, n_prompts: int, n_seeds: int) -> None:
    random, n = np.random.default_rng(11), 300
    found = {
        delta: [
            compare_sets(*world(random, design, delta, n_prompts, n_seeds), n_resamples=199, rng=random)
            for _ in range(n)
        ]
        for delta in (0.0, 0.15)
    }
    assert {one.design.name for some in found.values() for one in some} == {design}
    slack = 3 * np.sqrt(0.05 * 0.95 / n)
    called = {delta: np.mean([one.auc.pvalue <= 0.05 for one in some]) for delta, some in found.items()}
    assert called[0.0] <= 0.05 + slack and called[0.15] >= 0.4
    right = [one.accuracy for one in found[0.0] if one.accuracy]
    assert np.mean([one.pvalue <= 0.05 for one in right]) <= 0.05 + slack
    for delta, some in found.items():
        assert np.mean([one.auc.low <= delta <= one.auc.high for one in some]) >= 0.95 - slack
        shares = [one.accuracy for one in some if one.accuracy]
        assert np.mean([one.low - 1e-9 <= delta <= one.high + 1e-9 for one in shares]) >= 0.95 - slack
    assert np.median([one.auc.high - one.auc.low for one in found[0.15]]) < 0.4


def test_who_has_risen_and_who_has_fallen() -> None:
    changes = {
        "up": (0.3, 0.001),
        "down": (-0.3, 0.001),
        "unsure": (0.3, 0.04),
        "same": (0.0, 1.0),
        "bare": (0.3, np.nan),
    }
    rows = adjusted(
        [
            {"artist": name, "auc_shared_change": change, "p_auc": p, "p_accuracy": np.nan}
            for name, (change, p) in changes.items()
        ]
    )
    assert [row["p_auc_holm"] for row in rows] == pytest.approx([0.004, 0.004, 0.08, 1, np.nan], nan_ok=True)
    assert shifts(rows, evidence.Testing()) == {"risen": ["up"], "fallen": ["down"]}
    found = shifts(rows, evidence.Testing(level=0.1))
    assert found == {"risen": ["up", "unsure"], "fallen": ["down"]}


# Indexes

COLORS = {
    "ada": (200, 30, 30),
    "bo": (30, 60, 200),
    "cy": (40, 180, 60),
    "di": (200, 200, 40),
    "ed": (90, 20, 120),
}
N_WORKS, N_IMITATIONS, N_PLACEBOS = 6, 5, 12
RELEASES: dict[str, tuple[str, ...]] = {"r1": ("ada",), "r2": ("ada", "bo", "di")}
TESTING = evidence.Testing(placebos=("placebo *",), adjust="bh", n_resamples=199)


NAMING: dict[str, Any] = {"labels": (), "templates": ("{artist} {artist}",)}
"""By these texts the tiny model, with its random weights, names some pictures rightly and some not."""


def draw(root: Path) -> None:
    """Works of five artists; r1 imitates ada, r2 also bo and di. ed has no imitations in r1."""
    lines = []
    for place, name in enumerate([*COLORS, *(f"placebo {n}" for n in range(N_PLACEBOS))]):
        for n in range(N_WORKS if name in COLORS else 0):
            paint(root / "works" / name / f"{n}.png", COLORS[name], 1000 * place + n)
        for number, (release, imitated) in enumerate(RELEASES.items()):
            for n in range(0 if (release, name) == ("r1", "ed") else N_IMITATIONS):
                path = root / release / name.replace(" ", "-") / f"{n}.png"
                color = COLORS[name] if name in imitated else (128, 128, 128)
                paint(path, color, 500_000 + 1000 * place + 50 * number + n)
                lines.append(
                    {"path": str(path.relative_to(root)), "artist": name, "kind": "imitations", "collection": release,
                     "prompt": f"Artwork from {name}", "seed": n}
                )  # fmt: skip
    for release in (*RELEASES, ""):
        chosen = [json.dumps(line) for line in lines if release in ("", line["collection"])]
        (root / f"{release or 'both'}.jsonl").write_text("\n".join(chosen))


def built(root: Path, name: str, *sources: object, model: str) -> Path:
    for source in sources:
        run("build", source, "-i", root / name, "--model", model, "--device", "cpu", "--precision", "fp32")
    return root / name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    draw(folder)
    built(folder, "i.h5", folder / "works", folder / "both.jsonl", model=tiny_model)
    return folder


@pytest.fixture(scope="module")
def result(root: Path) -> dict[str, Any]:
    return compare(
        Side(root / "i.h5", "r1"),
        Side(root / "i.h5", "r2"),
        testing=TESTING,
        encoder={"device": "cpu"},
        **NAMING,
    )


def by_artist(result: Mapping[str, Any]) -> dict[str, Any]:
    return {one["artist"]: one for one in result["artists"]}


def test_figures_are_those_of_match_and_classify(root: Path, result: dict[str, Any]) -> None:
    rows = by_artist(result)
    assert list(rows) == ["ada", "bo", "cy", "di"] and result["n_artists"] == 4
    assert result["left_out"] == [{"artist": "ed", "why": "no imitations in r1"}]
    for side, release in (("base", "r1"), ("new", "r2")):
        matched = by_artist(match_release(root / "i.h5", release, testing=TESTING))
        named = classify_release(root / "i.h5", release, testing=TESTING, encoder={"device": "cpu"}, **NAMING)
        top1 = {one["artist"]: one["top1"] for one in named["methods"][0]["artists"]}
        for artist, row in rows.items():
            assert row[f"auc_{side}"] == pytest.approx(matched[artist]["auc"], abs=1e-12)
            assert row[f"finding_{side}"] == matched[artist]["finding"]
            if release == "r1" or artist != "ed":
                assert row[f"accuracy_{side}"] == pytest.approx(top1[artist], abs=1e-12)
        assert result[side]["release"] == release and result[side]["root_digest"] == named["root-digest"]
    for row in rows.values():
        assert row["auc_change"] == row["auc_new"] - row["auc_base"]
        assert row["auc_low"] <= row["auc_change"] <= row["auc_high"]
        assert row["design"] == PAIRS and row["prompts_held_fixed"]
    assert rows["bo"]["auc_change"] > 0.3 and rows["di"]["auc_change"] > 0.3 > abs(rows["ada"]["auc_change"])


def test_p_values_are_those_of_the_stored_vectors(root: Path, result: dict[str, Any]) -> None:
    with Index(root / "i.h5") as index:
        names = [c.name if c.kind == "imitations" else "" for c in index.collections]
        release = np.array(names, dtype=object)[index.column("collection")]
        vectors, artist = np.asarray(index.vectors).astype(np.float64), index.column("artist")
        seeds, artists = index.column("seed"), index.artists
    is_made = release != ""
    p = []
    for name in ("ada", "bo", "cy", "di"):
        mine = artist == artists.index(name)
        works, others = np.flatnonzero(mine & ~is_made), np.flatnonzero(is_made & ~mine)
        scores = {}
        for r in RELEASES:
            own = np.flatnonzero(mine & (release == r))
            own = own[np.argsort(seeds[own])]
            near = []
            for picture in own:  # each alone among the others: the rank is the share that is further
                ranks = twice_midranks(vectors[works] @ vectors[[picture, *others]].T)[:, 0]
                near.append(((ranks - 2) / (2 * len(others))).mean())
            scores[r] = np.array(near)
        wanted = exchange_test(scores["r1"], scores["r2"], pairs=True).pvalue
        found = by_artist(result)[name]
        assert found["p_auc"] == wanted
        assert found["auc_shared_change"] == pytest.approx((scores["r2"] - scores["r1"]).mean(), abs=1e-12)
        p.append(wanted)
    for method in ("holm", "bh", "by"):
        column = [one[f"p_auc_{method}"] for one in result["artists"]]
        assert column == pytest.approx(adjust(p, method=method).tolist())
        named = [one["p_accuracy"] for one in result["artists"]]
        column = [one[f"p_accuracy_{method}"] for one in result["artists"]]
        assert column == pytest.approx(adjust(named, method=method).tolist()) and named != p


def test_over_all_artists(result: dict[str, Any]) -> None:
    for name in ("auc", "accuracy"):
        base, new = (
            np.array([one[f"{name}_{side}"] for one in result["artists"]]) for side in ("base", "new")
        )
        found, wanted = result["figures"][name], paired_difference(base, new)
        assert (found["base"], found["new"]) == pytest.approx((base.mean(), new.mean()))
        assert (found["change"], found["p"], found["n_artists"]) == (wanted.estimate, wanted.pvalue, 4)
        assert found["base_low"] <= found["base"] <= found["base_high"]
        if wanted.differences.any():
            assert found["low"] <= found["change"] <= found["high"]
    counts = result["counts"]
    assert sum(counts["findings"]["base"].values()) == sum(counts["findings"]["new"].values()) == 4
    assert counts["significant"]["new"] >= counts["significant"]["base"]
    assert counts["all"]["new"]["n"] == 5 and counts["all"]["base"]["n"] == 4
    assert any("Tested in NEW and not compared: ed." in note for note in result["notes"])
    changed = {one["artist"] for one in counts["changed"]}
    assert changed == {a["artist"] for a in result["artists"] if a["finding_base"] != a["finding_new"]}


def test_two_indexes_give_what_one_gives(root: Path, tiny_model: str, result: dict[str, Any]) -> None:
    sides = [
        Side(built(root, f"{r}.h5", root / "works", root / f"{r}.jsonl", model=tiny_model), r)
        for r in RELEASES
    ]
    found = compare(*sides, testing=TESTING, encoder={"device": "cpu"}, **NAMING)
    assert [a["artist"] for a in found["artists"]] == [a["artist"] for a in result["artists"]]
    for one, other in zip(found["artists"], result["artists"], strict=True):
        for key in (
            "auc_base",
            "auc_new",
            "p_auc",
            "auc_shared_change",
            "accuracy_base",
            "accuracy_new",
            "n_works",
        ):
            assert one[key] == pytest.approx(other[key], abs=1e-9), key
    assert found["base"]["root_digest"] != found["new"]["root_digest"]


def test_names_that_are_candidates_in_one_index_only_are_left_out(
    root: Path, tiny_model: str, result: dict[str, Any]
) -> None:
    for name in ("zed", "ada lovelace", "the moon", "old harry", "kappa", "q q"):
        paint(root / "more" / "works" / name / "0.png", (128, 128, 128), 4242)
    sources = (root / "works", root / "more" / "works", root / "r2.jsonl")
    path = built(root, "more.h5", *sources, model=tiny_model)
    sides = Side(root / "i.h5", "r1"), Side(path, "r2")
    found = compare(*sides, testing=TESTING, encoder={"device": "cpu"}, **NAMING)
    alone = classify_release(path, "r2", testing=TESTING, encoder={"device": "cpu"}, **NAMING)
    top1 = {one["artist"]: one["top1"] for one in alone["methods"][0]["artists"]}
    assert by_artist(found)["cy"]["accuracy_new"] > top1["cy"]  # more candidates take some away
    for one, other in zip(found["artists"], result["artists"], strict=True):
        assert (one["accuracy_base"], one["accuracy_new"]) == (other["accuracy_base"], other["accuracy_new"])
    n = len(COLORS)
    said = (
        f"named among the {n} labels that are candidates under both releases ({n} and {n + 6} are under one)"
    )
    assert any(said in note for note in found["notes"])
    assert not any("under both releases" in note for note in result["notes"])


def test_works_that_one_index_lacks_are_left_out(root: Path, tiny_model: str) -> None:
    for name in COLORS:
        for n in range(1, N_WORKS):  # one work is missing, another one is new
            color, seed = COLORS[name], 77 if n == 1 else 1000 * list(COLORS).index(name) + n
            if name != "di":
                paint(root / "fewer" / name / f"{n}.png", color, seed)
    paint(root / "fewer" / "di" / "0.png", COLORS["di"], 99)
    sources = (root / "fewer", root / "r2.jsonl")
    for old, new in (("fewer", "works"),):
        (root / "other").mkdir()
        (root / old).rename(root / "other" / new)
    path = built(root, "fewer.h5", root / "other" / "works", sources[1], model=tiny_model)
    base = Side(root / "i.h5", "r1")
    found = compare(base, Side(path, "r2"), testing=TESTING, by_name=False)
    assert {a["artist"]: a["n_works"] for a in found["artists"]} == dict.fromkeys(
        ("ada", "bo", "cy"), N_WORKS - 2
    )
    assert {"artist": "di", "why": "no works that both indexes hold"} in found["left_out"]
    assert any(
        "Compared by the 12 works that both indexes hold, of 24 and 16" in note for note in found["notes"]
    )
    assert found["figures"]["accuracy"]["n_artists"] == 0


def test_what_cannot_be_compared_is_refused(root: Path, tmp_path: Path) -> None:
    index = root / "i.h5"
    with pytest.raises(ImindexError, match="BASE and NEW are both r1"):
        compare(Side(index, "r1"), Side(index, "r1"), testing=TESTING)
    with pytest.raises(ImindexError, match="no collection r3"):
        compare(Side(index, "r1"), Side(index, "r3"), testing=TESTING)
    model = f"local-dir:{save_model(tmp_path / 'model', seed=1)}"
    other = built(tmp_path, "o.h5", root / "works", root / "r2.jsonl", model=model)
    with pytest.raises(ImindexError, match=r"(?s)weights .* against .*Build one of them anew"):
        compare(Side(index, "r1"), Side(other, "r2"), testing=TESTING)
    paint(tmp_path / "works" / "zoe" / "0.png", (1, 2, 3), 5)
    (tmp_path / "imitations" / "r2" / "zoe").mkdir(parents=True)
    paint(tmp_path / "imitations" / "r2" / "zoe" / "0.png", (1, 2, 3), 6)
    with Index(index) as opened:
        model = opened.encoder.model
    alone = built(tmp_path, "z.h5", tmp_path / "works", tmp_path / "imitations", model=model)
    with pytest.raises(ImindexError, match="No artist has works, and imitations in both r1 and r2"):
        compare(Side(index, "r1"), Side(alone, "r2"))


def test_known_findings_are_taken(root: Path) -> None:
    said = {"ada": "imitated", "bo": "imitated", "ed": "not shown"}
    found = compare(
        Side(root / "i.h5", "r1", {}, ["placebo 1*"]),
        Side(root / "i.h5", "r2", said),
        testing=TESTING,
        by_name=False,
    )
    assert found["counts"]["significant"] == {"base": 0, "new": 2}
    assert found["counts"]["all"]["new"]["n"] == 3
    assert {one["artist"]: one["to"] for one in found["counts"]["changed"]} == {
        "ada": "imitated",
        "bo": "imitated",
    }


# Reports


def report_of(result: Mapping[str, Any], side: str, release: str) -> dict[str, Any]:
    rows = [
        {
            "artist": a["artist"],
            "auc": a[f"auc_{side}"],
            "top1": a[f"accuracy_{side}"],
            "finding": a[f"finding_{side}"],
        }
        for a in result["artists"]
    ]
    encoder = {
        "name": "tiny",
        "weights_sha256": "ab",
        "precision": "fp32",
        "index": "i.h5",
        "root_digest": "cd",
    }
    return {
        "encoders": [encoder],
        "releases": [{"name": release}],
        "results": [{"release": release, "encoder": "tiny", "artists": rows}],
    }


def test_reports_give_the_overall_figures(result: dict[str, Any]) -> None:
    base, new = report_of(result, "base", "r1"), report_of(result, "new", "r2")
    new["results"][0]["artists"] += [
        {"artist": "ed", "auc": 0.5, "top1": None, "finding": "imitated"},
        {"artist": "flo", "auc": None, "top1": None, "finding": None},
    ]
    found = compare_reports(base, new, testing=TESTING)
    for name in ("auc", "accuracy"):
        assert found["figures"][name] == pytest.approx(result["figures"][name], nan_ok=True)
    assert found["counts"]["significant"] == result["counts"]["significant"]
    assert set(found) == set(result) and set(found["figures"]) == set(result["figures"])
    for one, other in zip(found["artists"], result["artists"], strict=True):
        assert one["auc_change"] == other["auc_change"] and np.isnan(one["p_auc"])
        assert set(other) - set(one) == {"n_works", "n_base", "n_new"}
    assert {one["artist"]: one["why"] for one in found["left_out"]} == {
        "ed": "no figures in r1", "flo": "no figures in r1, no figures in r2",
    }  # fmt: skip
    assert found["counts"]["all"]["new"]["findings"]["imitated"] >= 1
    assert found["shifts"] == {"risen": [], "fallen": []}


def test_reports_that_cannot_be_compared(result: dict[str, Any]) -> None:
    base, new = report_of(result, "base", "r1"), report_of(result, "new", "r2")
    with pytest.raises(ImindexError, match=r"no release r9\. It has r2"):
        compare_reports(base, new, "r1", "r9")
    with pytest.raises(ImindexError, match="several releases: r2, r3"):
        compare_reports(base, {**new, "releases": [{"name": "r2"}, {"name": "r3"}]})
    other = {**new, "encoders": [{**new["encoders"][0], "weights_sha256": "ff"}]}
    with pytest.raises(ImindexError, match="weights_sha256 ab against ff"):
        compare_reports(base, other)
    with pytest.raises(ImindexError, match="no encoder in common: they have tiny and big"):
        compare_reports(base, {**new, "encoders": [{**new["encoders"][0], "name": "big"}]})
    nobody = {**new, "results": [{**new["results"][0], "artists": []}]}
    with pytest.raises(ImindexError, match="No artist has figures under both"):
        compare_reports(base, nobody)
