"""The report's sentences and figures never claim more than was found."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.report.figures.catalogue import figures
from imindex.retrieval.report.figures.svg import fit
from imindex.retrieval.report.limits import limits, shares_text_encoder
from imindex.retrieval.report.report import assemble
from imindex.retrieval.report.text import answer, p_value, percent, report_wide
from imindex.retrieval.results import Exchangeability, Report, ReportResult
from tests.support.report_sample import (
    PROVENANCE,
    STRONG,
    WEAK,
    changed,
    enlarged,
    shared_report,
    shared_sample,
)

L14 = "openai/clip-vit-large-patch14"


@pytest.fixture(scope="module")
def report() -> Report:
    return shared_report()


def result_of(report: Report, release: str) -> ReportResult:
    """The result of the first encoder."""
    return next(result for result in report.results if result.release == release)


def test_answer_states_findings_and_uncertainty(report: Report) -> None:
    for text, release in zip(report.answer, (WEAK, STRONG), strict=True):
        result = result_of(report, release)
        summary = result.summary
        assert text.startswith(f"{release}: ") and "of 13 artists" in text.lower()
        assert percent(summary.accuracy, 1) in text and "95 % interval" in text
        assert ("not a fair reference" in text) == any(
            e.failed(summary.level) for e in result.exchangeability
        )
        n = summary.findings[Finding.NOT_SHOWN]
        assert (f"For {n}, imitation is not shown. That is not a finding that there is none" in text) == (
            n > 0
        )
        n = summary.findings[Finding.IMITATED]
        assert n == 0 or f"{n} {'is' if n == 1 else 'are'} found imitated" in text
        assert "not imitated" not in text


def stated(report: Report, **counts: int) -> str:
    """The answer for a release with these numbers of findings, and other fields of its summary."""
    result = replace(result_of(report, STRONG), exchangeability=())
    fields = {name: value for name, value in counts.items() if name in result.summary.__struct_fields__}
    findings = {finding: counts.get(finding.name, 0) for finding in Finding}
    n = sum(findings.values())
    summary = replace(result.summary, findings=findings, n_artists=n, family=n, **fields)
    return answer("r", [replace(result, summary=summary)], None)


def test_answer_mentions_imitation_only_with_placebo_names(report: Report) -> None:
    text = stated(report, NEARER=3, NOT_SHOWN=1)
    assert "For 3 of 4 artists, the pictures are nearer to the works than" in text
    assert "found imitated" not in text
    text = stated(report, IMITATED=1, NOT_SHOWN=4)
    assert "Of 5 artists, 1 is found imitated." in text and "For 4, imitation is not shown." in text
    text = stated(report, CANNOT_TELL=5)
    assert "None of 5 artists could be judged" in text and "5 artists cannot be judged" in text


def test_answer_never_says_that_none_is_found_where_none_could_be(report: Report) -> None:
    assert "None of 4 artists is found imitated." in stated(report, NOT_SHOWN=4, fewest_findable=1)
    text = stated(report, NOT_SHOWN=4, fewest_findable=3)
    assert "could not have found fewer than 3" in text
    text = stated(report, NOT_SHOWN=4, fewest_findable=None)
    assert "could not have found any of 4 artists" in text and "is found imitated" not in text
    for finding in (Finding.NAME_EFFECT, Finding.SPECIFICITY_NOT_TESTABLE):
        text = stated(report, **{finding.name: 3, "NOT_SHOWN": 1})
        assert "For 3 of 4 artists, the name moves the pictures towards the artist's works." in text
        assert "found imitated" not in text


def test_answer_states_the_smallest_effect_beside_not_shown(report: Report) -> None:
    text = stated(report, IMITATED=2, NOT_SHOWN=2, detectable_auc=0.861, fewest_findable=1)
    assert "one more artist would be found with 80 % probability if the pictures were nearer in 86 %" in text
    text = stated(report, IMITATED=2, NOT_SHOWN=2, detectable_auc=None, fewest_findable=2)
    assert "this design cannot find fewer than 2 artists" in text


@pytest.mark.parametrize(("shift", "often"), [(1.0, True), (-1.0, False)])
def test_a_failed_check_of_the_placebo_names_changes_the_answer(
    report: Report, shift: float, often: bool
) -> None:
    check = Exchangeability(
        compares="others", statistic=3.0, p=0.002, shift=shift, p_shift=0.002, spread=0.1, p_spread=0.8,
        n_placebos=40, n_others=12, n_artists=12,
    )  # fmt: skip
    result = changed(result_of(report, STRONG), "summary.level", 0.05)
    failed = answer("r", [replace(result, exchangeability=(check,))], None)
    passed = answer("r", [replace(result, exchangeability=(replace(check, p=0.06),))], None)
    assert failed.startswith("r: The invented names are not a fair reference here (check failed, p = 0.002)")
    assert ("it may not be claimed that a name has an effect" in failed) == often
    assert ("the effects that they find may be claimed" in failed) == (not often)
    assert ("By the tests as planned, and not to be claimed: " in failed) == often
    assert "By the tests as planned" in failed and "fair reference" not in passed


def test_report_wide_correction_is_that_of_all_tests(report: Report) -> None:
    """With several encoders, of all tests by all of them together."""
    rows = [row for one in report.combined for row in one.artists]
    family = [row for row in rows if row.p_adjusted is not None]
    p = np.array([row.p for row in family], float)
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)  # Benjamini-Hochberg, step up
    expected = np.empty(len(p))
    expected[order] = np.minimum(1, np.minimum.accumulate(steps[::-1])[::-1])
    assert [row.p_adjusted_report for row in family] == pytest.approx(expected.tolist())
    assert all(row.p_adjusted_report is None for row in rows if row.p_adjusted is None)
    found = [row for row in family if row.finding in SIGNIFICANT]
    stand = sum((row.p_adjusted_report or 0) <= report.plan.tests.level for row in found)
    text = report_wide(report)
    assert f"({len(family)} tests:" in text and f"for {stand} of the {len(found)} finding" in text
    single = replace(shared_sample()[0], results=shared_sample()[0].results[:1], combined=())
    assert report_wide(assemble(single, PROVENANCE)) == ""


@given(st.floats(0, 1, exclude_min=True))
def test_p_is_never_0(p: float) -> None:
    text = p_value(p)
    assert not re.fullmatch(r"[0.]+( × .*)?", text)
    if "×" not in text and "<" not in text:
        assert float(text) == pytest.approx(p, abs=0.00051)


@given(st.floats(-1, 1), st.integers(0, 1))
def test_percent_shows_0_and_100_only_for_none_and_all(share: float, digits: int) -> None:
    text = percent(share, digits)
    assert (float(re.sub(r"[^0-9.]", "", text)) == 0) <= (share == 0)
    assert text.lstrip("−") not in ("100 %", "100.0 %") or abs(share) == 1
    assert ("−" in text) == (share < 0)
    assert "−<" not in text and "−>" not in text


@pytest.mark.parametrize(
    ("model", "text_encoder", "same"),
    [
        ("ViT-L-14/openai", "CLIPTextModel openai/clip-vit-large-patch14", True),
        ("ViT-L-14-quickgelu/openai", "openai/clip-vit-large-patch14", True),
        ("ViT-L-14-336/openai", "CLIPTextModel openai/clip-vit-large-patch14", False),
        ("ViT-L-14/laion2b_s32b_b82k", "CLIPTextModel openai/clip-vit-large-patch14", False),
        ("ViT-bigG-14/laion2b_s39b_b160k", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", True),
        ("ViT-H-14/laion2b_s32b_b79k", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", True),
        ("ViT-B-32/openai", "T5EncoderModel google/t5-v1_1-xxl", False),
        ("", "CLIPTextModel", False),
        (f"transformers:{L14}", f"CLIPTextModel {L14}", True),
        (f"transformers:{L14}?pooling=projection", f"CLIPTextModel {L14} (12 layers, width 768)", True),
        ("transformers:/models/clip-vit-large-patch14", f"CLIPTextModel {L14}", True),
        ("transformers:/models/clip-vit-large-patch14/?size=224", f"CLIPTextModel {L14}", True),
        ("transformers:/models/clip-vit-large-patch14", "CLIPTextModel /other/clip-vit-large-patch14", True),
        ("hf-hub:laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", True),
        (f"transformers:{L14}-336", f"CLIPTextModel {L14}", False),
        ("transformers:openai/clip-vit-base-patch32", f"CLIPTextModel {L14}", False),
        ("transformers:/models/clip-vit-base-patch32", f"CLIPTextModel {L14}", False),
        ("transformers:/models/mine", f"CLIPTextModel {L14}", None),
        ("transformers:/models/mine", "T5EncoderModel google/t5-v1_1-xxl", False),
        ("ViT-L-14/openai", "CLIPTextModel (12 layers, width 768)", None),
        ("ViT-L-14/openai", "CLIPTextModel /root/sd/text_encoder", None),
    ],
)
def test_shared_text_encoders_are_recognised(model: str, text_encoder: str, same: bool | None) -> None:
    assert shares_text_encoder(model, text_encoder) is same


def test_a_text_encoder_of_an_unknown_name_is_said_to_be_not_known(report: Report) -> None:
    report = replace(
        report,
        encoders=tuple(replace(one, model="transformers:/models/mine") for one in report.encoders),
        releases=tuple(replace(one, text_encoders=(f"CLIPTextModel {L14}",)) for one in report.releases),
    )
    assert "Text encoder not known" in [limit.title for limit in limits(report)]


@pytest.mark.parametrize(("n", "words"), [(1, "this encoder were"), (2, "these encoders were")])
def test_limits_speak_of_as_many_encoders_as_there_are(n: int, words: str, report: Report) -> None:
    (text,) = (
        limit.text
        for limit in limits(replace(report, encoders=report.encoders[:n], combined=UNSET))
        if "not imitated" in limit.title
    )
    assert words in text


def test_limits_match_the_audit(report: Report) -> None:
    titles = [limit.title for limit in report.limits]
    text = " ".join(limit.text for limit in report.limits)
    assert "Generator and encoder share a text encoder" in titles
    assert "Text encoder not known" in titles
    assert "Artists that second cannot tell apart" in titles
    assert "Blocked pictures" in titles and "Pictures that could not be read" in titles
    assert "The plan was changed after it was registered" in titles
    assert "What a p-value is not" in titles and "“Not shown” is not “not imitated”" in titles
    assert "Nobody Inparticular" in text and "One encoder" not in titles and "No invented names" not in titles
    result = report.results[0]
    summary = replace(
        result.summary, adjust="holm", level=0.05, family=11, n_placebo_names=0, fewest_findable=None
    )
    clean = replace(
        report,
        rejects=(),
        plan=replace(report.plan, amendments=()),
        encoders=report.encoders[:1],
        releases=tuple(replace(one, blocked=(), text_encoders=("T5",)) for one in report.releases),
        results=(replace(result, summary=summary),),
        combined=UNSET,
    )
    titles = [limit.title for limit in limits(clean)]
    assert {"One encoder", "No invented names", "Too few other names"} <= set(titles)
    gone = ("share a text", "Blocked", "could not be read", "was changed", "not known", "not for releases")
    assert not any(part in title for part in gone for title in titles)


def test_figures_are_well_formed_and_labelled(report: Report) -> None:
    large = assemble(enlarged(shared_sample()[0], 70), PROVENANCE)
    for one in (result_of(report, STRONG), large.results[0]):
        made = figures("x", one)
        assert len(made) == 6
        for figure in made:
            root = ElementTree.fromstring(figure.svg)
            said = {element.tag: element.text for element in root if element.tag in ("title", "desc")}
            assert said["title"] == figure.title and said["desc"] == figure.reading
            assert figure.reading.endswith(".")
            width = float(root.attrib["width"])
            for element in root.iter():
                assert not {"None", "nan"} & set(re.split(r"[ ,(]", " ".join(element.attrib.values())))
                for key in ("x", "x1", "x2", "cx"):
                    assert -1 <= float(element.attrib.get(key, 0)) <= width + 1
    drawn = ElementTree.fromstring(made[0].svg)
    assert len([e for e in drawn.iter() if e.attrib.get("class") == "label"]) == 70


def test_names_are_truncated_to_fit() -> None:
    assert fit("Ada", 100) == "Ada" and fit("W" * 300, 100).endswith("…") and len(fit("W" * 300, 100)) < 12
