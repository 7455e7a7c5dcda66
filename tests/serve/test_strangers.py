"""What a stranger put into an index or an audit is text on every page, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import imindex
from imindex.indexer.demo.artists import NAMES, draw
from tests.support.browser import Browser, serving

EVIL = '<img src=x onerror="document.title=1">'
NAME = f"{EVIL} & 'Ada' \u202egnp.exe {{{{7*7}}}}"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """An index whose artist, prompt, collection and captions are markup, and whose paths are odd."""
    lines = []
    for number in range(6):
        for kind, collection in (("works", "works"), ("imitations", f"r {EVIL}")):
            path = tmp_path / f"{kind}-{number}.png"
            draw(NAMES[number % 2], seed=number, size=64).save(path)
            lines.append({
                "path": path.name, "artist": NAME if number % 2 else "javascript:alert(1)", "kind": kind,
                "collection": collection, "prompt": f"Artwork from {NAME}", "caption": EVIL,
            })  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(one) for one in lines))
    imindex.build(tmp_path / "m.jsonl", tmp_path / "evil.h5", model="demo", device="cpu", precision="fp32")
    with imindex.open(tmp_path / "evil.h5") as index:
        index.projection(method="pca")
    return tmp_path / "evil.h5"


def test_hostile_names_are_text_on_every_page(browser: Browser, hostile: Path) -> None:
    with serving("-i", hostile, "--device", "cpu") as service:
        pages = {
            "/": "#indexes .tile", "/ask?row=0": ".answer .card", f"/ask?text={EVIL}": ".answer .card",
            "/artists": "tbody tr", "/map?colour=release": "#main[data-ready]",
            "/artist?name=javascript:alert(1)": "#works .card", f"/artist?name={EVIL}": ".problem",
            "/sign-in?next=javascript:alert(1)": "#token",
        }  # fmt: skip
        for path, selector in pages.items():
            browser.expect("404|classify.*422")  # names of many words are refused as texts
            browser.open(f"{service.url}{path}")
            browser.wait_for(selector)
            assert browser.evaluate("document.title") != "1", path
            assert not browser.find_all("img[src='x']"), path
            assert not browser.find_all("a[href^='javascript:']"), path
        browser.open(f"{service.url}/artists")
        browser.wait_for("tbody tr")
        assert EVIL in browser.text("#list") and "{{7*7}}" in browser.text("#list")


def test_a_hostile_report_is_a_state_and_not_a_page(audited: Path) -> None:
    report = audited / "plan-audit/report.json"
    for text in ("{", "[]", '{"digest": 1}', '{"a": ' * 5000, "null", '{"releases": [{"name": "x"}]}'):
        report.write_text(text)
        with serving("--audit", audited, "--device", "cpu") as service:
            status, data = service.get("/api/v1/audits")
            (one,) = json.loads(data)["audits"]
            assert status == 200 and one["state"] in ("edited", "unreadable"), text[:20]
            for path in (
                "report",
                "candidates",
                f"artists/{NAMES[0].replace(' ', '%20')}",
                "files/report.json",
            ):
                assert service.get(f"/api/v1/audits/plan-audit/{path}")[0] == 409, (text[:20], path)
            assert service.get("/api/v1/compare?base=plan-audit:early&new=plan-audit:final")[0] == 409
            assert "Traceback" not in service.log.read_text()


def test_no_folder_of_this_machine_is_in_an_answer(audited: Path) -> None:
    with serving("--audit", audited, "--device", "cpu") as service:
        for path in (
            "/api/v1/indexes", "/api/v1/audits", "/api/v1/audits/plan-audit/candidates", "/api/v1/nothing",
            "/api/v1/compare?base=plan-audit:early&new=plan-audit:final", "/api/v1/indexes/x/query?row=0",
        ):  # fmt: skip
            assert str(audited) not in service.get(path)[1].decode(), path
        index = json.loads(service.get("/api/v1/indexes")[1])["indexes"][0]["id"]
        for query in ("row=0", "text=a", "row=-1", "collection=x&row=0", "artist=x&row=0"):
            assert str(audited) not in service.get(f"/api/v1/indexes/{index}/query?{query}")[1].decode(), (
                query
            )
        for picture in (audited / "works").rglob("*.png"):
            picture.unlink()
        status, data = service.get(f"/api/v1/indexes/{index}/rows/0/picture")
        assert status == 404 and str(audited) not in data.decode()
