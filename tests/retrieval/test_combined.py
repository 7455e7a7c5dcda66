"""The findings by all encoders together: beside those of each encoder, in the gate, the table and the answer."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.compare.gate import verdicts
from imindex.retrieval.evidence.combined import combine_encoders
from imindex.retrieval.evidence.testing import TESTS, version_of_tests
from imindex.retrieval.findings import SIGNIFICANT, TOGETHER, Finding
from imindex.retrieval.report.limits import limits
from imindex.retrieval.report.page import page
from imindex.retrieval.report.report import assemble, table
from imindex.retrieval.results import to_dict
from tests.support.report_sample import (
    PROVENANCE,
    STRONG,
    TESTING,
    WEAK,
    changed,
    enlarged,
    shared_report,
    shared_sample,
)


def test_an_artist_that_one_encoder_tells_has_its_p_values() -> None:
    findings, _ = shared_sample()
    own = {
        (one.release, one.encoder): {row.artist: row for row in one.matching.artists}
        for one in findings.results
    }
    alone = 0
    for one in findings.combined:
        for row in one.artists:
            telling = [part.encoder for part in row.encoders if part.weight]
            if len(telling) == 1:
                mine = own[one.release, telling[0]][row.artist]
                assert (row.p_name, row.p_rival) == (mine.p_name, mine.p_rival)
                alone += 1
            elif not telling:
                assert row.p is None and row.finding in (Finding.CANNOT_TELL, Finding.NOT_TESTED)
            for part in row.encoders:
                assert (part.alone is None) or part.weight
    assert alone > 3


def test_an_artist_whose_own_set_an_encoder_rejects_is_not_tested() -> None:
    """Leaving that encoder out would let the pictures choose the test, which then errs up to twice as often."""
    findings, _ = shared_sample()
    one, other = (result for result in findings.results if result.release == STRONG)
    tested = findings.plan.artists
    whole = {row.artist: row for row in combine_encoders([one, other], tested, TESTING).artists}
    artist = next(name for name, row in whole.items() if row.finding in SIGNIFICANT)
    without = replace(other, sets=replace(other.sets, artists=tuple(
        row for row in other.sets.artists if row.artist != artist
    )))  # fmt: skip
    for pair in ([one, without], [without, one]):
        rows = {row.artist: row for row in combine_encoders(pair, tested, TESTING).artists}
        assert (rows[artist].finding, rows[artist].p) == (Finding.NOT_TESTED, None)
        assert {part.weight for part in rows[artist].encoders} == {0.0}
        others = [name for name in whole if name != artist]
        assert [rows[name].p_name for name in others] == [whole[name].p_name for name in others]


def test_the_order_of_the_encoders_does_not_matter() -> None:
    findings, _ = shared_sample()
    results = [one for one in findings.results if one.release == STRONG]
    tested = findings.plan.artists
    one, other = (combine_encoders(order, tested, TESTING) for order in (results, results[::-1]))
    for a, b in zip(one.artists, other.artists, strict=True):
        assert replace(a, encoders=()) == replace(b, encoders=())
        assert {part.encoder: part for part in a.encoders} == {part.encoder: part for part in b.encoders}
    assert one.error_rates == other.error_rates and one.detectable_auc == pytest.approx(other.detectable_auc)


def test_identical_encoders_find_what_one_finds() -> None:
    findings, _ = shared_sample()
    result = next(one for one in findings.results if (one.release, one.encoder) == (STRONG, "demo"))
    twice = combine_encoders([result, replace(result, encoder="again")], findings.plan.artists, TESTING)
    alone = combine_encoders([result], findings.plan.artists, TESTING)
    for a, b in zip(twice.artists, alone.artists, strict=True):
        assert (a.finding, a.p_name, a.p_rival, a.p_adjusted) == (
            b.finding,
            b.p_name,
            b.p_rival,
            b.p_adjusted,
        )
    own = {row.artist: row for row in result.matching.artists}
    assert [row.finding for row in alone.artists if row.artist in own] == [
        own[row.artist].finding for row in alone.artists if row.artist in own
    ]
    rates, mine = alone.error_rates, result.matching.evidence and result.matching.evidence.error_rates
    assert rates is not None and mine and rates.name == mine.name


def test_conditions_on_findings_count_those_of_all_encoders() -> None:
    findings, _ = shared_sample()
    found = verdicts(
        ["significant > 0", "auc > 0.99", "imitated > base"],
        WEAK,
        findings.results,
        findings.comparisons,
        findings.combined,
    )
    one = next(one for one in findings.combined if one.release == STRONG)
    together = [verdict for verdict in found if verdict.encoder == TOGETHER]
    assert [verdict.condition for verdict in together] == ["significant > 0", "imitated > base"]
    assert together[0].value == sum(one.findings[finding] for finding in SIGNIFICANT)
    assert [(v.condition, v.encoder) for v in found if v.encoder != TOGETHER] == [
        ("auc > 0.99", "demo"),
        ("auc > 0.99", "second"),
    ]


def test_the_table_and_the_answer_lead_with_them() -> None:
    report = shared_report()
    lines = list(csv.DictReader(io.StringIO(table(report))))
    n = len(report.plan.artists)
    assert [line["encoder"] for line in lines[: 2 * n]] == [TOGETHER] * 2 * n
    assert report.combined
    assert [line["finding"] for line in lines[:n]] == [str(row.finding) for row in report.combined[0].artists]
    imitated = report.combined[1].findings[Finding.IMITATED]
    assert f"{imitated} are found imitated" in report.answer[1] and "in one test" in report.answer[1]


def test_with_one_encoder_nothing_is_combined() -> None:
    alone = to_dict(assemble(enlarged(shared_sample()[0], 5), PROVENANCE))
    assert "combined" not in alone
    assert (version_of_tests(1), version_of_tests(2)) == (TESTS, TESTS + 1)


def test_no_encoder_is_called_what_all_together_are_called(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[artists]\ntested = ["Ada"]\n[works]\ntested = "works"\n[[releases]]\nname = "a"\npictures = "a"\n'
        '[[encoders]]\nname = "All encoders"\nmodel = "demo"\n'
    )
    with pytest.raises(ImindexError, match="all of them together"):
        read_plan(plan)


def test_findings_of_the_combined_result_are_counted() -> None:
    for one in shared_sample()[0].combined:
        rows = [row.finding for row in one.artists]
        assert {finding: rows.count(finding) for finding in Finding} == dict(one.findings)
        p = np.array([row.p for row in one.artists if row.p is not None])
        assert len(p) == one.family and (p >= 1 / (1 + one.n_placebo_names) - 1e-12).all()


def test_a_finding_beside_an_auc_below_one_half_names_the_encoder() -> None:
    report = shared_report()
    assert report.combined
    one = report.combined[1]
    row = next(row for row in one.artists if row.finding in SIGNIFICANT)
    place = one.artists.index(row)
    title = "A finding beside an AUC below 0.5"
    for encoder, (weight, auc), warns in (
        ("demo", (1.0, 0.41), True),
        ("second", (1.0, 0.41), True),
        ("second", (0.0, 0.41), False),
        ("second", (1.0, 0.5), False),
    ):
        parts = tuple(
            replace(part, weight=weight, auc=auc) if part.encoder == encoder else replace(part, auc=0.9)
            for part in row.encoders
        )
        found = limits(changed(report, f"combined.1.artists.{place}.encoders", parts))
        texts = [one.text for one in found if one.title == title and row.artist[:40] in one.text]
        assert len(texts) == warns
        assert not warns or f"an AUC below 0.5 by {encoder}." in texts[0]


def test_sentences_of_several_encoders_name_the_encoder_or_say_all() -> None:
    report = shared_report()
    text = " ".join(one.text for one in report.limits if not one.title.startswith("“Not shown”"))
    assert "This encoder" not in text and "with an encoder of this audit" in text
    assert "second can say nothing about these artists" in text
    assert "by second alone: " in text
    html = page(report, None)
    assert "cosine is the similarity by encoder demo" in html
    assert "Findings by encoder second alone; the answer rests on all encoders together." in html
