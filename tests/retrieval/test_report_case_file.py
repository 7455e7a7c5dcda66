"""What a case file needs: timing, propositions, error rates, exclusions, works, review; the demonstration banner."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from imindex.indexer.ann import exact
from imindex.indexer.core.provenance import entry
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.open_clip import DEMO_FOLDER
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write as write_index
from imindex.retrieval.audit.record import works_of_artists
from imindex.retrieval.audit.runs import KILLED, NAME, first_provenance, recorded
from imindex.retrieval.findings import Finding
from imindex.retrieval.report.page import page
from imindex.retrieval.report.propositions import bearings
from imindex.retrieval.report.record_keeping import exclusions, prompt_origin
from imindex.retrieval.report.report import assemble, write
from imindex.retrieval.report.thumbnails import Thumbnails
from imindex.retrieval.report.timing import timing
from imindex.retrieval.report.trust import trust
from imindex.retrieval.results import ErrorRates, FailedRun, Report
from tests.support.commands import run
from tests.support.html_page import Page
from tests.support.pictures import picture
from tests.support.report_sample import (
    NAMED,
    PLACEBOS,
    PROVENANCE,
    STRONG,
    WEAK,
    changed,
    shared_report,
    shared_sample,
)

RATES = ErrorRates(
    levels=(0.01, 0.05, 0.1), name=(0.0, 0.026, 0.077), rival=(0.0, 0.01, 0.02), any_name_effect=0.043,
    any_imitated=0.002, mean_name_effects=0.05, mean_imitated=0.002, n_artists=12, n_placebos=39, n_rivals=12,
    n_repeats=1000,
)  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return shared_report()


# Timing


SOURCES = (("generated",), ("pictures",), ("generated", "pictures"))


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("other_tests", [False, True])
@pytest.mark.parametrize("amended", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_the_question_came_first_only_for_pictures_made_after_registration(
    report: Report, late: bool, amended: bool, other_tests: bool, sources: tuple[str, ...]
) -> None:
    plan = replace(
        report.plan,
        registered_late=late,
        amendments=report.plan.amendments if amended else (),
        tests_used=2 if other_tests else 1,
    )
    releases = tuple(
        replace(report.releases[0], name=name, source=source)
        for name, source in zip(("first", "second"), sources, strict=False)
    )
    said = timing(replace(report, plan=plan, releases=releases))
    whole = f"{said.lead} {said.text}"
    came_first = not (late or amended or other_tests) and "generated" in sources
    assert ("the question came before the answer." in said.text and not late) == came_first
    given = [name for name, source in zip(("first", "second"), sources, strict=False) if source == "pictures"]
    if given and not late:
        assert f"The pictures of {given[0]} existed before" in said.text and "is not known" in said.text
    if came_first and given:
        assert "before any picture of first was generated" in said.text
    assert bool(said.lead) == (late or amended or other_tests)
    assert "  " not in whole and whole.strip().endswith(".")


# Propositions


def test_every_finding_bears_on_both_propositions_and_proves_neither(report: Report) -> None:
    result = report.results[0]
    rows = tuple(
        replace(row, finding=finding)
        for row, finding in zip(itertools.cycle(result.artists), Finding, strict=False)
    )
    every = replace(report, results=(replace(result, artists=rows),), combined=UNSET)
    texts = bearings(every)
    assert [one.finding for one in texts] == list(Finding)
    for one in texts:
        for text in (one.claim, one.alternative, one.bearing):
            assert text.endswith(".") and not re.search(r"\b(proves?|proof|certain|guilty)\b", text)
    by = {one.finding: one for one in texts}
    assert "not the probability" in by[Finding.IMITATED].bearing
    assert "does not decide between this artist and a similar one" in by[Finding.NAME_EFFECT].bearing
    assert "not a finding that there is none" in by[Finding.NOT_SHOWN].bearing
    assert by[Finding.CANNOT_TELL].bearing.startswith("None:")
    holm = changed(every, "plan.tests.adjust", "holm")
    assert "any artist of a release is called falsely" in bearings(holm)[0].alternative
    assert "on average" in bearings(changed(every, "plan.tests.adjust", "bh"))[0].alternative


def test_a_failed_check_is_stated_beside_the_propositions(report: Report) -> None:
    check = replace(report.results[0].exchangeability[0], p=0.001, shift=1.0, p_shift=0.001)
    failed = replace(report, results=(replace(report.results[0], exchangeability=(check,)),))
    words = "neither “imitated” nor a name effect speaks for the artist’s side"
    assert words in page(failed, None)
    passed = replace(report, results=(replace(report.results[0], exchangeability=(replace(check, p=1.0),)),))
    assert words not in page(passed, None)


# Error rates


def test_the_card_shows_rates_judged_artists_and_what_could_be_missed(report: Report) -> None:
    result = next(result for result in report.results if result.release == STRONG)
    summary = replace(result.summary, detectable_auc=0.83, fewest_findable=4)
    shown = trust([replace(result, summary=summary, error_rates=RATES), replace(result, error_rates=None)])
    cells = {row.title: row.cells for group in shown for row in group.rows}
    unjudged = sum(result.summary.findings[f] for f in (Finding.CANNOT_TELL, Finding.NOT_TESTED))
    assert cells["Artists judged"] == (f"{13 - unjudged} of 13",) * 2
    assert cells["Any artist called “imitated”"] == ("2 of 1,000", "–")
    assert cells["Any artist called “name effect”"] == ("43 of 1,000", "–")
    assert cells["Name test alone, at 1, 5, 10 %"] == ("0.0 %, 2.6 %, 7.7 %", "–")
    assert cells["AUC found in 80 % of cases"][0] == "0.83"
    assert cells["Fewest artists that can be found"][0] == "4"
    nobody = replace(result, summary=replace(summary, fewest_findable=None))
    assert "none can be" in [row.cells[0] for group in trust([nobody]) for row in group.rows]


def test_error_rates_reach_report_and_page(report: Report) -> None:
    result = next(result for result in report.results if result.release == STRONG)
    assert result.error_rates is not None and result.error_rates.n_placebos == len(PLACEBOS)
    html = page(report, None)
    assert "How far to trust this" in html and "invented names in the artists’ places" in html
    assert html.index('id="answer"') < html.index('id="trust-h"') < html.index('id="asked"')


# Exclusions and failed runs


def test_origin_of_prompts(report: Report) -> None:
    given, made = report.releases
    assert (given.source, made.source) == ("pictures", "generated")
    assert "generated here from the plan’s templates" in prompt_origin(made, report)
    assert prompt_origin(given, report) == "stated with the pictures; not made here"
    some = replace(report, results=tuple(replace(r, n_without_prompt=3) for r in report.results))
    assert "not recorded for 3 pictures" in prompt_origin(given, some)
    every = replace(
        report, results=tuple(replace(r, n_without_prompt=given.n_imitations) for r in report.results)
    )
    assert prompt_origin(given, every) == "not recorded"


def test_exclusions_and_failed_runs_are_listed(report: Report) -> None:
    said = " ".join(exclusions(report))
    assert "1 picture could not be read" in said and "1 picture was blocked" in said
    assert "Nobody Inparticular" in said and "1 amendment" in said
    assert "No run of this audit in this folder failed" in said
    failed = (FailedRun(started="2026-01-01T00:00:00+00:00", why="the model is missing"),)
    said = " ".join(exclusions(changed(report, "provenance.unfinished", failed)))
    assert "1 run of this audit failed" in said and "2026-01-01 00:00:00 UTC: the model is missing" in said


def test_runs_that_fail_or_are_killed_are_remembered(tmp_path: Path) -> None:
    with recorded(tmp_path, "t1", "audit") as earlier:
        assert earlier == ()
    with pytest.raises(KeyboardInterrupt), recorded(tmp_path, "t2", "audit"):
        raise KeyboardInterrupt
    with (tmp_path / NAME).open("a", encoding="utf-8") as file:
        file.write('{"started": "t3", "command": "audit"}\n{"sta')  # killed while it wrote a line
    with recorded(tmp_path, "t4", "audit") as earlier:
        pass
    expected = (FailedRun(started="t2", why="KeyboardInterrupt"), FailedRun(started="t3", why=KILLED))
    assert earlier == expected
    with recorded(tmp_path, "t5", "audit") as earlier:
        assert earlier == expected


def test_times_of_the_first_run_stay(report: Report, tmp_path: Path) -> None:
    path = write(report, tmp_path, base=tmp_path, pictures=False)[1]
    later = replace(
        report.provenance, started="2027-01-01T00:00:00+00:00", finished="2027-01-02T00:00:00+00:00"
    )
    again = replace(report, provenance=later)
    assert replace(first_provenance(again, path), rendering="") == report.provenance
    assert write(
        replace(again, provenance=first_provenance(again, path)), tmp_path, base=tmp_path, pictures=False
    )
    words = replace(again, digest="11" * 32, answer=("other words",))
    kept = first_provenance(words, path)
    assert (kept.started, kept.finished) == (report.provenance.started, report.provenance.finished)
    assert kept.rendered == later.finished
    other = changed(words, "encoders.0.root_digest", "22" * 32)
    assert first_provenance(other, path) == later
    assert first_provenance(again, tmp_path / "none.json") == later


# Works, case, review


def test_works_are_listed_with_the_digests_of_their_files() -> None:
    folder = shared_sample()[1]
    listed = works_of_artists([folder / "demo.h5"], NAMED[:3])
    assert [work.artist for work in listed] == sorted(name for name in NAMED[:3] for _ in range(5))
    for work in listed:
        assert hashlib.sha256((folder / work.path).read_bytes()).hexdigest() == work.sha256


def test_page_has_case_works_digests_and_review(report: Report) -> None:
    works = works_of_artists([shared_sample()[1] / "demo.h5"], NAMED[:3])
    plan = replace(report.plan, case_number="2026-0417 <b>", examiner="Ada Example")
    html = page(replace(report, plan=plan, works=works), None)
    assert "case 2026-0417 &lt;b&gt;" in html and "examined by <bdi>Ada Example</bdi>" in html
    assert all(work.sha256 in html for work in works)
    assert report.digest in html and all(encoder.root_digest in html for encoder in report.encoders)
    review = html[html.index('id="review"') :]
    assert review.count("Signature") == 2 and "Reviewer" in review and "Examiner" in review


# Demonstration encoder


def test_the_demonstration_encoder_is_recognised_by_its_weights(tmp_path: Path, tiny_model: str) -> None:
    shutil.copytree(DEMO_FOLDER, tmp_path / "serious-encoder")
    for model, expected in (
        ("demo", True),
        (f"local-dir:{tmp_path / 'serious-encoder'}", True),
        (tiny_model, False),
    ):
        encoder = load(model, device="cpu", precision="fp32")
        assert is_demonstration(encoder.info.weights_sha256) == expected


def test_demonstration_banner_on_the_page(report: Report) -> None:
    banner = "Demonstration encoder: not for evidence."
    assert banner not in page(replace(report, encoders=report.encoders[1:]), None)
    demonstrated = changed(report, "encoders.0.demonstration", True)
    assert page(demonstrated, None).index(banner) < page(demonstrated, None).index('id="answer"')


def test_demonstration_banner_in_terminal_and_json() -> None:
    index = shared_sample()[1] / "demo.h5"
    words = ("-i", index, "--collection", WEAK, "--placebo", "placebo *", "--no-tests")
    for command in ("match", "classify"):
        options = (
            words
            if command == "match"
            else ("-i", index, "--collection", WEAK, "--by", "works", "--no-tests")
        )
        assert "Demonstration encoder: not for evidence" in run(command, *options).stderr
        result = run(command, *options, "--json")
        assert '"demonstration": true' in result.stdout
    compared = run("compare", WEAK, STRONG, "-i", index, "--no-names", "--resamples", 99)
    assert "Demonstration encoder: not for evidence" in compared.stderr
    other = run("match", "-i", shared_sample()[1] / "second.h5", "--collection", WEAK, "--no-tests", "--json")
    assert '"demonstration": false' in other.stdout and "not for evidence" not in other.stderr


# Pages of an index


@pytest.mark.parametrize(
    "tests", [("--placebo", "placebo *", "--resamples", 99), ("--resamples", 99), ("--no-tests",)]
)
def test_match_writes_a_page(tmp_path: Path, tests: tuple[str, ...]) -> None:
    index = shared_sample()[1] / "demo.h5"
    run("match", "-i", index, "--collection", STRONG, *tests, "--report", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = Page(html)
    assert "From an index alone, not from an audit." in html and "registered for this page" in html
    assert 'id="asked"' not in html and 'id="review"' not in html and "Named as the artist" not in html
    assert sum(tag == "img" for tag, _ in parsed.elements) > 50
    assert ("How far to trust this" in html) == (tests != ("--no-tests",))
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert {(a.get("href") or "#")[1:] for tag, a in parsed.elements if tag == "a"} - {""} <= set(ids)


def test_classify_writes_a_page(tmp_path: Path) -> None:
    index = shared_sample()[1] / "demo.h5"
    run(
        "classify", "-i", index, "--collection", STRONG, "--by", "works", "--placebo", "placebo *", "--resamples", 99,
        "--report", tmp_path / "new" / "page.html",
    )  # fmt: skip
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    Page(html)
    assert "Nearest by works" in html and "Nearer to the artist" not in html and "Every artist" in html
    assert "imindex match" in html and "data-entries" not in html
    with Index(index) as opened:
        assert opened.root_digest in html


def test_tests_of_the_paper_stand_beside_those_of_the_report(report: Report) -> None:
    plain = page(report, None)
    assert "Casper et al. 2023, beside" not in plain
    html = page(assemble(replace(shared_sample()[0], as_paper=True), PROVENANCE), None)
    Page(html)
    assert html.count("By the tests of Casper et al. 2023, beside those of this report") == len(
        report.results
    )
    assert "It assumes that works of one artist resemble each other no more" in html


def test_compare_writes_a_page(tmp_path: Path) -> None:
    index = shared_sample()[1] / "demo.h5"
    words = ("compare", WEAK, STRONG, "-i", index, "--no-names", "--resamples", 99, "--fail-if", "auc > 2")
    run(*words, "--report", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = Page(html)
    assert f"From {WEAK} to {STRONG}, the mean AUC of" in html and "Change of the AUC" in html
    assert (
        "A comparison alone, not the report of an audit." in html
        and "Demonstration encoder: not for evidence." in html
    )
    assert 'id="review"' not in html and "auc &gt; 2" in html and "could be read" not in html
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert {(a.get("href") or "#")[1:] for tag, a in parsed.elements if tag == "a"} - {""} <= set(ids)


def test_a_page_shows_no_picture_but_those_that_the_index_records(tmp_path: Path) -> None:
    """The paths in an index from somebody else may name any file; its digest is not known from outside."""
    sample = shared_sample()[1]
    shutil.copytree(sample, tmp_path / "sent")
    index, private = tmp_path / "sent/demo.h5", tmp_path / "private.png"
    picture(77).save(private)
    assert Thumbnails(tmp_path, 1).get("private.png") is not None
    options = ("--no-tests", "--report", tmp_path / "page.html")
    for known in (False, True):
        with Index(index) as opened:
            contents, vectors = opened.contents(), np.array(opened.vectors)
        paths, digests = contents.items["path"].copy(), contents.items["sha256"].copy()
        paths[:] = str(private)
        digests[:] = np.frombuffer(hashlib.sha256(private.read_bytes() if known else b"").digest(), np.uint8)
        items = {**contents.items, "path": paths, "sha256": digests}
        write_index(
            index, dataclasses.replace(contents, items=items), [vectors], ann=exact.describe(),
            ann_data=exact.exact_header(*vectors.shape), entry=entry("", "", contents.log[-1]["digest-after"]),
        )  # fmt: skip
        run("match", "-i", index, "--collection", STRONG, *options)
        html = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert ("data:image/webp" in html) == known
