"""The pages Artists, Artist, Audits, Audit and Compare in a real Chromium."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imindex.indexer.demo.artists import NAMES
from imindex.retrieval.report.text import MEANING
from tests.support.browser import LOOKS, Browser, Served, serving

READY = "#main[data-ready]"
ARTIST = NAMES[0]


@pytest.fixture(scope="module")
def audits(audited_once: Path) -> Iterator[Served]:
    with serving("--audit", audited_once, "--device", "cpu") as served:
        yield served


def opened(browser: Browser, url: str, **look: object) -> None:
    browser.open(url, **look)  # type: ignore[arg-type]
    browser.wait_for(READY)


def report(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "plan-audit/report.json").read_text())
    return found


def test_artists_are_listed_with_the_findings_of_the_report(
    browser: Browser, audits: Served, audited_once: Path
) -> None:
    opened(browser, f"{audits.url}/artists?arm=own")
    rows = {
        row.find_element("css selector", "th").text: row.text for row in browser.find_all("#list tbody tr")
    }
    assert set(rows) == set(NAMES[:4])
    for result in report(audited_once)["results"]:  # type: ignore[attr-defined]
        for one in result["artists"]:
            assert one["finding"] in rows[one["artist"]]
    browser.type("#search", ARTIST.split()[-1])
    browser.wait(lambda: len(browser.find_all("#list tbody tr")) == 1, "one artist")
    assert "search=" in browser.url
    browser.click("#list tbody a")
    browser.wait_for("#name")
    assert browser.wait_for_text("#name", ARTIST)


def test_an_artist_with_works_imitations_findings_and_a_slider(
    browser: Browser, audits: Served, audited_once: Path
) -> None:
    opened(browser, f"{audits.url}/artist?name={ARTIST}")
    assert browser.text("#works h2") == "6 works"
    assert [one.text for one in browser.find_all("#imitations h3")] == [
        "early: 3 pictures",
        "final: 4 pictures",
    ]
    findings = browser.text("#findings")
    for result in report(audited_once)["results"]:  # type: ignore[attr-defined]
        (one,) = (row for row in result["artists"] if row["artist"] == ARTIST)
        assert one["finding"] in findings and f"{one['auc']:.2f}" in findings
    browser.click("#findings summary")
    occurring = next(iter(report(audited_once)["results"]))["artists"][0]["finding"]  # type: ignore[call-overload]
    assert MEANING[occurring][:60] in browser.text("#findings")
    slider = browser.find("#beside input[type=range]")
    browser.run("arguments[0].focus()", slider)
    browser.press("ARROW_RIGHT", "ARROW_RIGHT")
    assert slider.get_attribute("aria-valuetext").startswith("52 %")
    clip = "document.querySelector('#beside .stage .layer:nth-child(2)').style.clipPath"
    assert "48%" in browser.evaluate(clip)
    assert browser.find_all("#ranks figure")


def test_a_candidate_is_confirmed_by_name_and_shown(browser: Browser, audited: Path) -> None:
    with serving("--audit", audited, "--device", "cpu") as service:
        opened(browser, f"{service.url}/audit?audit=plan-audit")
        register = audited / "plan-audit/register.jsonl"
        before = register.read_text()
        pair = "#candidates .pair[data-picture$='same.png']"
        assert len(browser.find_all("#candidates .pair")) >= 2 and "Nobody has decided" in browser.text(pair)
        browser.click(f"{pair} .confirm")
        assert "Write whose it is" in browser.wait_for_text(f"{pair} .problem", "name")
        assert register.read_text() == before
        browser.type(f"{pair} input[name=by]", "A. Expert")
        browser.type(f"{pair} input[name=note]", "the very work")
        browser.click(f"{pair} .confirm")
        browser.wait_for_text(f"{pair} .state", "confirmed as a copy, by A. Expert")
        entry = json.loads(register.read_text().splitlines()[-1])
        assert entry["decision"]["decided"] == "confirmed" and entry["decision"]["by"] == "A. Expert"
        assert entry["decision"]["note"] == "the very work" and register.read_text().startswith(before)
        browser.click(f"{pair} .reject")
        browser.wait_for_text(f"{pair} .state", "rejected")
        assert len(browser.find_all(f"{pair} .history li")) == 2


def test_an_audit_at_work_and_a_changed_picture_are_said(browser: Browser, audited: Path) -> None:
    with serving("--audit", audited, "--device", "cpu") as service:
        opened(browser, f"{service.url}/audit?audit=plan-audit")
        pair = "#candidates .pair[data-picture$='same.png']"
        browser.type(f"{pair} input[name=by]", "A. Expert")
        browser.expect("409")
        with (audited / "plan-audit/.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            browser.click(f"{pair} .confirm")
            browser.wait_for_text(f"{pair} .problem", "in use")
        picture = audited / "imitations/final" / ARTIST / "same.png"
        picture.write_bytes((audited / "works" / ARTIST / "3.png").read_bytes())
        browser.click(f"{pair} .confirm")
        browser.wait_for_text(f"{pair} .problem", "has changed")


def test_audits_are_listed_with_their_state(browser: Browser, audited: Path) -> None:
    edited = audited / "edited"
    edited.mkdir()
    for name in ("register.jsonl", "report.json"):
        (edited / name).write_bytes((audited / "plan-audit" / name).read_bytes())
    text = (edited / "report.json").read_text()
    (edited / "report.json").write_text(text.replace('"title": "Two', '"title": "Three'))
    with serving("--audit", audited, "--device", "cpu") as service:
        opened(browser, f"{service.url}/audits")
        assert "edited" in browser.text("[data-audit=edited]") and "digest is wrong" in browser.text(
            "[data-audit=edited]"
        )
        assert "finished" in browser.text("[data-audit=plan-audit]")
        assert service.get("/api/v1/audits/edited/report")[0] == 409
        late = audited / "late"
        late.mkdir()
        (late / "register.jsonl").write_bytes((audited / "plan-audit/register.jsonl").read_bytes())
        browser.wait(lambda: b'"late"' in service.get("/api/v1/audits")[1], "a new audit", timeout=10)
        opened(browser, f"{service.url}/audits")
        assert "not finished" in browser.text("[data-audit=late]")


def test_the_report_opens_and_runs_by_itself(browser: Browser, audits: Served) -> None:
    opened(browser, f"{audits.url}/audit?audit=plan-audit")
    browser.click("#about a")
    browser.wait_for("h1")
    assert "Two drawn releases" in browser.text("h1")
    # It runs in an origin of its own, so its scripts reach nothing of the service.
    assert browser.evaluate("window.origin") == "null"


def test_two_releases_are_compared(browser: Browser, audits: Served) -> None:
    opened(browser, f"{audits.url}/audits")
    browser.run("document.querySelector('select[name=new]').value = 'plan-audit:final'")
    browser.type("input[name=fail_if]", "auc.beyond.low > 0.9")
    browser.click("#choose button")
    assert "From early to final, the mean AUC" in browser.wait_for_text("#answer .set", "the mean AUC")
    assert browser.find("#answer .verdicts li").get_attribute("class") in ("passed", "undecided")
    assert len(browser.find_all("#answer tbody tr")) == 4
    browser.expect("422")
    browser.type("input[name=fail_if]", "luck > 0")
    browser.click("#choose button")
    browser.wait_for_text("#answer .problem", "luck")


PAGES = {
    "home": "/", "artists": "/artists", "artist": f"/artist?name={ARTIST}", "audits": "/audits",
    "audit": "/audit?audit=plan-audit", "compare": "/compare?base=plan-audit:early&new=plan-audit:final",
}  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_accessible_and_never_wider_than_the_window(
    browser: Browser, audits: Served, name: str, look: str
) -> None:
    opened(browser, f"{audits.url}{PAGES[name]}", **LOOKS[look])
    assert browser.accessibility() == [] and not browser.scrolls_sideways()
