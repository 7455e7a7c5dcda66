"""The report's content and files: figures against the index, malicious names, and the published schema."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from imindex.indexer.encoders.load import load_as
from imindex.indexer.store.index import Index
from imindex.retrieval.findings import Finding
from imindex.retrieval.report import page as report_page
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.page import page
from imindex.retrieval.report.report import assemble, table, write
from imindex.retrieval.results import (
    AccuracyTests,
    ArtistTests,
    AuditFindings,
    AuditResult,
    CopyPair,
    RejectedPicture,
    Report,
    ReportResult,
    fields_of,
    from_dict,
    from_json,
    to_dict,
    to_json,
)
from imindex.retrieval.results.report_digest import digest
from tests.support.html_page import Page
from tests.support.places import ROOT
from tests.support.report_sample import (
    HOSTILE,
    NAMED,
    PROVENANCE,
    STRONG,
    TEMPLATES,
    WEAK,
    changed,
    enlarged,
    shared_report,
    shared_sample,
)

SCHEMA = json.loads((ROOT / "retrieval" / "report.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def findings() -> AuditFindings:
    return shared_sample()[0]


@pytest.fixture(scope="module")
def base() -> Path:
    return shared_sample()[1]


@pytest.fixture(scope="module")
def report() -> Report:
    return shared_report()


@pytest.fixture(scope="module")
def html(report: Report, base: Path) -> str:
    return page(report, base)


def assembled(findings: AuditFindings) -> Report:
    return assemble(findings, PROVENANCE)


# Content


def result_of(report: Report, release: str, encoder: str = "demo") -> ReportResult:
    return next(r for r in report.results if (r.release, r.encoder) == (release, encoder))


def test_content_matches_the_schema(report: Report, findings: AuditFindings) -> None:
    VALIDATOR.check_schema(SCHEMA)
    written = json.loads(json.dumps(to_dict(report), allow_nan=False))
    VALIDATOR.validate(written)
    VALIDATOR.validate(to_dict(assembled(enlarged(findings, 70))))
    for change in ({"more": 1}, {"version": "2.0"}, {"digest": "x"}, {"results": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**written, **change})
    assert from_dict(Report, written) == report


def test_json_round_trip_is_lossless(report: Report, findings: AuditFindings) -> None:
    for result in (report, findings):
        again = from_json(type(result), to_json(result))
        assert again == result and to_json(again) == to_json(
            result
        )  # a digest is over the JSON: 1 is not 1.0


def test_contract_without_extras_and_tests_is_valid(findings: AuditFindings) -> None:
    bare = replace(findings, results=tuple(map(without_extras, findings.results)))
    VALIDATOR.validate(to_dict(assembled(bare)))
    untested = assembled(replace(findings, results=tuple(map(without_tests, findings.results))))
    VALIDATOR.validate(to_dict(untested))
    assert untested.results[0].artists[0].finding is Finding.NOT_TESTED
    assert "Nothing was tested" in untested.answer[0]
    page(untested, None)


def without_extras(result: AuditResult) -> AuditResult:
    """Candidates of which only the cosine is known."""
    optional = {
        "outlines",
        "mirrored",
        "series",
        "same_bytes",
        "candidate",
        "imitation_sha256",
        "work_sha256",
        "placebo",
    }
    pairs = tuple(
        CopyPair(**{name: value for name, value in fields_of(pair).items() if name not in optional})
        for pair in result.copies.pairs
    )
    return replace(result, copies=replace(result.copies, bound=None, pairs=pairs))


def without_tests(result: AuditResult) -> AuditResult:
    method = result.classification.methods[0]
    tested = set(AccuracyTests.__struct_fields__) - {"artist"}
    method = replace(
        method,
        evidence=None,
        artists=tuple(replace(artist, **dict.fromkeys(tested)) for artist in method.artists),
    )
    tested = set(ArtistTests.__struct_fields__) - {"artist"}
    matching = replace(
        result.matching,
        evidence=None,
        artists=tuple(replace(artist, **dict.fromkeys(tested)) for artist in result.matching.artists),
    )
    classification = replace(result.classification, methods=(method,))
    return replace(result, classification=classification, matching=matching)


def test_auc_equals_that_recomputed_from_vectors(report: Report, base: Path) -> None:
    with Index(base / "demo.h5") as index:
        artists, collections = index.artists, index.collections
        kind = np.array([collections[c].kind for c in index.column("collection")])
        of = np.array([collections[c].name for c in index.column("collection")])
        who = np.array([artists[a] if a >= 0 else "" for a in index.column("artist")])
        vectors = np.asarray(index.vectors).astype(np.float64)
    for release in (WEAK, STRONG):
        made = (kind == "imitations") & (of == release)
        for row in result_of(report, release).artists[:-1]:
            works = vectors[(kind == "works") & (who == row.artist)]
            own = (works @ vectors[made & (who == row.artist)].T).round(12)
            others = (works @ vectors[made & (who != row.artist)].T).round(12)
            nearer = own[:, :, None] > others[:, None, :]
            ties = own[:, :, None] == others[:, None, :]
            assert row.auc == pytest.approx((nearer + 0.5 * ties).mean(), abs=1e-9)
            assert (row.n_works, row.n_imitations) == own.shape
            assert sum(row.rank_histogram or ()) == own.size
            first, ranks = row.neighbours[0], _ranks(own, others)
            assert first.rank == ranks.min()
            best = min(own.max(axis=1)[ranks == ranks.min()].max(), 1.0)
            assert first.cosine == pytest.approx(best, abs=1e-6)


def _ranks(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    return 1 + (others >= own.max(axis=1)[:, None]).sum(axis=1)


def test_accuracy_and_confusion_equal_those_recomputed_from_vectors(report: Report, base: Path) -> None:
    result = result_of(report, STRONG)
    labels = [*NAMED, *report.plan.labels]
    texts = [*(TEMPLATES[0].replace("{artist}", name) for name in NAMED), *report.plan.labels]
    with Index(base / "demo.h5") as index:
        encoded = load_as(index.encoder, device="cpu").encode_texts(texts).astype(np.float64)
        collections = index.collections
        chosen = [
            row
            for row, c in enumerate(index.column("collection"))
            if collections[c].kind == "imitations"
            and collections[c].name == STRONG
            and index.artists[index.column("artist")[row]] in NAMED
        ]
        who = [index.artists[index.column("artist")[row]] for row in chosen]
        scores = np.asarray(index.vectors[np.array(chosen)]).astype(np.float64) @ encoded.T
    named = [labels[best] for best in scores.argmax(axis=1)]
    confusion = result.confusion
    for row in result.artists[:-1]:
        own = [label for label, artist in zip(named, who, strict=True) if artist == row.artist]
        assert row.top1 == pytest.approx(own.count(row.artist) / len(own))
        counts = confusion.counts[confusion.rows.index(row.artist)]
        for column, count in zip(confusion.columns, counts, strict=True):
            assert count == own.count(column)
    assert result.summary.accuracy == pytest.approx(np.mean([row.top1 for row in result.artists[:-1]]))
    assert set(confusion.columns) >= set(NAMED)
    assert confusion.columns[-2:] == report.plan.labels


def test_every_tested_artist_has_a_row_even_outside_the_index(report: Report) -> None:
    for result in report.results:
        assert tuple(row.artist for row in result.artists) == report.plan.artists
        last = result.artists[-1]
        assert (last.finding, last.n_works, last.auc, last.confused_with, last.neighbours) == (
            Finding.NOT_TESTED,
            0,
            None,
            None,
            (),
        )
        found = [row.finding for row in result.artists]
        assert result.summary.findings == {finding: found.count(finding) for finding in Finding}
        assert sum(result.summary.findings.values()) == len(found)


def test_agreement_counts_artists_judged_by_all_encoders(report: Report, findings: AuditFindings) -> None:
    for one in report.agreement or ():
        both = list(
            zip(
                *(
                    [row.finding for row in result_of(report, one.release, encoder).artists]
                    for encoder in one.encoders
                ),
                strict=True,
            )
        )
        judged = [pair for pair in both if not {Finding.CANNOT_TELL, Finding.NOT_TESTED} & set(pair)]
        assert (one.n_judged, one.n_agree) == (len(judged), sum(a == b for a, b in judged))
        assert one.share == (sum(a == b for a, b in judged) / len(judged) if judged else None)
    results = tuple(result for result in findings.results if result.encoder == "demo")
    single = replace(findings, encoders=findings.encoders[:1], results=results)
    assert assembled(single).agreement is None
    twice = (*results, *(replace(result, encoder="again") for result in results))
    again = assembled(replace(single, results=twice)).agreement
    assert again and [one.share for one in again] == [1.0, 1.0] and again[0].n_judged > 5


def test_the_copy_is_found_and_counted_once(report: Report) -> None:
    result = result_of(report, STRONG)
    candidates = result.copies.of("candidate")
    assert [(pair.artist, pair.work_artist) for pair in candidates if pair.same_bytes] == [(NAMED[0],) * 2]
    for row in result.artists:
        assert row.candidates == sum(pair.artist == row.artist for pair in candidates) and row.copies == 0
    assert result.summary.n_candidates == len(candidates) and result.summary.n_copies == 0


def test_digest_covers_findings_but_not_times(report: Report, findings: AuditFindings) -> None:
    later = changed(findings, "plan.registered", "2030-01-01T00:00:00+00:00")
    later = changed(later, "plan.amendments.0.when", "2030-01-01T00:00:00+00:00")
    later = changed(later, "comparisons.0.base.index", "/elsewhere/demo.h5")
    provenance = replace(PROVENANCE, command="another", seconds={})
    assert assemble(later, provenance).digest == report.digest == digest(to_dict(report))
    for path, value in (
        ("plan.digest", "60" * 32),
        ("plan.amendments.0.why", "another reason"),
        ("releases.0.digest", "7b" * 32),
        ("title", "another title"),
    ):
        assert assembled(changed(findings, path, value)).digest != report.digest
    auc = findings.results[0].matching.artists[0].auc
    assert auc is not None
    other = changed(findings, "results.0.matching.artists.0.auc", auc + 1e-12)
    assert assembled(other).digest != report.digest


def test_digest_of_an_old_report_covers_its_own_keys(report: Report) -> None:
    written = to_dict(report)
    for key in ("first_digest", "registered_late", "inputs", "label_templates"):
        del written["plan"][key]
    fewer = digest(written)
    written["plan"]["registered"] = "2030-01-01T00:00:00+00:00"
    assert digest(written) == fewer != report.digest
    assert digest(to_dict(from_dict(Report, written))) == report.digest


def test_nan_becomes_null(findings: AuditFindings) -> None:
    artist = findings.results[0].matching.artists[0].artist
    other = changed(findings, "results.0.matching.artists.0.auc", np.float64("nan"))
    other = changed(other, "results.0.matching.artists.0.p_name", float("nan"))
    other = changed(other, "results.0.matching.artists.0.n_works", np.int64(6))
    row = next(row for row in assembled(other).results[0].artists if row.artist == artist)
    assert row.auc is None and row.p_name is None and row.n_works == 6


# Page


def test_page_has_only_its_own_script_and_makes_no_requests(html: str) -> None:
    parsed = Page(html)
    assert sum(tag == "script" for tag, _ in parsed.elements) == len(parsed.scripts) == 1
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base", "image", "foreignobject")
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/webp;base64,").startswith("data:image/webp;base64,")
        assert not {"srcset", "action", "xlink:href", "background"} & set(attributes)
        assert "url(" not in (attributes.get("style") or "")
    assert not re.search(r"url\(|@import", html[: html.index("</style>")])
    policy = next(a["content"] for t, a in parsed.elements if t == "meta" and "http-equiv" in a)
    hashed = base64.b64encode(hashlib.sha256(parsed.scripts[0].encode()).digest()).decode()
    assert policy is not None and f"script-src 'sha256-{hashed}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_every_name_is_shown_as_text(html: str, report: Report) -> None:
    text = "\n".join(Page(html).texts)
    for name in report.plan.artists:
        assert shown(name) in text
    assert "<script>alert(1)" in text and "<script>alert(1)" not in html
    assert shown("a\u202eb\x00\ud800") == "a\\u202eb\\u0000\\ud800"


def test_ids_are_unique_and_links_resolve(html: str) -> None:
    parsed = Page(html)
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a.get("href") or "#")[1:] for t, a in parsed.elements if t == "a"}
    referred = {
        one
        for _, a in parsed.elements
        for name in ("aria-labelledby", "data-open", "data-entries")
        for one in (a.get(name) or "").split()
    }
    assert targets - {""} <= set(ids) and referred <= set(ids)


def test_pictures_have_alt_text_and_can_be_omitted(html: str, report: Report, base: Path) -> None:
    pictures = [a for t, a in Page(html).elements if t == "img"]
    assert len(pictures) > 50 and all(a["alt"] for a in pictures)
    without = page(report, None)
    assert "<img" not in without and "data:image" not in without and "left out of this report" in without
    moved = page(report, base / "nowhere")
    assert "<img" not in moved and moved.count("not readable now") >= len(pictures)


def test_a_page_of_70_artists_stays_small(findings: AuditFindings, base: Path) -> None:
    large = page(assembled(enlarged(findings, 70)), base)
    assert len(large) < 15e6
    Page(large)


# Files


def test_csv_has_one_row_per_artist_and_no_formulas(report: Report, tmp_path: Path) -> None:
    _, _, path = write(report, tmp_path, base=tmp_path, pictures=False)
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert len(rows) == (2 + 4) * 13  # of all encoders together, then of each
    expected = [row for result in (*report.combined, *report.results) for row in result.artists]
    for row, source in zip(rows, expected, strict=True):
        for key, text in row.items():
            assert not text.startswith(("=", "+", "@", "\t", "\r"))
            value = getattr(source, key, None)
            if isinstance(value, float):
                assert float(text) == value
            elif text.startswith("-"):
                raise AssertionError(f"{key} is text that may be a formula: {text}")
        assert row["artist"] == ("'" if source.artist.startswith("=") else "") + source.artist
    assert any(row["artist"] == f"'{HOSTILE[1]}" for row in rows)
    assert any(float(row["gap_low"] or 0) < 0 for row in rows)  # negative numbers are numbers
    assert "'-1+1" in table(
        replace(report, results=(replace(report.results[0], release="-1+1"),), combined=UNSET)
    )


def test_json_is_the_report(report: Report, tmp_path: Path) -> None:
    paths = write(report, tmp_path / "new", base=tmp_path, pictures=False)
    assert [path.name for path in paths] == ["report.html", "report.json", "artists.csv"]

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(paths[1].read_text(encoding="utf-8"), parse_constant=refuse)
    about = replace(report.provenance, rendering=read["provenance"]["rendering"])
    assert from_dict(Report, read) == replace(report, provenance=about) and digest(read) == report.digest


def test_old_report_survives_a_failed_write(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(report, tmp_path, base=tmp_path, pictures=False)
    before = [path.read_bytes() for path in paths]

    def stop(*_: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(report_page, "page", stop)
    with pytest.raises(OSError, match="disk full"):
        write(replace(report, title="other"), tmp_path, base=tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_names_with_stray_bytes_can_be_written(findings: AuditFindings, tmp_path: Path) -> None:
    rejects = (RejectedPicture(path="works/\udcff\n<b>.png", reason="no picture"),)
    html, data, _ = write(
        assembled(replace(findings, rejects=rejects)), tmp_path, base=tmp_path, pictures=False
    )
    assert "works/\\udcff\\u000a&lt;b&gt;.png" in html.read_text(encoding="utf-8")
    assert json.loads(data.read_text(encoding="utf-8"))["rejects"] == to_dict(rejects)
