"""The gate: conditions are parsed, never executed, and what the design cannot decide is undecided."""

from __future__ import annotations

import math
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.cli.compare import summary
from imindex.retrieval.compare.gate import (
    BY_WORKS,
    COUNTS,
    METRICS,
    check,
    comparison_figures,
    exit_code,
    parse,
    release_figures,
    verdicts,
)
from imindex.retrieval.compare.overall import conclude, resolution_of
from imindex.retrieval.evidence import match_tests as evidence
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import (
    AccuracyInterval,
    AuditResult,
    Classification,
    ClassificationEvidence,
    ClassificationMethod,
    Comparison,
    Copies,
    CopyPair,
    Exchangeability,
    MatchEvidence,
    Matching,
    NamedCounts,
    OverallTests,
    RankFigures,
    SideFindings,
    Verdict,
    from_dict,
    to_dict,
)

OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@pytest.mark.parametrize(
    ("text", "metric", "op", "base", "offset"),
    [
        ("accuracy > base + 0.05", "accuracy", ">", "accuracy", 0.05),
        ("accuracy>base+5%", "accuracy", ">", "accuracy", 0.05),
        (" auc  >=  0.7 ", "auc", ">=", "", 0.7),
        ("auc >= 70 %", "auc", ">=", "", 0.7),
        ("auc.low > base", "auc.low", ">", "auc", 0.0),
        ("auc.low > base.high", "auc.low", ">", "auc.high", 0.0),
        ("auc < base - 0.1", "auc", "<", "auc", -0.1),
        ("auc.change.low > 0", "auc.change.low", ">", "", 0.0),
        ("auc.change < -0.1", "auc.change", "<", "", -0.1),
        ("accuracy.change.p <= 0.05", "accuracy.change.p", "<=", "", 0.05),
        ("significant > base", "significant", ">", "significant", 0.0),
        ("imitated > base + 2", "imitated", ">", "imitated", 2.0),
        ("copies > 0", "copies", ">", "", 0.0),
        ("risen > 0", "risen", ">", "", 0.0),
    ],
)
def test_conditions_are_read(text: str, metric: str, op: str, base: str, offset: float) -> None:
    found = parse(text)
    assert (found.text, found.metric, found.op, found.base) == (text, metric, op, base)
    assert found.offset == pytest.approx(offset, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a condition"),
        ("accuracy", "is not a condition"),
        ("accuracy > ", "is not a condition"),
        ("accuracy = 0.5", "is not a condition"),
        ("accuracy > base + base", "is not a condition"),
        ("accuracy > 2 * base", "is not a condition"),
        ("accuracy > base + -0.05", "is not a condition"),
        ("accuracy > 0.5 and auc > 0.5", "is not a condition"),
        ("accuracy > __import__('os')", "is not a condition"),
        ("accuracy > 1e3", "is not a condition"),
        ("accuracy > nan", "is not a condition"),
        ("accuracy > ٣", "is not a condition"),
        ("acuracy > 0.5", "there is no metric acuracy. Choose one of accuracy, accuracy.low"),
        ("base > 0.5", "there is no metric base"),
        ("significant.low > 1", "there is no metric significant.low"),
        ("significant > base + 5 %", "Drop the %"),
        ("significant > base.low", "has no interval"),
        ("auc.change > base", "already compares with base"),
        ("risen > base", "already compares with base"),
        ("auc.beyond > base", "already compares with base"),
        ("accuracy.beyond > 0", "there is no metric accuracy.beyond"),
    ],
)
def test_invalid_conditions_are_refused(text: str, message: str) -> None:
    with pytest.raises(ImindexError) as error:
        parse(text)
    assert message in str(error.value)


def test_the_conditions_that_are_suggested_are_the_recommended_ones() -> None:
    with pytest.raises(ImindexError, match=r'such as "auc\.beyond\.low > 0", "risen > 0" or'):
        parse("auc.change >")


def test_an_unknown_metric_lists_all() -> None:
    with pytest.raises(ImindexError) as error:
        parse("style > 1")
    assert all(name in str(error.value) for name in METRICS)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_readable_error(text: str) -> None:
    try:
        found = parse(text)
    except ImindexError as error:
        assert text in str(error)
    else:
        assert found.metric in METRICS and found.op in OPERATORS and math.isfinite(found.offset)


@given(
    st.sampled_from([name for name in METRICS if "." not in name and name not in ("risen", "fallen")]),
    st.sampled_from(sorted(OPERATORS)),
    st.booleans(),
    st.sampled_from("+-"),
    st.integers(0, 999),
    st.sampled_from(["", " ", "  ", "\t"]),
    st.integers(-400, 400),
    st.integers(-400, 400),
)
def test_verdicts_agree_with_integer_arithmetic(
    metric: str, op: str, based: bool, sign: str, offset: int, space: str, value: int, base: int
) -> None:
    """Thousandths are compared as integers here, without rounding; the gate must agree."""
    limit = f"base{space}{sign}{space}{offset / 1000:.3f}" if based else f"{offset / 1000:.3f}"
    found = check(
        parse(f"{space}{metric}{space}{op}{space}{limit}{space}"),
        {metric: base / 1000},
        {metric: value / 1000},
    )
    wanted = (base + (offset if sign == "+" else -offset)) if based else offset
    assert found.failed is OPERATORS[op](value, wanted)
    assert found.reason.endswith("fails." if found.failed else "passes.")
    assert found.limit == pytest.approx(wanted / 1000, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_percent_divides_by_100(n: int, value: int) -> None:
    whole = check(parse(f"auc > {n / 100:.2f} %"), None, {"auc": value / 10_000})
    assert whole.failed is (value > n)


@pytest.mark.parametrize(
    ("text", "base", "new", "reason"),
    [
        ("accuracy > base + 0.05", {"accuracy": 0.7}, {"accuracy": 0.81},
         "accuracy 0.81 > base 0.70 + 0.05 = 0.75: fails."),
        ("accuracy > base + 5 %", {"accuracy": 0.7}, {"accuracy": 0.75},
         "accuracy 0.75 is not > base 0.70 + 0.05 = 0.75: passes."),
        ("significant > base", {"significant": 3.0}, {"significant": 5.0}, "significant 5 > base 3: fails."),
        ("imitated > 0", None, {"imitated": 0.0}, "imitated 0 is not > 0: passes."),
        ("auc.low > base.high", {"auc.high": 0.61}, {"auc.low": 0.655}, "auc.low 0.655 > base.high 0.610: fails."),
        ("auc.low > base", {"auc": 0.61}, {"auc.low": 0.655}, "auc.low 0.655 > base 0.610: fails."),
        ("auc >= 0.7", None, {"auc": 0.70001}, "auc 0.700010 >= 0.700000: fails."),
        ("auc < base - 0.1", {"auc": 0.9}, {"auc": 0.7}, "auc 0.70 < base 0.90 - 0.10 = 0.80: fails."),
    ],
)  # fmt: skip
def test_the_reason_shows_the_sum(
    text: str, base: dict[str, float] | None, new: dict[str, float], reason: str
) -> None:
    assert check(parse(text), base, new).reason == reason


@pytest.mark.parametrize(
    ("base", "new", "said"),
    [
        ({"auc": 0.5}, {}, "auc is not known"),
        ({"auc": 0.5}, {"auc": math.nan}, "auc is not known"),
        ({}, {"auc": 0.5}, "base's auc is not known"),
        ({"auc": math.nan}, {"auc": 0.5}, "base's auc is not known"),
        (None, {"auc": 0.5}, "base's auc is not known"),
        (None, {}, "auc and base's auc are not known"),
    ],
)
@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_unknown_figures_leave_the_gate_undecided(
    base: Any, new: dict[str, float], said: str, op: str
) -> None:
    found = check(parse(f"auc {op} base"), base, new)
    assert found.outcome == "undecided" and found.failed is None
    assert found.reason.startswith(said) and found.reason.endswith("undecided.")


def test_a_count_against_a_number_counts_all_artists() -> None:
    new = {"imitated": 1.0, "imitated.all": 3.0}
    assert check(parse("imitated > 2"), {}, new).failed
    assert not check(parse("imitated > base + 1"), {"imitated": 0.0}, new).failed


def matching(auc: float, imitated: int = 0, named: int = 0, *, tested: bool = True) -> Matching:
    findings = {**dict.fromkeys(Finding, 0), Finding.IMITATED: imitated, Finding.NAME_EFFECT: named}
    overall = OverallTests(
        auc=auc, auc_low=auc - 0.1, auc_high=auc + 0.1, auc_bca=None, p_assignment=None, n_artists=1, n_tested=1,
        findings={**findings, Finding.NOT_SHOWN: 4}, fewest_findable=1,
    )  # fmt: skip
    evidence = MatchEvidence(
        placebos=("p",), question="", unit="artist", statistic="lda", approximate=False, level=0.05, adjust="holm",
        family=1, references_needed=19, seed=0, n_resamples=99, confidence_level=0.95, overall=overall,
    )  # fmt: skip
    macro = RankFigures(
        auc=auc, rank_percentile=None, reciprocal_rank=None, average_precision=None, recall={}, hit={}
    )
    return Matching(
        collection="r", root_digest="", encoder="e", csls_k=None, recall_at=(), n_works=1, n_imitations=1,
        n_repeated_works=0, n_repeated_imitations=0, n_artists=1, macro=macro, artists=(),
        evidence=evidence if tested else None, auc_matrix=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "fewest", "failed", "words"),
    [
        ("imitated > 0", 1, False, "passes"),
        ("imitated > 0", 12, None, "no fewer than 12 artists"),
        ("imitated > 11", 12, False, "passes"),
        ("significant >= 1", None, None, "can find nobody"),
        ("imitated < 3", 12, None, "this design can find no fewer than 12 artists: undecided"),
    ],
)
def test_a_count_that_the_design_cannot_find_is_not_decided(
    condition: str, fewest: int | None, failed: bool | None, words: str
) -> None:
    matched = matching(0.6)
    assert matched.evidence is not None
    overall = replace(matched.evidence.overall, fewest_findable=fewest)
    figures = release_figures(
        replace(matched, evidence=replace(matched.evidence, overall=overall, placebos=("p",)))
    )
    verdict = check(parse(condition), None, figures)
    assert verdict.failed is failed and words in verdict.reason


@pytest.mark.parametrize(
    ("findings", "condition", "outcome", "words"),
    [
        ({Finding.SPECIFICITY_NOT_TESTABLE: 1}, "imitated > 0", "undecided", "could not be tested for 1 of 1"),
        ({Finding.SPECIFICITY_NOT_TESTABLE: 1}, "imitated > 1", "passed", "passes."),
        ({Finding.SPECIFICITY_NOT_TESTABLE: 1, Finding.IMITATED: 1}, "imitated > 0", "failed", "fails."),
        ({Finding.NOT_SHOWN: 2, Finding.CANNOT_TELL: 28}, "significant > 0", "undecided", "only 2 of 30 artists were"),
        ({Finding.NOT_SHOWN: 24, Finding.CANNOT_TELL: 6}, "significant > 0", "passed", "passes."),
        ({Finding.NOT_SHOWN: 2, Finding.CANNOT_TELL: 28}, "significant < 1", "undecided", "only 2 of 30"),
    ],
)  # fmt: skip
def test_what_the_design_could_not_judge_decides_nothing(
    findings: dict[Finding, int], condition: str, outcome: str, words: str
) -> None:
    matched = matching(0.6)
    assert matched.evidence is not None
    overall = replace(matched.evidence.overall, findings=findings)
    evidence = replace(matched.evidence, overall=overall, placebos=("p",))
    verdict = check(parse(condition), None, release_figures(replace(matched, evidence=evidence)))
    assert (
        verdict.outcome == outcome
        and words in verdict.reason
        and verdict.failed is {"failed": True, "passed": False}.get(outcome)
    )


def unfair(shift: float, n_imitated: int) -> Matching:
    """A release whose placebo names are not a fair reference; 4 more artists are not shown."""
    matched = matching(0.6, n_imitated)
    assert matched.evidence is not None
    one = Exchangeability(
        compares="others", statistic=3.0, p=0.002, shift=shift, p_shift=0.002, spread=0.1, p_spread=0.8,
        n_placebos=40, n_others=12, n_artists=12,
    )  # fmt: skip
    return replace(matched, evidence=replace(matched.evidence, exchangeability=(one,)))


@pytest.mark.parametrize(
    ("shift", "n", "condition", "outcome"),
    [
        (1.0, 2, "imitated > 0", "undecided"),  # called too often: none of the two may be claimed
        (1.0, 2, "significant >= 2", "undecided"),
        (1.0, 2, "imitated < 3", "failed"),
        (1.0, 0, "imitated > 0", "passed"),
        (1.0, 2, "auc > 0.5", "failed"),
        (-1.0, 2, "imitated > 0", "failed"),  # called too seldom: the two may be claimed
        (-1.0, 0, "imitated > 0", "undecided"),
        (-1.0, 2, "imitated > 2", "undecided"),
        (-1.0, 2, "imitated > 6", "passed"),
    ],
)
def test_a_gate_claims_no_more_than_the_report_where_the_placebo_names_are_not_fair(
    shift: float, n: int, condition: str, outcome: str
) -> None:
    verdict = check(parse(condition), None, release_figures(unfair(shift, n)))
    assert verdict.outcome == outcome
    assert ("not a fair reference" in verdict.reason) == (outcome == "undecided")


@pytest.mark.parametrize(("shift", "how"), [(1.0, "too often"), (-1.0, "too seldom")])
def test_a_comparison_says_whose_placebo_names_are_not_fair(shift: float, how: str) -> None:
    resolutions = resolution_of(matching(0.6)), resolution_of(unfair(shift, 2))
    side = comparison(0.6, 0.7, 0.01)
    found = {name: {"Ada Example": Finding.IMITATED} for name in ("old", "next")}
    whole = conclude(
        side.artists, (found["old"], found["next"]), base=side.base, new=side.new, encoder="e", left_out=(),
        testing=Testing(), alternative="two-sided", notes=(), resolutions=resolutions,
    )  # fmt: skip
    both = whole.counts.all
    assert (both.base.name_test_calls, both.new.name_test_calls) == ("", how)
    assert whole.notes[0].startswith("next: The invented names are not a fair reference here (check failed")
    assert "placebo names of next are not a fair reference" in summary(whole)
    verdict = check(parse("imitated > 0"), *comparison_figures(whole))
    assert verdict.outcome == ("undecided" if how == "too often" else "failed")


def test_without_placebo_names_nobody_can_be_found_imitated() -> None:
    matched = matching(0.6)
    assert matched.evidence is not None
    alone = release_figures(replace(matched, evidence=replace(matched.evidence, placebos=())))
    assert check(parse("imitated > 0"), None, alone).outcome == "undecided"
    assert check(parse("significant > 0"), None, alone).outcome == "passed"


def test_changes_that_the_design_cannot_find() -> None:
    compared = comparison(0.6, 0.7, 0.01)
    shifts = replace(compared.shifts, risen=(), n_tested=1, fewest_findable=9)
    figures = comparison_figures(replace(compared, shifts=shifts))
    verdict = check(parse("risen > 0"), *figures)
    assert verdict.outcome == "undecided" and "no fewer than 9 artists" in verdict.reason
    few = comparison_figures(replace(compared, n_artists=30, shifts=replace(shifts, fewest_findable=1)))
    verdict = check(parse("risen > 0"), *few)
    assert verdict.outcome == "undecided" and "only 1 of 30 artists were judged" in verdict.reason
    none = comparison_figures(replace(compared, shifts=replace(shifts, n_tested=0)))
    verdict = check(parse("risen > 0"), *none)
    assert verdict.outcome == "undecided" and "placebo names that both releases" in verdict.reason


def test_artists_that_only_one_release_could_judge() -> None:
    compared = comparison(0.6, 0.7, 0.01)
    counts = replace(
        compared.counts,
        findings=SideFindings(
            base={Finding.CANNOT_TELL: 28, Finding.NOT_SHOWN: 2},
            new={Finding.NOT_SHOWN: 28, Finding.IMITATED: 2},
        ),
    )
    verdict = check(parse("significant > base"), *comparison_figures(replace(compared, counts=counts)))
    assert verdict.outcome == "undecided" and "in the base release, only 2 of 30" in verdict.reason


@pytest.mark.parametrize(
    ("outcomes", "code", "allowed"),
    [((), 0, 0), (("passed",), 0, 0), (("passed", "undecided"), 4, 0), (("failed", "undecided"), 3, 3)],
)
def test_exit_codes(outcomes: tuple[Any, ...], code: int, allowed: int) -> None:
    made = [
        Verdict(condition="", value=None, limit=None, failed=one != "passed", reason="", outcome=one)
        for one in outcomes
    ]
    assert exit_code(made) == code and exit_code(made, allow_undecided=True) == allowed
    before = Verdict(condition="", value=None, limit=None, failed=True, reason="")
    assert exit_code([before]) == 3  # earlier versions had two outcomes


def classification(accuracy: float | None, low: float | None, high: float | None) -> Classification:
    macro = AccuracyInterval(top1_low=low, top1_high=high, interval="", interval_note="", n_units=1)
    evidence = ClassificationEvidence(macro=macro, p_assignment=None, assumes="", by_label_count=None)
    nothing = dict.fromkeys(
        ("top1", "top5", "macro_top5", "chance_top1", "chance_top5", "macro_chance_top1", "macro_chance_top5", "mrr",
         "macro_mrr", "generic_share")
    )  # fmt: skip
    method = ClassificationMethod(
        method="by name", n_labels=2, n_generic=0, macro_top1=accuracy, n_unscored=0, n_tied=0, artists=(),
        evidence=evidence, labels=(), confusion=NamedCounts(rows=(), counts=()), **nothing,
    )  # fmt: skip
    return Classification(
        collection="r", kind="imitations", root_digest="", encoder="e", by="name", templates=(), templates_top1={},
        testing=None, placebos=(), generic_labels=(), n=1, n_repeated=0, methods=(method,),
    )  # fmt: skip


def found_copies(*states: str) -> Copies:
    pairs = tuple(
        CopyPair(
            artist="a", imitation="i", prompt="", seed=0, work="w", work_artist="a", cosine=1.0,
            candidate=state != "comparison", decided=state if state in ("confirmed", "rejected") else "",
        )
        for state in states
    )  # fmt: skip
    return Copies(rate=0.05, threshold=0.6, n_compared=9, pairs=pairs)


def audited(release: str, matched: Matching, *states: str) -> AuditResult:
    return AuditResult(
        release=release, encoder="e", classification=classification(None, None, None), by_works=None, matching=matched,
        rank_histogram={}, neighbours={},
        copies=found_copies(*states),
    )  # fmt: skip


def comparison(base: float, new: float, p: float | None) -> Comparison:
    figure = {
        "base": base, "base_low": base - 0.1, "base_high": base + 0.1, "new": new, "new_low": new - 0.1,
        "new_high": new + 0.1, "change": new - base, "low": new - base - 0.02, "high": new - base + 0.02, "p": 0.01,
        "beyond": 0.08, "beyond_low": 0.05, "beyond_high": 0.11,
    }  # fmt: skip
    return from_dict(
        Comparison,
        {
            "base": {"release": "old", "index": "", "root_digest": ""},
            "new": {"release": "next", "index": "", "root_digest": ""},
            "encoder": "e",
            "left_out": [],
            "n_artists": 1,
            "figures": {
                "auc": {**figure, "n_artists": 1},
                "accuracy": {**dict.fromkeys(figure), "n_artists": 0},
            },
            "counts": {
                "significant": {"base": 1, "new": 2},
                "findings": {"base": {"imitated": 1}, "new": {"imitated": 1, "the name matters": 1}},
                "changed": [],
                "not_compared": [],
                "all": {
                    "base": {"n": 2, "significant": 1, "findings": {"imitated": 1}},
                    "new": {"n": 3, "significant": 3, "findings": {"imitated": 2, "the name matters": 1}},
                },
            },
            "shifts": {"risen": ["ada"], "fallen": [], "n_tested": 0 if p is None else 1, "fewest_findable": 1},
            "artists": [
                {
                    "artist": "ada", "p_auc": p, "auc_base": base, "auc_new": new, "auc_change": new - base,
                    "accuracy_base": None, "accuracy_new": None, "accuracy_change": None, "design": "pairs",
                    "finding_base": "imitated", "finding_new": "imitated",
                }
            ],
            "testing": to_dict(evidence.Testing().record()),
            "alternative": "two-sided",
            "notes": [],
        },
    )  # fmt: skip


def test_figures_of_a_comparison() -> None:
    base, new = comparison_figures(comparison(0.6, 0.7, 0.01))
    assert (
        base["auc"] == 0.6 and new["auc.low"] == pytest.approx(0.6) and base["auc.high"] == pytest.approx(0.7)
    )
    assert new["auc.change"] == pytest.approx(0.1) and new["auc.change.p"] == 0.01
    assert (base["significant"], new["significant"], new["significant.all"]) == (1, 2, 3)
    assert (new["imitated"], new["imitated.all"], new["named"]) == (1, 2, 1)
    assert new["risen"] == 1 and new["fallen"] == 0
    assert math.isnan(new["accuracy"]) and not {"copies", "candidates"} & set(new)
    _, unknown = comparison_figures(comparison(0.6, 0.7, None))
    assert math.isnan(unknown["risen"])
    of_audits = {"copies", "candidates", BY_WORKS, f"{BY_WORKS}.low", f"{BY_WORKS}.high"}
    wanted = set(METRICS) - of_audits
    assert wanted <= set(new)
    others = {
        name for name in set(new) - wanted if not name.endswith((".all", ".of", ".unjudged", ".untestable"))
    }
    assert others == {"fewest shifts"} and {
        name.partition(".")[0] for name in set(new) - wanted - others
    } <= set(COUNTS)
    assert new["auc.beyond"] == 0.08 and new["auc.beyond.low"] == 0.05 and new["auc.beyond.p"] == 0.01


def test_figures_of_one_release() -> None:
    found = release_figures(
        matching(0.7, 1, 2), classification(0.4, 0.3, 0.5), found_copies(*["confirmed"] * 5)
    )
    assert found["significant"] == 3 and found["copies"] == 5 and found["accuracy.low"] == 0.3
    untested = matching(0.7, tested=False)
    assert release_figures(untested)["auc"] == 0.7
    for condition in ("significant > 0", "accuracy > 0.9"):
        verdict = check(parse(condition), None, release_figures(untested))
        assert verdict.outcome == "undecided" and verdict.failed is None


def test_a_condition_on_the_accuracy_by_name_covers_encoders_with_a_text_side() -> None:
    named, other = audited("next", matching(0.7, 2, 1)), audited("next", matching(0.7, 2, 1))
    named = replace(
        named, classification=classification(0.4, 0.3, 0.5), by_works=classification(0.6, 0.5, 0.7)
    )
    other = replace(other, encoder="style", classification=None, by_works=classification(0.8, 0.7, 0.9))
    conditions = [
        "accuracy > 0.5",
        "accuracy_by_works > 0.7",
        "accuracy_by_works.low > 0.6",
        "accuracy.high > 0.45",
    ]
    found = verdicts(conditions, "", [named, other], [])
    assert [(one.condition, one.encoder, one.outcome, one.value) for one in found] == [
        ("accuracy > 0.5", "e", "passed", 0.4),
        ("accuracy_by_works > 0.7", "e", "passed", 0.6),
        ("accuracy_by_works.low > 0.6", "e", "passed", 0.5),
        ("accuracy.high > 0.45", "e", "failed", 0.5),
        ("accuracy_by_works > 0.7", "style", "failed", 0.8),
        ("accuracy_by_works.low > 0.6", "style", "failed", 0.7),
    ]
    covers = [one.reason.partition(": ")[2] for one in found if one.condition.startswith("accuracy.")]
    assert found[0].reason == "accuracy 0.40 is not > 0.50: passes. Only by e: style has no text side."
    assert covers == ["fails. Only by e: style has no text side."] and "Only by" not in found[1].reason
    alone = verdicts(conditions[:2], "", [other], [])
    assert [one.outcome for one in alone] == ["undecided", "failed"] and exit_code(alone[:1]) == 4
    assert alone[0].reason == (
        "accuracy is not known (style has no text side and names no artist; see accuracy_by_works): undecided."
    )
    by_name = verdicts(conditions[:1], "", [named], [])
    assert by_name[0].reason == "accuracy 0.40 is not > 0.50: passes."


def test_verdicts_of_an_audit() -> None:
    states = ("confirmed", "candidate", "rejected", "comparison")
    results = [audited("old", matching(0.6, 0, 1)), audited("next", matching(0.7, 2, 1), *states)]
    found = verdicts(
        ["auc > base + 0.05", "imitated > 1", "copies > base", "copies > 1", "accuracy > base", "candidates > 1",
         "candidates > 2"],
        "old", results, [comparison(0.6, 0.7, 0.01)],
    )  # fmt: skip
    assert [(one.release, one.encoder) for one in found] == [("next", "e")] * 7
    # A candidate is no copy until a person says so, and one that was rejected is no candidate.
    assert [one.failed for one in found] == [True, True, True, False, None, True, False]
    assert set(to_dict(found[0])) == {
        "condition",
        "release",
        "encoder",
        "value",
        "limit",
        "failed",
        "reason",
        "outcome",
    }
    alone = verdicts(["auc > 0.65"], "", results, [])
    assert [(one.release, one.failed) for one in alone] == [("old", False), ("next", True)]
    changed = verdicts(["auc.change > 0.5", "risen > 1"], "old", results, [comparison(0.6, 0.7, 0.01)])
    assert [one.failed for one in changed] == [False, False]
    missing = verdicts(["auc > base"], "old", results, [])
    assert missing[0].failed is None and "not known" in missing[0].reason


@pytest.mark.parametrize(
    ("condition", "value", "fewest", "outcome"),
    [
        ("imitated > 0", 0.0, 12.0, "undecided"),
        ("imitated > 20", 0.0, 12.0, "passed"),
        ("imitated < 1", 0.0, 12.0, "undecided"),
        ("imitated <= 0", 0.0, math.inf, "undecided"),
        ("imitated < 20", 0.0, 12.0, "failed"),
        ("imitated < 20", 16.0, 12.0, "failed"),
        ("imitated > 0", 0.0, 1.0, "passed"),
        ("imitated < 1", 0.0, 1.0, "failed"),
    ],
)
def test_what_cannot_be_found_leaves_every_operator_undecided(
    condition: str, value: float, fewest: float, outcome: str
) -> None:
    figures = {"imitated": value, "imitated.of": 24.0, "fewest findable": fewest}
    assert check(parse(condition), None, figures).outcome == outcome


def test_a_base_that_could_find_nobody_leaves_a_comparison_undecided() -> None:
    base = {"significant": 0.0, "significant.of": 24.0, "fewest findable": math.inf}
    new = {"significant": 5.0, "significant.of": 24.0, "fewest findable": 1.0}
    verdict = check(parse("significant > base"), base, new)
    assert verdict.outcome == "undecided" and "in the base release" in verdict.reason
