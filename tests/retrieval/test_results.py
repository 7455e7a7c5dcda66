"""The result types: their values, their JSON, and the schema generated from them."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval import results
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import (
    ArtistTests,
    ClassifiedArtist,
    FindingChange,
    LeftOut,
    OverallTests,
    Provenance,
    Result,
    Verdict,
    fields_of,
    from_dict,
    from_json,
    to_dict,
    to_json,
)
from imindex.retrieval.results.schema import documentation, schema
from imindex.retrieval.results.tables import csv_cell
from tests.support.places import ROOT

TYPES = [
    one
    for one in vars(results).values()
    if inspect.isclass(one) and issubclass(one, Result) and one is not Result
]
OVERALL = OverallTests(
    auc=0.7, auc_low=0.6, auc_high=0.8, auc_bca=(0.6, float("nan")), p_assignment=0.01, n_artists=2, n_tested=2,
    findings=dict.fromkeys(Finding, 0) | {Finding.IMITATED: 2}, fewest_findable=1,
)  # fmt: skip


def test_the_checked_in_schema_is_the_generated_one() -> None:
    path = ROOT / "retrieval" / "report.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == schema(results.Report), (
        "run: python -m imindex.retrieval.results.schema > retrieval/report.schema.json"
    )


@pytest.mark.parametrize("one", TYPES, ids=lambda one: one.__name__)
def test_every_type_is_frozen_documented_and_strict(one: type[Result]) -> None:
    summary, _ = documentation(one)  # raises where fields and docstring differ
    assert summary
    config = one.__struct_config__
    assert config.frozen and config.forbid_unknown_fields
    assert all(
        not isinstance(name, int) for name in one.__match_args__
    )  # keyword only: no positions to match
    assert one.__match_args__ == ()


def test_results_contain_no_nan_and_no_numpy() -> None:
    row = ClassifiedArtist(
        artist="ada", n=np.int64(3), top1=np.float64(0.5), top5=float("nan"), mrr=math.inf, confused_with=""
    )
    assert (row.n, row.top1, row.top5, row.mrr) == (3, 0.5, None, None)
    assert type(row.n) is int and type(row.top1) is float
    assert OVERALL.auc_bca == (0.6, None)
    json.dumps(to_dict(row), allow_nan=False)


def test_json_round_trip_gives_the_same_result() -> None:
    for one in (
        OVERALL,
        ArtistTests(artist="b\udc80c", finding=Finding.NOT_SHOWN, p=1e-320, auc_bca=(0.1, 0.2)),
    ):
        assert from_json(type(one), to_json(one)) == one
    assert to_json(OVERALL).isascii()
    change = FindingChange(artist="ada", before=Finding.NOT_SHOWN, to=Finding.IMITATED)
    assert to_dict(change) == {"artist": "ada", "from": "not shown", "to": "imitated"}
    assert from_dict(FindingChange, to_dict(change)) == change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auc": "high"}, r"kept\.json: auc: expected `float \| null`, got `str`"),
        ({"auc": 1.5}, r"kept\.json: auc: expected `float` <= 1"),
        ({"n_artists": -1}, r"kept\.json: n_artists: expected `int` >= 0"),
        ({"findings": {"liked": 1}}, r"kept\.json: .*findings.*: invalid enum value 'liked'"),
        ({"auc_bca": [0.1, "x"]}, r"kept\.json: auc_bca\[1\]: expected"),
        ({"more": 1}, r"kept\.json: object contains unknown field `more`"),
        ({"more\udc80": 1}, r"kept\.json: .*surrogates"),
    ],
)
def test_invalid_results_are_refused_with_the_path_of_the_key(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ImindexError, match=message):
        from_dict(OverallTests, {**to_dict(OVERALL), **change}, "kept.json")
    missing = to_dict(OVERALL)
    del missing["auc"]
    with pytest.raises(ImindexError, match=r"missing required field `auc`"):
        from_dict(OverallTests, missing)
    with pytest.raises(ImindexError, match=r"kept\.json is not JSON"):
        from_json(OverallTests, b"{", "kept.json")


def test_missing_keys_of_old_reports_stay_missing() -> None:
    said = {"command": "c", "started": "s", "finished": "f", "versions": {}, "seconds": {}}
    assert to_dict(from_dict(Provenance, said)) == said
    assert "release" in to_dict(Verdict(condition="a > 1", value=None, limit=1.0, failed=True, reason=""))


def test_a_subtype_is_built_from_the_fields_of_its_base() -> None:
    tests = results.AccuracyTests(artist="ada", p_named=0.2)
    row = ClassifiedArtist(**fields_of(tests), n=1, top1=1.0, top5=1.0, mrr=1.0, confused_with="")
    assert (row.artist, row.p_named, row.n) == ("ada", 0.2, 1)
    assert LeftOut(artist="ada", why="no works") == LeftOut(artist="ada", why="no works")


def test_finding_equals_its_string() -> None:
    assert f"{Finding.IMITATED}" == str(Finding.IMITATED) == "imitated" == Finding.IMITATED
    assert f"{Finding.IMITATED:>10}" == "  imitated"
    assert {"imitated": 1}[Finding.IMITATED] == 1
    assert json.dumps({Finding.NOT_SHOWN: Finding.NOT_SHOWN}) == '{"not shown": "not shown"}'


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
UNSEEN = ["", *" \t\r\n\u200b\ufeff\u00a0\u3000\u202e\x00"]


def test_no_text_of_a_table_is_a_formula_in_any_form_of_its_sign() -> None:
    """Excel in Chinese and Japanese, and LibreOffice, read full-width and small signs as the plain ones."""
    for text in (f"{before}{sign}HYPERLINK(1)" for sign in SIGNS for before in UNSEEN):
        assert csv_cell(text) == f"'{text}", text
    for text in ("\tx", "\rx", "\nx", "\x0bx", "\x7fx", "\x85x"):
        assert csv_cell(text) == f"'{text}", text
    for text in ("", " ", "Ada Example", " Ada", "'=1", "Zoë", "日本", "1-2", "a=b", "(x)", "\u200b"):
        assert csv_cell(text) == text
