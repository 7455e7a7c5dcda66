"""The page Ask in a real Chromium: a picture or a text in, an answer out, and what happens when something fails."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import imindex
from imindex.indexer.demo.artists import NAMES
from tests.support.browser import LOOKS, PHONE, SLOW, Browser, Served, serving

READY = "#main[data-ready]"
CARDS = ".answer .neighbours .card"


def asked(browser: Browser, url: str, **look: object) -> None:
    browser.open(url, **look)  # type: ignore[arg-type]
    browser.wait_for(READY)


def artists(browser: Browser, section: str = "Nearest works") -> list[str]:
    return [one.text for one in browser.find_all(f"section[aria-label='{section}'] .card .who")]


def test_a_dropped_picture_is_answered_as_by_the_library(
    browser: Browser, service: Served, drawn: Path
) -> None:
    picture = drawn / "imitations/early" / NAMES[2] / "51.png"
    with imindex.open(drawn / "audit.h5") as index:
        expected = index.query(picture, k=12).queries[0]
    asked(browser, f"{service.url}/ask")
    browser.drop("#drop", picture)
    browser.wait_for(CARDS)
    assert artists(browser) == [one.artist for one in expected.kinds["works"].pictures]
    scores = [one.text for one in browser.find_all("section[aria-label='Nearest works'] .score")]
    assert scores == [f"{one.cosine:.3f}" for one in expected.kinds["works"].pictures]
    assert browser.find("section[aria-label='Nearest imitations'] .mark").text == "same file"
    shown = [one.text for one in browser.find_all(".plot tbody th")]
    assert expected.attribution and shown == [one.artist for one in expected.attribution.artists]
    assert browser.find(".answer header img").get_attribute("src").startswith("data:image/webp")

    browser.click("section[aria-label='Nearest works'] .who a")
    assert browser.wait(lambda: "/artist?" in browser.url and browser.url)
    assert parse_qs(urlsplit(browser.url).query)["name"] == [expected.kinds["works"].pictures[0].artist]


def test_the_link_opens_the_same_answer_without_the_picture(
    browser: Browser, service: Served, drawn: Path
) -> None:
    asked(browser, f"{service.url}/ask")
    browser.drop("#drop", drawn / "works" / NAMES[1] / "2.png")
    browser.wait_for(CARDS)
    before, link = artists(browser), browser.find(".permalink").get_attribute("href")
    assert browser.url == link
    browser.reset()
    asked(browser, link)
    browser.wait_for(CARDS)
    assert artists(browser) == before and not browser.find_all("#changed:not([hidden])")
    browser.reset()
    root = parse_qs(urlsplit(link).query)["root"][0]
    asked(browser, link.replace(root, "0" * 64))
    browser.wait_for(CARDS)
    assert "has changed since" in browser.text("#changed")


def test_a_text_a_row_and_going_back(browser: Browser, service: Served) -> None:
    asked(browser, f"{service.url}/ask")
    browser.type("#text", f"Artwork from {NAMES[0]}")
    browser.press("ENTER")
    browser.wait_for(CARDS)
    assert "text=Artwork" in browser.url
    assert browser.text(".answer h2") == f'"Artwork from {NAMES[0]}"' and not browser.find_all(".plot")
    browser.click(f"{CARDS} .again")
    browser.wait_for(".answer header .frame img")
    assert "row=" in browser.url
    browser.driver.back()
    assert browser.wait_for_text(".answer h2", "Artwork from")


def test_options_are_in_the_url(browser: Browser, service: Served) -> None:
    asked(browser, f"{service.url}/ask?row=0&k=2&collection=final&confidence=0.8")
    browser.wait_for(CARDS)
    assert [one.get_attribute("aria-label") for one in browser.find_all(".neighbours")] == [
        "Nearest imitations"
    ]
    assert len(browser.find_all(CARDS)) == 2
    browser.click("#collections input[value='final']")
    browser.click("#collections input[value='works']")
    browser.wait_for("section[aria-label='Nearest works']")
    assert "collection=works" in browser.url and "collection=final" not in browser.url


def test_a_pasted_picture_and_several_at_once(browser: Browser, service: Served, drawn: Path) -> None:
    asked(browser, f"{service.url}/ask")
    browser.paste(drawn / "works" / NAMES[0] / "0.png")
    browser.wait_for(CARDS)
    browser.drop("#drop", *(drawn / "works" / name / "1.png" for name in NAMES[:3]))
    browser.wait(lambda: len(browser.find_all(".answer")) == 3, "three answers")


def test_what_cannot_be_read_is_said(browser: Browser, service: Served, tmp_path: Path) -> None:
    bad = tmp_path / "page.png"
    bad.write_text("<script>alert(1)</script>")
    asked(browser, f"{service.url}/ask")
    browser.expect("422")
    browser.drop("#drop", bad)
    assert "page.png" in browser.wait_for_text("#answers .problem", "cannot be read")


def test_limits_are_said_with_their_option(browser: Browser, drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu", "--max-upload", "0.001") as service:
        asked(browser, f"{service.url}/ask")
        browser.expect("413")
        browser.drop("#drop", drawn / "works" / NAMES[0] / "0.png")
        assert "--max-upload" in browser.wait_for_text("#answers .problem", "larger than")


def test_a_lost_server_is_said_and_its_return_is_seen(browser: Browser, drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu") as service:
        asked(browser, f"{service.url}/ask")
        service.kill()
        browser.expect("503|ERR_CONNECTION_REFUSED|Failed to fetch|ERR_EMPTY_RESPONSE")
        browser.type("#text", "a ship")
        browser.press("ENTER")
        assert "cannot be reached" in browser.wait_for_text("#lost", "cannot be reached")
        service.start_again()
        browser.wait_for(CARDS)
        browser.wait(lambda: not browser.find("#lost").is_displayed(), "the banner to go")


def test_a_slow_network_shows_that_it_waits(browser: Browser, service: Served) -> None:
    asked(browser, f"{service.url}/ask")
    browser.network(bytes_per_second=SLOW, latency=1.0)
    browser.type("#text", "a ship")
    browser.press("ENTER")
    browser.wait(lambda: browser.find("#progress").is_displayed(), "the bar")
    browser.wait_for(CARDS, timeout=60)
    browser.network()
    browser.wait(lambda: not browser.find("#progress").is_displayed(), "the bar to go")


def test_keyboard_alone(browser: Browser, service: Served) -> None:
    asked(browser, f"{service.url}/ask")
    browser.press("TAB")
    assert browser.focused().get_attribute("class") == "skip"
    for _ in range(20):
        browser.press("TAB")
        if browser.focused().get_attribute("id") == "text":
            break
    browser.focused().send_keys("a ship")
    browser.press("ENTER")
    browser.wait_for(CARDS)
    assert browser.focused().get_attribute("id") == "answers"
    browser.press("TAB")
    assert browser.focused().get_attribute("class") == "permalink"


def test_a_picture_is_shown_large_and_closed_by_keyboard(browser: Browser, service: Served) -> None:
    asked(browser, f"{service.url}/ask?row=0")
    browser.wait_for(CARDS)
    browser.click(f"{CARDS} a.picture")
    first = browser.wait_for("#large[open] img").get_attribute("src")
    browser.press("ARROW_RIGHT")
    browser.wait(lambda: browser.find("#large img").get_attribute("src") != first, "the next picture")
    browser.press("ESCAPE")
    browser.wait(lambda: not browser.find_all("#large[open]"), "the dialog to close")


@pytest.mark.parametrize("look", LOOKS)
def test_accessible_and_never_wider_than_the_window(browser: Browser, service: Served, look: str) -> None:
    asked(browser, f"{service.url}/ask?row=0", **LOOKS[look])
    browser.wait_for(CARDS)
    assert browser.accessibility() == [] and not browser.scrolls_sideways()


def test_without_pictures(browser: Browser, drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu", "--no-pictures") as service:
        asked(browser, f"{service.url}/ask?row=0", **PHONE)
        browser.wait_for(CARDS)
        assert browser.find_all(f"{CARDS} .gap") and not browser.find_all(f"{CARDS} img")
        assert service.get("/api/v1/indexes/audit/rows/0/picture")[0] == 404
