"""The page's sentences about a report of two encoders: who the references are, and what rests on which figure."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from imindex.retrieval.report.page import page
from imindex.retrieval.results import Report
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
