"""Sentences and figures of the report: they claim no more than the results support."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.catalogue import figures
from imindex.retrieval.report.figures.svg import fit
from imindex.retrieval.report.limits import limits, shares_text_encoder
from imindex.retrieval.report.report import assemble
from imindex.retrieval.report.text import answer, p_value, percent
from imindex.retrieval.results import Report, ReportResult
from tests.support.report_sample import (
    PROVENANCE,
    STRONG,
    WEAK,
    changed,
    enlarged,
    shared_report,
    shared_sample,
)


@pytest.fixture(scope="module")
def report() -> Report:
    return shared_report()


def result_of(report: Report, release: str) -> ReportResult:
    """Return the result of the first encoder."""
    return next(result for result in report.results if result.release == release)


def test_answer_is_two_sentences_with_intervals(report: Report) -> None:
    for text, release in zip(report.answer, (WEAK, STRONG), strict=True):
        summary = result_of(report, release).summary
        assert text.startswith(f"{release}: of 13 artists, ")
        assert len(re.findall(r"\.(?= [A-Z]|$)", text)) == 2
        assert percent(summary.accuracy, 1) in text and "95 % interval" in text
        for finding, words in (
            (Finding.NAME_MATTERS, "for {} the name matters"),
            (Finding.NOT_SHOWN, "for {} no imitation is shown"),
        ):
            n = summary.findings[finding]
            assert (words.format(n) in text) == (n > 0)
        n = summary.findings[Finding.IMITATED]
        assert f"{n or 'none'} {'is' if n <= 1 else 'are'} found imitated" in text
        assert "not imitated" not in text


def test_answer_mentions_imitation_only_if_names_were_compared(report: Report) -> None:
    def answer_with(**counts: int) -> str:
        findings = {finding: counts.get(finding.name, 0) for finding in Finding}
        return answer("r", [changed(result_of(report, STRONG), "summary.findings", findings)], None)

    text = answer_with(NEARER=3, NOT_SHOWN=1)
    assert "for 3 the pictures are nearer than for other artists" in text and "found imitated" not in text
    assert "1 is found imitated and for 4 no imitation is shown" in answer_with(IMITATED=1, NOT_SHOWN=4)
    assert "of 13 artists, 5 cannot be judged" in answer_with(CANNOT_TELL=5)


@given(st.floats(0, 1, exclude_min=True))
def test_p_is_never_0(p: float) -> None:
    text = p_value(p)
    assert not re.fullmatch(r"[0.]+( × .*)?", text)
    if "×" not in text and "<" not in text:
        assert float(text) == pytest.approx(p, abs=0.00051)


@given(st.floats(-1, 1), st.integers(0, 1))
def test_percent_is_0_or_100_only_if_exact(share: float, digits: int) -> None:
    text = percent(share, digits)
    assert (float(re.sub(r"[^0-9.]", "", text)) == 0) <= (share == 0)
    assert text.lstrip("−") not in ("100 %", "100.0 %") or abs(share) == 1
    assert text.startswith("−") == (share < 0)


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
    ],
)
def test_shared_text_encoders_are_recognised(model: str, text_encoder: str, same: bool) -> None:
    assert shares_text_encoder(model, text_encoder) is same


def test_limits_apply_to_this_audit(report: Report) -> None:
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
    summary = replace(result.summary, adjust="holm", level=0.05, family=11, n_placebo_names=0)
    clean = replace(
        report,
        rejects=(),
        plan=replace(report.plan, amendments=()),
        encoders=report.encoders[:1],
        releases=tuple(replace(release, blocked=(), text_encoders=("T5",)) for release in report.releases),
        results=(replace(result, summary=summary),),
    )
    titles = [limit.title for limit in limits(clean)]
    assert {"One encoder", "No invented names", "Too few names to compare with"} <= set(titles)
    gone = ("share a text", "Blocked", "could not be read", "was changed", "not known", "not for releases")
    assert not any(part in title for part in gone for title in titles)


def test_figures_are_well_formed_and_have_descriptions(report: Report) -> None:
    large = assemble(enlarged(shared_sample()[0], 70), PROVENANCE)
    for result in (result_of(report, STRONG), large.results[0]):
        drawn = figures("x", result)
        assert len(drawn) == 6
        for figure in drawn:
            root = ElementTree.fromstring(figure.svg)
            texts = {element.tag: element.text for element in root if element.tag in ("title", "desc")}
            assert texts["title"] == figure.title and texts["desc"] == figure.reading
            assert figure.reading.endswith(".")
            width = float(root.attrib["width"])
            for element in root.iter():
                assert not {"None", "nan"} & set(re.split(r"[ ,(]", " ".join(element.attrib.values())))
                for key in ("x", "x1", "x2", "cx"):
                    assert -1 <= float(element.attrib.get(key, 0)) <= width + 1
    accuracy = ElementTree.fromstring(drawn[0].svg)
    assert len([e for e in accuracy.iter() if e.attrib.get("class") == "label"]) == 70


def test_names_are_shortened_to_fit() -> None:
    assert fit("Ada", 100) == "Ada" and fit("W" * 300, 100).endswith("…") and len(fit("W" * 300, 100)) < 12
