"""Results as self-contained HTML fragments: tables and the report's figures."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from imindex.retrieval.report import notebook
from imindex.retrieval.report.style import fragment_style
from imindex.retrieval.results import AuditFindings, GatedComparison, Result, fields_of
from tests.support.html_page import Page
from tests.support.report_sample import HOSTILE, VERDICTS, shared_report, shared_sample

FIGURES = {"matching": 1, "classification": 1, "by works": 2, "comparison": 2, "gated": 2, "report": 2}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    findings: AuditFindings = shared_sample()[0]
    first, comparison = findings.results[-1], findings.comparisons[0]
    assert first.by_works is not None
    return {
        "matching": first.matching,
        "classification": first.classification,
        "by works": first.by_works,
        "comparison": comparison,
        "gated": GatedComparison(**fields_of(comparison), gate=VERDICTS),
        "report": shared_report(),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_fragment_shows_figures_and_escapes_names(results: dict[str, Result], name: str) -> None:
    text = notebook.render(results[name])
    assert text is not None and text == notebook.render(results[name])
    fragment = Page(text)
    tags = [tag for tag, _ in fragment.elements]
    assert not {"script", "link", "iframe", "object"} & set(tags) and "url(" not in text
    drawn = [attributes for tag, attributes in fragment.elements if tag == "svg" and "role" in attributes]
    assert len(drawn) == FIGURES[name]
    ids = [attributes["id"] for _, attributes in fragment.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 2 * len(drawn)
    assert HOSTILE[0] not in text and "&lt;script&gt;alert(1)" in text
    assert not re.search(r">\s*(None|nan)\s*<", text)


def test_ids_differ_between_results(results: dict[str, Result]) -> None:
    found = [re.findall(r' id="([^"]+)"', notebook.render(result) or "") for result in results.values()]
    assert len({one for ids in found for one in ids}) == sum(map(len, found))


def test_many_artists_are_shown_as_a_table_only(results: dict[str, Result]) -> None:
    matching = shared_sample()[0].results[0].matching
    artists = tuple(
        replace(artist, artist=f"{artist.artist[:30]} {k}") for k in range(9) for artist in matching.artists
    )
    text = notebook.render(replace(matching, artists=artists)) or ""
    assert 'role="img"' not in text and "rows; to_pandas() has them all" in text


def test_untested_results_are_rendered_without_findings(results: dict[str, Result]) -> None:
    matching = shared_sample()[0].results[0].matching
    bare = replace(
        matching, evidence=None, artists=tuple(replace(one, finding=None) for one in matching.artists)
    )
    text = notebook.render(bare) or ""
    assert 'class="mark dot"' in text and "finding" not in text


def test_no_rule_applies_outside_the_fragment() -> None:
    style = re.sub(r"@media[^{]*\{(.*?\})\s*\}", r"\1", fragment_style(".imindex"), flags=re.DOTALL)
    selectors = [one.strip() for rule in re.findall(r"([^{}]+)\{", style) for one in rule.split(",")]
    assert len(selectors) > 40 and all(re.search(r"\.imindex(\W|$)", selector) for selector in selectors)
    assert ".imindex svg .interval" in selectors and '[data-jp-theme-light="false"] .imindex' in selectors
