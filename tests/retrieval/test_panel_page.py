"""The page of a panel in a real Chromium: answering by mouse, keys and touch, going back, resuming, saving."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from imindex.retrieval.panel.answers import answers_digest, read_answers
from imindex.retrieval.panel.evaluate import evaluate
from imindex.retrieval.panel.page import page
from imindex.retrieval.panel.result_page import result_page
from imindex.retrieval.results import PanelAnswers, PanelKey, from_json
from tests.support.browser import DESKTOP, LOOKS, PHONE, Browser
from tests.support.panels import answer, attentive, guessing, invented_key

WAIT = 260
"""Milliseconds after which a question takes an answer."""


@pytest.fixture(scope="module")
def key() -> PanelKey:
    return invented_key()


@pytest.fixture(scope="module")
def file(key: PanelKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = {}
    for number, one in enumerate(key.pictures):
        out = io.BytesIO()
        Image.new("RGB", (key.side, key.side), (number * 7 % 256, number * 31 % 256, 120)).save(out, "WEBP")
        pictures[one.id] = out.getvalue()
    path = tmp_path_factory.mktemp("pages") / "rater-01.html"
    path.write_bytes(page(key, key.sheets[0], pictures))
    return path


def begin(browser: Browser, file: Path, **window: object) -> None:
    browser.open(file.as_uri(), **window)  # type: ignore[arg-type]
    browser.run("localStorage.clear()")
    browser.open(file.as_uri(), **window)  # type: ignore[arg-type]
    browser.wait_for("#intro")
    assert not browser.find("#begin").is_enabled()
    browser.click("#agree")
    browser.click("#begin")
    at(browser, 1)


def at(browser: Browser, number: int) -> None:
    browser.wait_for_text("#count", f"Question {number} of")
    browser.run("const end = performance.now() + arguments[0]; while (performance.now() < end);", WAIT)
    browser.wait(lambda: not browser.find_all(".chosen"), "the question")


def saved(browser: Browser) -> PanelAnswers:
    """Return what the page writes, as the copied text has it."""
    browser.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.click("#copy")
    text = str(browser.wait(lambda: browser.run("return document.getElementById('text').value"), "the text"))
    assert browser.evaluate("navigator.clipboard.readText()") == text
    return from_json(PanelAnswers, text)


def answer_all(browser: Browser, key: PanelKey, start: int = 1) -> None:
    """Answer the rest by keys, always on the left, without waiting in the test between questions."""
    n = len(key.sheets[0].shown)
    for number in range(start, n + 1):
        at(browser, number)
        browser.press("ARROW_LEFT")
    browser.wait_for("#end")


def test_a_rater_answers_by_mouse_and_keys_goes_back_and_saves(
    browser: Browser, file: Path, key: PanelKey, tmp_path: Path
) -> None:
    begin(browser, file, **DESKTOP)
    browser.click("#left")
    at(browser, 2)
    browser.click("#right")
    at(browser, 3)
    browser.press("ARROW_RIGHT")
    at(browser, 4)
    browser.press("BACKSPACE")
    at(browser, 3)
    answer_all(browser, key, 3)
    browser.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.click("#save")
    name = "answers-01-"
    path = browser.wait(lambda: next(iter(tmp_path.glob(f"{name}*.json")), None), "the download")
    (read,) = read_answers(key, [path])
    n = len(key.sheets[0].shown)
    assert [one.side for one in read.answers.answers] == ["left", "right", *["left"] * (n - 2)]
    assert all(WAIT <= one.ms < 60_000 for one in read.answers.answers)
    assert read.answers.rater in path.name and saved(browser) == read.answers
    evaluated = evaluate(key, [read.answers]).raters[0]
    assert evaluated.n_answers == n and evaluated.left == pytest.approx((n - 1) / n)


def test_the_digest_of_the_page_is_that_of_python(browser: Browser, file: Path, key: PanelKey) -> None:
    begin(browser, file)
    for number in range(1, 5):  # texts of several lengths
        browser.press("ARROW_LEFT")
        at(browser, number + 1)
        browser.click("#stop")
        answers = saved(browser)
        assert len(answers.answers) == number and answers.digest == answers_digest(answers)
        browser.click("#resume")
        at(browser, number + 1)


def test_a_page_resumes_where_it_was_left_and_forgets_if_asked(browser: Browser, file: Path) -> None:
    begin(browser, file)
    browser.press("ARROW_LEFT")
    at(browser, 2)
    browser.open(file.as_uri())
    at(browser, 2)
    browser.click("#stop")
    first = saved(browser)
    browser.open(file.as_uri())
    browser.wait_for("#end")
    browser.click("summary")
    browser.click("#delete")
    browser.wait_for("#intro")
    assert not browser.find("#begin").is_enabled()
    browser.open(file.as_uri())
    browser.wait_for("#intro")
    browser.click("#agree")
    browser.click("#begin")
    at(browser, 1)
    browser.click("#stop")
    assert saved(browser).rater != first.rater and not saved(browser).answers


def test_accidental_clicks_do_not_count_twice(browser: Browser, file: Path) -> None:
    begin(browser, file)
    browser.run("const one = document.getElementById('left'); one.click(); one.click(); one.click();")
    at(browser, 2)
    browser.click("#stop")
    assert len(saved(browser).answers) == 1


def test_sides_on_the_page_are_those_of_the_key(browser: Browser, file: Path, key: PanelKey) -> None:
    begin(browser, file)
    pictures = json.loads(browser.run("return document.getElementById('data').textContent"))["pictures"]
    for number, one in enumerate(key.sheets[0].shown[:4], 1):
        at(browser, number)
        trial = key.trials[one.trial]
        left = trial.a if one.left == "a" else trial.b
        source = str(browser.find("#left-picture").get_attribute("src"))
        assert source == f"data:image/webp;base64,{pictures[left]}"
        assert base64.b64decode(pictures[left])
        assert len(browser.find_all("#works img")) == len(trial.works)
        assert {browser.find(f"#{side}-picture").get_attribute("alt") for side in ("left", "right")} == {
            "First picture", "Second picture",
        }  # fmt: skip
        browser.press("ARROW_RIGHT")


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_accessible_and_fits_in_every_window(browser: Browser, file: Path, look: str) -> None:
    window = LOOKS[look]
    browser.open(file.as_uri(), **window)
    browser.run("localStorage.clear()")
    browser.open(file.as_uri(), **window)
    assert browser.accessibility() == []
    begin(browser, file, **window)
    assert browser.accessibility() == []
    wide, inner = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= inner
    boxes = browser.run(
        "return [...document.querySelectorAll('#trial img')].map((one) => { const b = one.getBoundingClientRect();"
        " return [b.width, b.height, b.bottom]; })"
    )
    assert all(abs(width - height) < 1 and bottom <= window["height"] for width, height, bottom in boxes), (
        boxes
    )
    browser.click("#stop")
    assert browser.accessibility() == []


def test_a_phone_answers_by_touch(browser: Browser, file: Path) -> None:
    begin(browser, file, **PHONE)
    x, y = browser.centre("#right")
    browser.cdp("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    at(browser, 2)
    browser.click("#stop")
    assert [one.side for one in saved(browser).answers] == ["right"]


def test_nothing_is_requested_from_outside(browser: Browser, file: Path) -> None:
    begin(browser, file)
    assert {one.split(":")[0] for one in browser.requests()} <= {"file", "data", "about"}


def test_the_result_page_is_accessible(browser: Browser, key: PanelKey, tmp_path: Path) -> None:
    answers = [*(answer(key, n, attentive(0.9)) for n in (1, 2, 3)), answer(key, 4, guessing)]
    path = tmp_path / "result.html"
    path.write_text(result_page(evaluate(key, answers)), encoding="utf-8")
    for window in (DESKTOP, PHONE):
        browser.open(path.as_uri(), **window)
        assert browser.accessibility() == []
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert "Krippendorff" in browser.text("main")
