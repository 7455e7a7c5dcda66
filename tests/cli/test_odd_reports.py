"""`compare` refuses a report that no audit could have written, and says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.reports import write_report

Change = Callable[[dict[str, Any]], object]


def report(release: str = "r1") -> dict[str, Any]:
    artists = [{"artist": name, "auc": 0.7, "top1": 0.5, "finding": "imitated"} for name in ("ada", "bo")]
    tests = {"level": 0.05, "adjust": "holm", "n_resamples": 99, "confidence_level": 0.95, "seed": 0}
    return {
        "encoders": [{"name": "tiny", "weights_sha256": "0" * 64, "precision": "fp32"}],
        "releases": [{"name": release, "rivals": [], "n_placebo_names": 39}],
        "results": [
            {"release": release, "encoder": "tiny", "artists": artists, "summary": {"fewest_findable": 1}}
        ],
        "plan": {"artists": ["ada", "bo"], "tests": tests},
    }


def artist(key: str, value: object) -> Change:
    return lambda report: report["results"][0]["artists"][0].update({key: value})


def of_tests(key: str, value: object) -> Change:
    return lambda report: report["plan"]["tests"].update({key: value})


ODD: dict[str, tuple[Change, str]] = {
    "AUC of 7.5": (artist("auc", 7.5), "results[0].artists[0].auc: expected `float` <= 1"),
    "AUC of -1": (artist("auc", -1), "results[0].artists[0].auc: expected `float` >= 0"),
    "AUC of text": (artist("auc", "high"), "results[0].artists[0].auc: expected `float"),
    "accuracy of 3": (artist("top1", 3.0), "results[0].artists[0].top1: expected `float` <= 1"),
    "unknown finding": (artist("finding", "guilty"), "results[0].artists[0].finding: invalid"),
    "artist of a number": (artist("artist", 3), "results[0].artists[0].artist: expected `str`"),
    "duplicated artist": (artist("artist", "bo"), "results[0].artists: 'bo' is listed 2 times"),
    "duplicated release": (lambda r: r["releases"].append(r["releases"][0]), "releases: 'r1' is listed 2 times"),
    "duplicated encoder": (lambda r: r["encoders"].append(r["encoders"][0]), "encoders: 'tiny' is listed 2 times"),
    "duplicated result": (lambda r: r["results"].append(r["results"][0]), "results: ('r1', 'tiny') is listed 2"),
    "artists of text": (lambda r: r["results"][0].update(artists="all"), "results[0].artists: expected `array`"),
    "results of text": (lambda r: r.update(results="none"), "results: expected `array`"),
    "releases of numbers": (lambda r: r.update(releases=[1]), "releases[0]: expected `object`"),
    "negative placebo names": (
        lambda r: r["releases"][0].update(n_placebo_names=-1), "releases[0].n_placebo_names: expected `int` >= 0",
    ),
    "negative fewest": (
        lambda r: r["results"][0]["summary"].update(fewest_findable=-4), "fewest_findable: expected `int` >= 0",
    ),
    "level of 1e-300": (of_tests("level", 1e-300), "plan.tests.level: expected `float` >= 1e-06"),
    "level of 1": (of_tests("level", 1), "plan.tests.level: expected `float` <= 0.999999"),
    "confidence of 2": (of_tests("confidence_level", 2), "plan.tests.confidence_level: expected `float` <= 0.999999"),
    "too many resamples": (of_tests("n_resamples", 10**9), "plan.tests.n_resamples: expected `int` <= 1000000"),
    "unknown correction": (of_tests("adjust", "none"), "plan.tests.adjust: invalid"),
    "negative seed": (of_tests("seed", -1), "plan.tests.seed: expected a seed of up to 63 bits"),
    "depth within": (lambda r: r.update(deep=json.loads("[" * 900 + "]" * 900)), ""),
    "markup in a name": (artist("artist", "[/] \x1b[2J"), ""),
}  # fmt: skip


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, report())
    return tmp_path / "old", tmp_path / "new"


def test_the_report_itself_is_fine(sides: tuple[Path, Path]) -> None:
    assert "mean AUC 0.700 -> 0.700" in run("compare", *sides).stderr


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("side", [0, 1])
def test_an_odd_report_is_refused_with_what_is_wrong(name: str, side: int, sides: tuple[Path, Path]) -> None:
    change, message = ODD[name]
    odd = report()
    change(odd)
    write_report(sides[side], odd)
    if not message:  # odd, but it says nothing false
        result = run("compare", *sides, code=0)
        assert "\x1b" not in result.output
        return
    said = run("compare", *sides, code=1).stderr
    assert f"{sides[side] / 'report.json'}: " in said and message in said, said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"results": NaN, "encoders": [], "releases": []}', "NaN is not a finite number"),
        ('{"results": [-Infinity], "encoders": [], "releases": []}', "-Infinity is not a finite number"),
        ('{"results": [1e999], "encoders": [], "releases": []}', "1e999 is not a finite number"),
        ('{"results": ' + "[" * 100_000, "nested too deeply"),
        ('{"results": ' + "1" * 10_000 + "}", "cannot be read as JSON"),
        ("[1, 2]", "is not the report of an audit: it has no encoders"),
        ("null", "is not the report of an audit: it has no encoders"),
        ("", "cannot be read as JSON"),
        ('{"encoders": {}, "releases": [], "results": []}', "encoders: expected `array`"),
        ('{"encoders": [], "releases": [], "results": []}', "edited"),
        ('{"encoders": [], "releases": [], "results": [], "x": "\\ud800"}', "a text is not valid"),
        ('{"encoders": [], "releases": [], "results": [], "x": ' + "[" * 990 + "]" * 990 + "}", ""),
        ("\ufeff{}", "cannot be read as JSON"),
    ],
)
def test_a_report_that_is_no_report_is_refused(text: str, message: str, sides: tuple[Path, Path]) -> None:
    (sides[1] / "report.json").write_text(text, encoding="utf-8")
    assert message in run("compare", *sides, code=1).stderr
    (sides[1] / "report.json").write_bytes(b"\xff\xfe\x00{")
    assert "cannot be read as JSON" in run("compare", *sides, code=1).stderr
