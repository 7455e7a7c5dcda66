"""The page's sentences about a report of two encoders: who the references are, and what rests on which figure."""

from __future__ import annotations

import csv
import io
import re

import pytest
from msgspec.structs import replace

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.page import page
from imindex.retrieval.report.rendering import _cells
from imindex.retrieval.report.report import table
from imindex.retrieval.report.text import report_wide, rivals, statement
from imindex.retrieval.results import Report, WorkRecord, WorksClassification, to_dict
from tests.support.report_sample import shared_report


@pytest.fixture(scope="module")
def report() -> Report:
    return shared_report()


def read(report: Report) -> str:
    """The words of the page."""
    body = page(report, None).split("<main>")[1]
    return " ".join(re.sub(r"<[^>]*>", "", body).split())


def where_nobody_is_found(report: Report) -> Report:
    assert report.combined
    return replace(report, combined=tuple(replace(one, encoder_level=0.0) for one in report.combined))


def test_no_level_is_stated_where_nobody_is_found(report: Report) -> None:
    text = read(where_nobody_is_found(report))
    assert "Also by one alone: not tested, since no artist is found." in text
    assert "closed testing over the encoders of this artist, at level" not in text and "10⁻³⁰⁰" not in text
    assert "closed testing over the encoders of this artist, at level" in read(report)


def test_the_rivals_are_counted() -> None:
    rows = shared_report().results[0].artists[:2]

    def said(low: int, high: int, n_artists: int, n_further: int) -> str:
        numbers = (low, high)
        some = [replace(row, n_rival_references=n) for row, n in zip(rows, numbers, strict=True)]
        return rivals(some, n_artists, n_further)

    assert said(39, 39, 24, 16) == "39 other real names (of them 23 tested artists and 16 further names)"
    assert said(23, 23, 24, 0) == "23 other tested artists"
    assert said(20, 39, 24, 16) == (
        "20 to 39 other real names with pictures of the same design (out of 23 other tested artists and 16 further "
        "names)"
    )
    assert said(30, 30, 24, 0) == "30 other real names"
    assert rivals((), 24, 16) == "other real names"


def test_several_demonstration_encoders_are_spoken_of_in_the_plural(report: Report) -> None:
    both = tuple(replace(one, demonstration=True) for one in report.encoders)
    text = page(replace(report, encoders=both), None)
    assert "are small models that come with imindex" in text and "Their figures prove nothing." in text
    one = page(replace(report, encoders=(both[0], *report.encoders[1:])), None)
    assert "is the small model that comes with imindex" in one and "Its figures prove nothing." in one


def test_every_table_says_who_the_rivals_are(report: Report) -> None:
    text = read(report)
    assert "against the other artists" not in text
    assert text.count("AUC and p need not agree") == len(report.releases)
    for one in report.combined or ():
        expected = rivals(one.artists, len(report.plan.artists), 0)  # type: ignore[arg-type]
        assert f"rival: against {expected}." in text


def test_figures_over_all_artists_are_no_findings(report: Report) -> None:
    for text in report.answer:
        assert "of the pictures made for an artist are assigned to the artist by name" in text
        assert "0.50 if names made no difference" in text and "without imitation" not in text
        assert "a mean over all artists, and no finding about one artist rests on it" in text
        assert re.search(r"(1/[0-9]+ or )?[0-9.]+ % by guessing", text)


def test_figures_by_name_and_by_works_stand_apart(report: Report) -> None:
    apart = r"generic label (?:[<>] )?[0-9.]+ %\. By works instead of names, accuracy (?:[<>] )?[0-9.]+ %"
    assert re.search(rf"{apart}\. ", read(report))  # the works are not known, and so guessing is not
    works = [
        WorkRecord(artist=name, path=f"{name}.png", sha256="0" * 64) for name in "abcd" for _ in range(2)
    ]
    assert re.search(rf"{apart} \(guessing 25\.0 %\)\. ", read(replace(report, works=tuple(works))))


def test_an_encoder_without_a_text_side_is_not_said_to_name() -> None:
    report = shared_report()
    own = [one for one in report.results if one.release == report.releases[0].name]
    by_works = WorksClassification(
        method="by works, prototype", n_classified=1, n_labels=2, n_unscored=0, accuracy=0.5, accuracy_low=None,
        accuracy_high=None, accuracy_chance=0.5, accuracy_top5=None, accuracy_top5_chance=None, p_accuracy=None,
        artists=(), confusion=own[1].confusion, label_curve=None,
    )  # fmt: skip
    assert report.combined
    said = statement([own[0], replace(own[1], by_works=by_works)], None, report.combined[0]).figures
    assert said.endswith("Encoder second reads no names: its accuracy by works is in its own section.")


def test_without_a_finding_nothing_is_corrected(report: Report) -> None:
    assert report.combined
    nobody = tuple(
        replace(one, artists=tuple(replace(row, finding=Finding.NOT_SHOWN) for row in one.artists))
        for one in report.combined
    )
    text = report_wide(replace(report, combined=nobody))
    assert text.endswith("there is no finding to correct.") and "significant" not in text


def test_rows_of_all_encoders_have_the_sizes_of_the_sets(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(table(report))))
    n = len(report.plan.artists)
    for name in ("status", "n_works", "n_imitations"):
        assert [line[name] for line in lines[:n]] == [
            str(getattr(row, name)) for row in report.results[0].artists
        ]


def test_a_table_by_another_version_is_compared_in_rows_of_all_encoders(report: Report) -> None:
    stored = to_dict(report)
    text = table(report)
    differing, compared, _, _ = _cells(text, stored["results"], stored["combined"])
    assert not differing and compared
    other = text.replace(",all encoders,", ",some encoders,", 1)
    assert _cells(other, stored["results"], stored["combined"])[0]
