"""Two releases in indexes and in reports, against their stored vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.compare.archived_report import ArchivedReport
from imindex.retrieval.compare.releases import Side, compare, compare_reports
from imindex.retrieval.compare.sets import PAIRS
from imindex.retrieval.evidence import match_tests as evidence
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import from_dict, to_dict
from imindex.stats.changes import mean_interval
from imindex.stats.multiple import adjust
from tests.support.models import save_model
from tests.support.pictures import paint
from tests.support.two_releases import COLORS, N_WORKS, RELEASES
from tests.support.two_releases import build_index as built

TESTING = evidence.Testing(placebos=("placebo *",), adjust="bh", n_resamples=199)


NAMING: dict[str, Any] = {"labels": (), "templates": ("{artist} {artist}",)}
"""With these texts the tiny model, with its random weights, names some pictures correctly and others not."""


@pytest.fixture(scope="module")
def root(two_releases: Path) -> Path:
    return two_releases


@pytest.fixture(scope="module")
def result(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = to_dict(
        compare(
            Side(root / "i.h5", "r1"),
            Side(root / "i.h5", "r2"),
            testing=TESTING,
            encoder={"device": "cpu"},
            **NAMING,
        )
    )
    return found


def by_artist(result: Mapping[str, Any]) -> dict[str, Any]:
    return {one["artist"]: one for one in result["artists"]}


def test_figures_equal_those_of_match_and_classify(root: Path, result: dict[str, Any]) -> None:
    rows = by_artist(result)
    assert list(rows) == ["ada", "bo", "cy", "di"] and result["n_artists"] == 4
    assert result["left_out"] == [{"artist": "ed", "why": "no imitations in r1"}]
    for side, release in (("base", "r1"), ("new", "r2")):
        matched = by_artist(to_dict(match_release(root / "i.h5", release, testing=TESTING)))
        named = classify_release(root / "i.h5", release, testing=TESTING, encoder={"device": "cpu"}, **NAMING)
        top1 = {one.artist: one.top1 for one in named.methods[0].artists}
        for artist, row in rows.items():
            assert row[f"auc_{side}"] == pytest.approx(matched[artist]["auc"], abs=1e-12)
            assert row[f"finding_{side}"] == matched[artist]["finding"]
            if release == "r1" or artist != "ed":
                assert row[f"accuracy_{side}"] == pytest.approx(top1[artist], abs=1e-12)
        assert result[side]["release"] == release and result[side]["root_digest"] == named.root_digest
    for row in rows.values():
        assert row["auc_change"] == row["auc_new"] - row["auc_base"]
        assert row["auc_low"] <= row["auc_change"] <= row["auc_high"]
        assert row["design"] == PAIRS and row["prompts_held_fixed"]
    assert rows["bo"]["auc_change"] > 0.3 and rows["di"]["auc_change"] > 0.3 > abs(rows["ada"]["auc_change"])


def test_changes_equal_those_recomputed_from_vectors(root: Path, result: dict[str, Any]) -> None:
    """Every set's AUC by counting, for every artist's works; p and differences by enumeration."""
    with Index(root / "i.h5") as index:
        names = [c.name if c.kind == "imitations" else "" for c in index.collections]
        release = np.array(names, dtype=object)[index.column("collection")]
        vectors = np.asarray(index.vectors).astype(np.float64)
        asked = np.array(index.artists, dtype=object)[index.column("artist")]
    placebos = sorted({name for name in asked if name.startswith("placebo")})
    artists = ["ada", "bo", "cy", "di"]

    def auc(artist: str, name: str, of: str) -> float:
        works, own = (release == "") & (asked == artist), (release == of) & (asked == name)
        near = vectors[works] @ vectors[own].T
        far = vectors[works] @ vectors[(release == of) & (asked != name)].T
        wins = (near[:, :, None] > far[:, None]) + (near[:, :, None] == far[:, None]) / 2
        return float(wins.mean())

    change = {(a, s): auc(a, s, "r2") - auc(a, s, "r1") for a in artists for s in (*artists, *placebos)}
    p = []
    for artist in artists:
        found, own = by_artist(result)[artist], change[artist, artist]
        others = np.array([change[artist, name] for name in placebos])
        assert found["auc_change"] == pytest.approx(own, abs=1e-12) and found["n_placebos"] == len(placebos)
        assert found["auc_placebo_change"] == pytest.approx(np.median(others), abs=1e-12)
        assert found["auc_beyond"] == pytest.approx(own - np.median(others), abs=1e-12)
        middle = np.median([own, *others])
        p.append((1 + (np.abs(others - middle) >= abs(own - middle) - 1e-9).sum()) / (1 + len(others)))
        assert found["p_auc"] == p[-1] and found["p_accuracy"] is None
        assert found["p_auc_if_exchangeable"] > 0 and found["auc_beyond_low"] is None  # 12 placebo names
    for method in ("holm", "bh", "by"):
        column = [one[f"p_auc_{method}"] for one in result["artists"]]
        assert column == pytest.approx(adjust(p, method=method).tolist())
    figure = result["figures"]["auc"]
    assert figure["beyond"] == pytest.approx(
        np.mean([change[a, a] - np.mean([change[a, s] for s in placebos]) for a in artists]), abs=1e-12
    )
    assert figure["n_placebos"] == len(placebos) and result["placebos"] == placebos
    random, names = np.random.default_rng(1), [*artists, *placebos]
    null = []
    for _ in range(2000):
        drawn = dict(zip(names, random.permutation(names).tolist(), strict=True))
        null.append(
            np.mean([change[a, drawn[a]] - np.mean([change[a, drawn[s]] for s in placebos]) for a in artists])
        )
    expected = np.mean(np.abs(null) >= abs(figure["beyond"]) - 1e-9)
    assert abs(figure["p"] - expected) < 0.04
    assert (
        result["shifts"]["fewest_findable"] is None and result["shifts"]["n_tested"] == 4
    )  # BH needs 79 or all
    assert any("this design can find no artist" in note for note in result["notes"])


def test_no_test_without_common_placebo_names(root: Path) -> None:
    sides = (
        Side(root / "i.h5", "r1", placebos=["placebo 1*"]),
        Side(root / "i.h5", "r2", placebos=["placebo 2"]),
    )
    found = compare(*sides, testing=TESTING, by_name=False, margin=0.05)
    assert all(row.p_auc is None and row.p_auc_if_exchangeable is not None for row in found.artists)
    assert found.figures.auc.p is None and found.figures.auc.beyond is None and found.shifts.n_tested == 0
    assert any("No test of a change is possible" in note for note in found.notes)
    assert found.margin is not None and found.margin.p_equivalent is None
    assert "cannot be tested without placebo names" in found.margin.sentence


def test_further_real_names_are_neither_compared_nor_candidates(root: Path, result: dict[str, Any]) -> None:
    sides = [
        Side(root / "i.h5", release, rivals=["placebo 3"], placebos=["placebo [!3]*"]) for release in RELEASES
    ]
    found = to_dict(compare(*sides, testing=TESTING, encoder={"device": "cpu"}, **NAMING))
    names = {one["artist"] for one in (*found["artists"], *found["left_out"])}
    assert "placebo 3" not in names and "placebo 3" not in found["placebos"]
    for one, other in zip(found["artists"], result["artists"], strict=True):
        assert (one["accuracy_base"], one["accuracy_new"]) == (other["accuracy_base"], other["accuracy_new"])


def test_only_the_placebo_names_of_the_same_origin(root: Path, result: dict[str, Any]) -> None:
    chosen = ["placebo 0", "placebo 1", "placebo 2"]
    sides = [Side(root / "i.h5", release) for release in RELEASES]
    found = compare(*sides, testing=replace(TESTING, references={"bo": chosen}), by_name=False)
    rows = {row.artist: row for row in found.artists}
    assert (rows["bo"].n_placebos, rows["ada"].n_placebos) == (3, 12)
    assert rows["ada"].p_auc == by_artist(result)["ada"]["p_auc"]


def test_over_all_artists(result: dict[str, Any]) -> None:
    for name in ("auc", "accuracy"):
        base, new = (
            np.array([one[f"{name}_{side}"] for one in result["artists"]]) for side in ("base", "new")
        )
        found, interval = result["figures"][name], mean_interval(new - base).interval
        assert (found["base"], found["new"]) == pytest.approx((base.mean(), new.mean()))
        assert (found["change"], found["n_artists"]) == (pytest.approx((new - base).mean()), 4)
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
        assert found["base_low"] <= found["base"] <= found["base_high"]
        assert found["low"] < found["change"] < found["high"]
    assert result["figures"]["accuracy"]["p"] is None
    counts = result["counts"]
    assert sum(counts["findings"]["base"].values()) == sum(counts["findings"]["new"].values()) == 4
    assert counts["significant"]["new"] >= counts["significant"]["base"]
    assert counts["all"]["new"]["n"] == 5 and counts["all"]["base"]["n"] == 4
    assert any("Tested in NEW and not compared: ed." in note for note in result["notes"])
    changed = {one["artist"] for one in counts["changed"]}
    assert changed == {a["artist"] for a in result["artists"] if a["finding_base"] != a["finding_new"]}


def test_two_indexes_agree_with_one(root: Path, tiny_model: str, result: dict[str, Any]) -> None:
    sides = [
        Side(built(root, f"{r}.h5", root / "works", root / f"{r}.jsonl", model=tiny_model), r)
        for r in RELEASES
    ]
    found = to_dict(compare(*sides, testing=TESTING, encoder={"device": "cpu"}, **NAMING))
    assert [a["artist"] for a in found["artists"]] == [a["artist"] for a in result["artists"]]
    for one, other in zip(found["artists"], result["artists"], strict=True):
        for key in (
            "auc_base",
            "auc_new",
            "p_auc",
            "auc_beyond",
            "p_auc_if_exchangeable",
            "auc_shared_change",
            "accuracy_base",
            "accuracy_new",
            "n_works",
        ):
            assert one[key] == pytest.approx(other[key], abs=1e-9), key
    assert found["base"]["root_digest"] != found["new"]["root_digest"]


def test_candidates_in_one_index_only_are_excluded(
    root: Path, tiny_model: str, result: dict[str, Any]
) -> None:
    for name in ("zed", "ada lovelace", "the moon", "old harry", "kappa", "q q"):
        paint(root / "more" / "works" / name / "0.png", (128, 128, 128), 4242)
    sources = (root / "works", root / "more" / "works", root / "r2.jsonl")
    path = built(root, "more.h5", *sources, model=tiny_model)
    sides = Side(root / "i.h5", "r1"), Side(path, "r2")
    found = to_dict(compare(*sides, testing=TESTING, encoder={"device": "cpu"}, **NAMING))
    alone = classify_release(path, "r2", testing=TESTING, encoder={"device": "cpu"}, **NAMING)
    top1 = {one.artist: one.top1 for one in alone.methods[0].artists}
    assert by_artist(found)["cy"]["accuracy_new"] > top1["cy"]  # more candidates take some away
    for one, other in zip(found["artists"], result["artists"], strict=True):
        assert (one["accuracy_base"], one["accuracy_new"]) == (other["accuracy_base"], other["accuracy_new"])
    n = len(COLORS)
    said = (
        f"named among the {n} labels that are candidates under both releases ({n} and {n + 6} are under one)"
    )
    assert any(said in note for note in found["notes"])
    assert not any("under both releases" in note for note in result["notes"])


def test_works_missing_from_one_index_are_excluded(root: Path, tiny_model: str) -> None:
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
    found = to_dict(compare(base, Side(path, "r2"), testing=TESTING, by_name=False))
    assert {a["artist"]: a["n_works"] for a in found["artists"]} == dict.fromkeys(
        ("ada", "bo", "cy"), N_WORKS - 2
    )
    assert {"artist": "di", "why": "no works that both indexes hold"} in found["left_out"]
    assert any(
        "Compared by the 12 works that both indexes hold, of 24 and 16" in note for note in found["notes"]
    )
    assert found["figures"]["accuracy"]["n_artists"] == 0


def test_incomparable_inputs_are_refused(root: Path, tmp_path: Path) -> None:
    index = root / "i.h5"
    with pytest.raises(ImindexError, match="BASE and NEW are both r1"):
        compare(Side(index, "r1"), Side(index, "r1"), testing=TESTING)
    with pytest.raises(ImindexError, match="no collection r3"):
        compare(Side(index, "r1"), Side(index, "r3"), testing=TESTING)
    model = f"local-dir:{save_model(tmp_path / 'model', seed=1)}"
    other = built(tmp_path, "o.h5", root / "works", root / "r2.jsonl", model=model)
    with pytest.raises(ImindexError, match=r"(?s)weights .* against .*Rebuild one of them"):
        compare(Side(index, "r1"), Side(other, "r2"), testing=TESTING)
    paint(tmp_path / "works" / "zoe" / "0.png", (1, 2, 3), 5)
    (tmp_path / "imitations" / "r2" / "zoe").mkdir(parents=True)
    paint(tmp_path / "imitations" / "r2" / "zoe" / "0.png", (1, 2, 3), 6)
    with Index(index) as opened:
        model = opened.encoder.model
    alone = built(tmp_path, "z.h5", tmp_path / "works", tmp_path / "imitations", model=model)
    with pytest.raises(ImindexError, match="No artist has works, and imitations in both r1 and r2"):
        compare(Side(index, "r1"), Side(alone, "r2"))


def test_known_findings_are_used(root: Path) -> None:
    said = {"ada": Finding.IMITATED, "bo": Finding.IMITATED, "ed": Finding.NOT_SHOWN}
    found = to_dict(
        compare(
            Side(root / "i.h5", "r1", {}, ["placebo 1*"]),
            Side(root / "i.h5", "r2", said),
            testing=TESTING,
            by_name=False,
        )
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


def archived(report: dict[str, Any]) -> ArchivedReport:
    return from_dict(ArchivedReport, report)


def test_reports_give_the_overall_figures(result: dict[str, Any]) -> None:
    base, new = report_of(result, "base", "r1"), report_of(result, "new", "r2")
    new["results"][0]["artists"] += [
        {"artist": "ed", "auc": 0.5, "top1": None, "finding": "imitated"},
        {"artist": "flo", "auc": None, "top1": None, "finding": None},
    ]
    found = to_dict(compare_reports(archived(base), archived(new), testing=TESTING))
    for name in ("auc", "accuracy"):
        kept = (
            "base",
            "base_low",
            "base_high",
            "new",
            "new_low",
            "new_high",
            "change",
            "low",
            "high",
            "n_artists",
        )
        assert {key: found["figures"][name][key] for key in kept} == pytest.approx(
            {key: result["figures"][name][key] for key in kept}
        )
        assert found["figures"][name]["p"] is None and found["figures"][name]["beyond"] is None
    assert found["counts"]["significant"] == result["counts"]["significant"]
    assert set(found) == set(result) and set(found["figures"]) == set(result["figures"])
    for one, other in zip(found["artists"], result["artists"], strict=True):
        assert one["auc_change"] == other["auc_change"] and one["p_auc"] is None
        assert all(one[key] is None and other[key] for key in ("n_works", "n_base", "n_new"))
    assert {one["artist"]: one["why"] for one in found["left_out"]} == {
        "ed": "no figures in r1", "flo": "no figures in r1, no figures in r2",
    }  # fmt: skip
    assert found["counts"]["all"]["new"]["findings"]["imitated"] >= 1
    assert found["shifts"] == {"risen": [], "fallen": [], "n_tested": 0, "fewest_findable": None}


def test_reports_that_cannot_be_compared(result: dict[str, Any]) -> None:
    base, new = report_of(result, "base", "r1"), report_of(result, "new", "r2")
    with pytest.raises(ImindexError, match=r"no release r9\. It has r2"):
        compare_reports(archived(base), archived(new), "r1", "r9")
    with pytest.raises(ImindexError, match="several releases: r2, r3"):
        compare_reports(archived(base), archived({**new, "releases": [{"name": "r2"}, {"name": "r3"}]}))
    other = {**new, "encoders": [{**new["encoders"][0], "weights_sha256": "ff"}]}
    with pytest.raises(ImindexError, match="weights_sha256 ab against ff"):
        compare_reports(archived(base), archived(other))
    with pytest.raises(ImindexError, match="no encoder in common: they have tiny and big"):
        compare_reports(
            archived(base), archived({**new, "encoders": [{**new["encoders"][0], "name": "big"}]})
        )
    nobody = {**new, "results": [{**new["results"][0], "artists": []}]}
    with pytest.raises(ImindexError, match="No artist has figures in both"):
        compare_reports(archived(base), archived(nobody))
