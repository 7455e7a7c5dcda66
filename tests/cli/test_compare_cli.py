"""`imindex compare`: what BASE and NEW may be, the output, and the exit code of a gate."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.store.index import Index
from imindex.retrieval.compare.gate import METRICS
from imindex.retrieval.results import Verdict
from tests.support.commands import last_line, run, shown
from tests.support.places import ROOT
from tests.support.reports import write_report
from tests.support.two_releases import COLORS


@pytest.fixture(scope="module")
def root(two_releases: Path) -> Path:
    return two_releases


FAST = ("--resamples", "99", "--adjust", "bh")
NAMED = ("--device", "cpu")


@pytest.fixture(scope="module")
def audits(root: Path) -> Callable[..., Path]:
    """Return a function that creates an audit's folder: an index and its report, of one release or both."""

    def make(name: str, *releases: str, with_index: bool = True) -> Path:
        folder = root / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        source = root / "i.h5"
        if with_index:
            shutil.copy(source, folder / "tiny.h5")
        with Index(source) as index:
            info, digest = index.encoder, index.root_digest
        encoder = {
            "name": "tiny", "model": info.model, "precision": info.precision, "weights_sha256": info.weights_sha256,
            "root_digest": digest, "index": "tiny.h5",
        }  # fmt: skip
        results = []
        for release in releases:
            matched = json.loads(
                run(
                    "match", "-i", source, "--collection", release, "--placebo", "placebo *", *FAST, "--json"
                ).stdout
            )
            rows = [
                {"artist": a["artist"], "auc": a["auc"], "top1": 0.5, "finding": a["finding"]}
                for a in matched["artists"] if a["finding"]
            ]  # fmt: skip
            confirmed = {"candidate": True, "decided": "confirmed"}
            copies = {"pairs": [confirmed] * (2 if release == "r2" else 1)}
            results.append({"release": release, "encoder": "tiny", "artists": rows, "copies": copies})
        report = {
            "plan": {
                "artists": sorted(COLORS), "background": [], "labels": ["Artwork"],
                "templates": ["Artwork from {artist}"],
                "tests": {"level": 0.1, "adjust": "by", "n_resamples": 199, "confidence_level": 0.9, "seed": 3},
            },
            "encoders": [encoder],
            "releases": [{"name": release} for release in releases],
            "results": results,
        }  # fmt: skip
        write_report(folder, report)
        return folder

    return make


def answer(*words: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("compare", *words, "--json", code=code).stdout)
    return found


def test_collections_of_an_index(root: Path) -> None:
    words = ("r1", "r2", "-i", root / "i.h5", "--placebo", "placebo *", *FAST)
    found = answer(*words, *NAMED)
    plain = run("compare", *words, *NAMED)
    assert found["n_artists"] == 4 and found["gate"] == [] and found["testing"]["adjust"] == "bh"
    assert found["figures"]["accuracy"]["n_artists"] == 4
    text = plain.output
    rows = list(csv.DictReader(plain.stdout.splitlines(), delimiter="\t"))
    assert {row["artist"]: row for row in rows}.keys() == {row["artist"] for row in found["artists"]}
    for row in found["artists"]:
        (shown,) = (one for one in rows if one["artist"] == row["artist"])
        for name in ("auc_base", "auc_new", "auc_change", "accuracy_change", "p_auc_bh"):
            assert shown[name] == ("" if row[name] is None else str(row[name]))  # in full precision
    changes = [abs(float(row["auc_change"])) for row in rows]
    assert len(changes) == 4 and changes == sorted(changes, reverse=True)
    assert last_line(plain).startswith("Compared r2 with r1 on 4 artists: mean AUC ")
    assert "ed" in text and "no imitations in r1" in text
    assert "beyond placebo names" in text and "that of placebo names" in text and "12 names" in text
    margin = run("compare", *words, "--no-names", "--margin", "0.9")
    assert "a rise of more than 0.9 is excluded" in " ".join(margin.output.split())


@pytest.mark.parametrize("adjust", ["holm", "bh"])
def test_findings_that_are_impossible_are_no_zeros(root: Path, adjust: str) -> None:
    """Holm over 4 artists needs 79 placebo names, and there are 12: "0 artists with a finding" would mislead."""
    words = (
        "compare",
        "r1",
        "r2",
        "-i",
        root / "i.h5",
        "--placebo",
        "placebo *",
        "--resamples",
        99,
        "--no-names",
    )
    found = json.loads(run(*words, "--adjust", adjust, "--json").stdout)["counts"]["all"]
    text = shown(*words, "--adjust", adjust)
    assert (
        found["base"]["finds_nobody"] and found["new"]["finds_nobody"] and found["base"]["n_placebos"] == 12
    )
    assert "In r1 and r2, no artist can have a finding, however strong the imitation" in text
    assert ("pass --adjust bh" in text) == (adjust == "holm") and "No finding changed" not in text
    assert re.search(r"artists with a finding +- +- +- ", text)


def test_encoder_is_not_loaded_without_names(root: Path) -> None:
    found = answer("r1", "r2", "-i", root / "i.h5", "--no-names", "--model", "no-such-model", *FAST)
    assert found["figures"]["accuracy"]["new"] is None and found["artists"][0]["accuracy_new"] is None
    plain = run("compare", "r1", "r2", "-i", root / "i.h5", "--no-names", *FAST)
    assert "top-1" not in plain.output and "Accuracy by name was not asked for." in plain.output


@pytest.mark.parametrize(
    ("conditions", "failed", "code"),
    [
        (["auc > base + 0.9"], [], 0),
        (["auc > base"], ["auc > base"], 3),
        (["auc > base + 90 %", "auc >= 0", "auc < base"], ["auc >= 0"], 3),
        (["accuracy > 1"], ["accuracy > 1"], 4),  # not known without names
        (["copies > 100"], ["copies > 100"], 4),
        (["copies > 100", "auc > base"], ["copies > 100", "auc > base"], 3),
        (["risen > 0"], ["risen > 0"], 4),  # no placebo names
    ],
)
def test_the_gate(root: Path, conditions: list[str], failed: list[str], code: int) -> None:
    words = ["r1", "r2", "-i", root / "i.h5", "--no-names", *FAST]
    words += [word for condition in conditions for word in ("--fail-if", condition)]
    plain = run("compare", *words, code=code)
    assert ("The release fails the gate" in plain.stderr) is (code == 3)
    assert run("compare", *words, "--allow-undecided", code=3 if code == 3 else 0).stdout == plain.stdout
    assert plain.output.count(": passes.") == len(conditions) - len(failed)
    assert any(line.startswith("Compared r2 with r1") for line in plain.stderr.splitlines())
    gate = answer(*words, code=code)["gate"]
    assert [one["condition"] for one in gate] == conditions
    assert [one["condition"] for one in gate if one["outcome"] != "passed"] == failed
    assert all((one["failed"] is None) == (one["outcome"] == "undecided") for one in gate)
    assert set(gate[0]) == set(Verdict.__struct_fields__)
    assert all(one["reason"] in plain.output for one in gate)


def test_invalid_condition_is_a_usage_error(tmp_path: Path) -> None:
    found = run("compare", "a", "b", "-i", tmp_path / "none.h5", "--fail-if", "acuracy > 0", code=2)
    assert all(name in " ".join(found.stderr.split()) for name in METRICS)
    evil = run("compare", "a", "b", "--fail-if", "\x1b[31m", code=2)
    assert "\x1b" not in evil.stderr


def test_two_audits_with_their_indexes(root: Path, audits: Callable[..., Path]) -> None:
    old, new = audits("old", "r1"), audits("new", "r1", "r2")
    found = answer(old, f"{new}:r2", *NAMED, "--fail-if", "copies > base", code=3)
    assert found["encoder"] == "tiny" and found["base"]["index"] == str(old / "tiny.h5")
    assert [found["testing"][key] for key in ("level", "adjust", "confidence_level", "seed")] == [
        0.1,
        "by",
        0.9,
        "3",
    ]
    assert found["gate"][0]["value"] == 2 and found["gate"][0]["limit"] == 1
    same = answer(
        "r1", "r2", "-i", root / "i.h5", "--placebo", "placebo *", "--label", "Artwork", "--level", "0.1", "--adjust",
        "by", "--resamples", "199", "--confidence", "0.9", "--seed", "3", *NAMED,
    )  # fmt: skip
    for one, other in zip(found["artists"], same["artists"], strict=True):
        apart = {"finding_base", "finding_new"}  # those of the reports
        assert {k: v for k, v in one.items() if k not in apart} == {
            k: v for k, v in other.items() if k not in apart
        }
    report = json.loads((new / "report.json").read_text())
    said = {a["artist"]: a["finding"] for a in report["results"][1]["artists"]}
    assert all(a["finding_new"] == said[a["artist"]] for a in found["artists"])
    chosen = answer(old / "report.json", f"{new / 'report.json'}:r2", "--no-names", "--adjust", "holm")
    assert chosen["testing"]["adjust"] == "holm" and chosen["testing"]["level"] == 0.1


def test_findings_are_those_of_the_reports_by_default(audits: Callable[..., Path]) -> None:
    both = audits("said", "r1", "r2")
    report = json.loads((both / "report.json").read_text())
    for row in report["results"][1]["artists"]:
        row["finding"] = "imitated"
    write_report(both, report)
    words = (f"{both}:r1", f"{both}:r2", "--no-names", "--resamples", "99")
    assert answer(*words)["counts"]["findings"]["new"] == {"imitated": 4}
    assert "imitated" not in answer(*words, "--level", "0.01")["counts"]["findings"]["new"]


STRICT = {"level": 1e-6, "adjust": "holm", "n_resamples": 19, "confidence_level": 0.999999, "seed": 3}
"""Settings with which no artist rises and no interval lies above 0."""


def with_plan(folder: Path, finding: str = "not shown", **plan: Any) -> Path:
    """Edit the plan in a report, and its findings."""
    report = json.loads((folder / "report.json").read_text())
    report["plan"].update(plan)
    for row in (row for result in report["results"] for row in result["artists"]):
        row["finding"] = finding
    write_report(folder, report)
    return folder


def test_the_plan_of_new_does_not_choose_by_what_it_is_judged(
    root: Path, audits: Callable[..., Path]
) -> None:
    old, same = audits("judge", "r1"), audits("judged", "r2")
    fair = answer(old, same, *NAMED)
    lax = with_plan(audits("lax", "r2"), tests=STRICT, labels=[], templates=["{artist}"])
    found = answer(old, lax, *NAMED)
    assert found["testing"] == fair["testing"] and found["figures"] == fair["figures"]
    assert found["artists"] == [
        {**row, "finding_new": other["finding_new"]}
        for row, other in zip(fair["artists"], found["artists"], strict=True)
    ]
    said = " ".join(found["notes"])
    for wanted in (
        "level 1e-06, not 0.1", "adjust holm, not by", "resamples 19, not 199", "confidence 0.999999, not 0.9",
        "other labels", "other templates", "those of BASE's plan",
    ):  # fmt: skip
        assert wanted in said, (wanted, said)
    assert "seed" not in said and not any("NEW's plan" in note for note in fair["notes"])
    chosen = answer(old, lax, "--no-names", "--level", "0.2", "--confidence", "0.8")
    assert (chosen["testing"]["level"], chosen["testing"]["confidence_level"]) == (0.2, 0.8)
    assert "level 1e-06" not in " ".join(chosen["notes"])
    alone = answer("r1", lax, "-i", root / "i.h5", "--placebo", "placebo *", "--no-names")
    assert alone["testing"]["level"] == 0.05 and "the defaults of this command" in " ".join(alone["notes"])


def test_findings_by_other_settings_are_computed_again_or_not_used(audits: Callable[..., Path]) -> None:
    old, same = audits("ruler", "r1"), audits("alike", "r2")
    lax = with_plan(audits("hidden", "r2"), "imitated", tests=STRICT)
    plain = answer(old, same, "--no-names", "--level", "0.1")["counts"]["findings"]["new"]
    assert answer(old, lax, "--no-names")["counts"]["findings"]["new"] == plain != {"imitated": 4}
    lax = with_plan(audits("hidden", "r2", with_index=False), tests=STRICT)
    found = answer(old, lax, "--fail-if", "imitated > 0", code=4)
    assert found["gate"][0]["outcome"] == "undecided"
    assert "its artists count as not tested" in " ".join(found["notes"])
    assert answer(old, lax, "--fail-if", "auc > 2")["testing"]["confidence_level"] == 0.9


def test_an_edited_report_is_not_believed(audits: Callable[..., Path]) -> None:
    old, new = audits("before", "r1", with_index=False), audits("edited", "r2", with_index=False)
    report = json.loads((new / "report.json").read_text())
    gate = ("--fail-if", "auc > 0.6")
    assert run("compare", old, new, *gate, code=3)
    honest = dict(report)
    for row in report["results"][0]["artists"]:
        row["auc"] = 0.5
    (new / "report.json").write_text(json.dumps(report))
    for words in ((), gate):
        said = " ".join(run("compare", old, new, *words, code=1).stderr.split())
        assert "report.json was edited since imindex wrote it: it states the digest" in said
    del honest["digest"]
    (new / "report.json").write_text(json.dumps(honest))
    assert "it has no digest" in run("compare", old, new, code=1).stderr


def test_two_releases_of_one_audit_and_a_collection(root: Path, audits: Callable[..., Path]) -> None:
    both = audits("both", "r1", "r2")
    found = answer(f"{both}:r1", f"{both}:r2", "--no-names", *FAST)
    assert found["n_artists"] == 4 and found["artists"][0]["p_auc"] is not None
    mixed = answer(f"{both}:r1", "r2", "-i", root / "i.h5", "--placebo", "placebo *", "--no-names", *FAST)
    assert [a["auc_new"] for a in mixed["artists"]] == [a["auc_new"] for a in found["artists"]]
    several = run("compare", both, f"{both}:r2", code=1)
    assert "several releases: r1, r2. Choose one" in several.stderr


def test_figures_are_compared_without_a_matching_index(root: Path, audits: Callable[..., Path]) -> None:
    old, new = audits("bare", "r1", with_index=False), audits("changed", "r2")
    shutil.copy(root / "i.h5", new / "tiny.h5")
    report = json.loads((new / "report.json").read_text())
    report["encoders"][0]["root_digest"] = "0" * 64
    write_report(new, report)
    plain = run("compare", old, new)
    said = " ".join(plain.stderr.split())
    assert "tiny.h5 does not exist: comparing the figures" in said and "has changed since the report" in said
    found = answer(old, new, "--fail-if", "auc > base + 0.9", "--fail-if", "auc.low < 0")
    assert found["artists"][0]["p_auc"] is None and found["figures"]["auc"]["p"] is None
    assert found["figures"]["auc"]["low"] is not None
    unknown = answer(old, new, "--fail-if", "risen > 100", code=4)["gate"][0]
    assert unknown["outcome"] == "undecided" and unknown["value"] is None
    mixed = run("compare", old, "r2", "-i", root / "i.h5", code=1)
    assert "cannot be compared with figures" in mixed.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read as JSON"), ("[]", "is not the report of an audit"), ("{}", "it has no encoders")],
)
def test_invalid_reports_are_refused(root: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert message in " ".join(run("compare", tmp_path, "r2", "-i", root / "i.h5", code=1).stderr.split())


def test_other_errors_name_the_remedy(root: Path, tmp_path: Path) -> None:
    assert "Complete the audit" in run("compare", tmp_path, "r2", "-i", tmp_path / "no.h5", code=1).stderr
    assert "It has r1, r2" in run("compare", "r1", "r7", "-i", root / "i.h5", *FAST, code=1).stderr
    assert (
        "an index has one. Drop it"
        in run("compare", "r1", "r2", "--encoder", "x", "-i", root / "i.h5", code=1).stderr
    )
    assert run("compare", "r1", code=2).exit_code == 2


def test_releases_docs_examples_hold() -> None:
    """Every condition and command on the page is valid."""
    from imindex.retrieval.compare.gate import parse
    from tests.support.commands import check_line

    page = (ROOT / "retrieval" / "RELEASES.md").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", page)
    lines = re.findall(r"(?m)^\s*(?:run: )?(imindex compare .*)$", joined)
    assert len(lines) >= 2
    for line in lines:
        check_line(line)
    conditions = re.findall(r'--fail-if "([^"]*)"', page) + re.findall(
        r"(?m)^\| `([^`]+ [<>]=? [^`]+)` \|", page
    )
    assert len(conditions) >= 8
    for condition in conditions:
        parse(condition)
    assert all(f"`{name}`" in page for name in METRICS if "." not in name)


def test_an_argument_that_is_neither_audit_nor_collection_is_named(tmp_path: Path) -> None:
    message = run("compare", "nowhere/last", "other", "-i", tmp_path / "no.h5", code=1).stderr
    assert "nowhere/last and other: there is no such audit" in " ".join(message.split())
