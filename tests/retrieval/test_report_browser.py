"""The report in a headless Chromium: no errors or requests, sortable, and legible on a phone and in dark mode."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.report import write
from tests.support.browser import Browser
from tests.support.report_sample import HOSTILE, shared_report, shared_sample

SORTED = """
const headed = (table) => [...table.tHead.rows[1].cells].find(one => one.textContent.trim() === arguments[0]);
const table = [...document.querySelectorAll('table.artists')].find(headed);
const th = table.tHead.rows[1].cells, head = headed(table);
head.querySelector('button').click();
const skipped = [...th].slice(0, head.cellIndex).reduce((sum, one) => sum + one.colSpan, 0);
const rows = [...table.tBodies[0].rows];
return [head.getAttribute('aria-sort'), rows.map(row => row.cells[skipped].dataset.v)];
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(shared_report(), tmp_path_factory.mktemp("page"), base=shared_sample()[1])[0].as_uri()


@pytest.fixture(scope="module")
def browser(chromium: Browser) -> Any:
    chromium.reset()
    return chromium.driver


def open_page(browser: Any, url: str, width: int = 1280, scheme: str = "light") -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")  # or the driver may take the page that is there already for the new one
    browser.get(url)
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return document.readyState") == "complete")


def test_page_logs_nothing_and_makes_no_requests(browser: Any, url: str) -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    open_page(browser, url)
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.get_log("browser") == []
    asked = [
        line["message"] for line in browser.get_log("performance") if "requestWillBeSent" in line["message"]
    ]
    assert asked and not any('"url":"http' in message for message in asked)
    names = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith("data:") for name in names)
    broken = "return [...document.images].filter(one => one.complete && !one.naturalWidth).length"
    assert (
        browser.execute_script(broken) == 0 and browser.execute_script("return document.images.length") > 50
    )


def test_other_scripts_are_blocked(browser: Any, url: str) -> None:
    open_page(browser, url)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s);"
    )
    assert browser.execute_script("return window.hacked") is None
    browser.get_log("browser")


@pytest.mark.parametrize("column", ["AUC", "rival", "Accuracy", "Works"])
def test_numbers_sort_both_ways_and_gaps_come_last(browser: Any, url: str, column: str) -> None:
    open_page(browser, url)
    rising, first = browser.execute_script(SORTED, column)
    falling, second = browser.execute_script(SORTED, column)
    assert (rising, falling) == ("ascending", "descending")
    known = [float(value) for value in first if value]
    assert known == sorted(known)
    assert [float(value) for value in second if value] == sorted(known, reverse=True)
    for values in (first, second):
        assert all(values[: len(known)]) and not any(values[len(known) :])


def test_names_sort_and_all_rows_stay(browser: Any, url: str) -> None:
    open_page(browser, url)
    before = browser.execute_script(SORTED, "Finding")[1]
    _, rising = browser.execute_script(SORTED, "Artist")
    _, falling = browser.execute_script(SORTED, "Artist")
    assert falling == rising[::-1] and len(rising) == len(before) == 13
    plain = [name for name in rising if name[0].isascii() and name[0].isalpha()]
    assert plain == sorted(plain, key=str.lower)
    selector = "table.artists [aria-sort=ascending], table.artists [aria-sort=descending]"
    first = f"document.querySelector('table.artists').querySelectorAll('{selector}').length"
    marked = browser.execute_script(f"return {first}")
    assert marked == 1


def test_headers_sort_by_keyboard(browser: Any, url: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    open_page(browser, url)
    button = browser.find_elements(By.CSS_SELECTOR, "table.artists th button")[0]
    browser.execute_script("arguments[0].focus()", button)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert button.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"


def test_malicious_names_are_harmless(browser: Any, url: str) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    open_page(browser, url)
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()
    cells = "return [...document.querySelectorAll('table.artists')[0].tBodies[0].rows].map(r => r.cells[0].textContent)"
    names = browser.execute_script(cells)
    assert {shown(name) for name in HOSTILE} <= set(names)
    assert browser.execute_script("return document.scripts.length") == 1


def test_a_link_to_an_artist_opens_the_pictures(browser: Any, url: str) -> None:
    open_page(browser, url)
    link = "document.querySelectorAll('table.artists tbody th a')[3]"
    browser.execute_script(f"{link}.click()")
    opened = f"return document.getElementById({link}.hash.slice(1)).open"
    assert browser.execute_async_script(
        f"const done = arguments[0]; setTimeout(() => {{ done((() => {{ {opened} }})()); }}, 50)"
    )


@pytest.mark.parametrize("width", [390, 768, 1280, 1800])
def test_the_page_never_scrolls_sideways(browser: Any, url: str, width: int) -> None:
    open_page(browser, url, width)
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_dark_theme_is_dark_and_legible(browser: Any, url: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        open_page(browser, url, scheme=scheme)
        colours = browser.execute_script(
            "const s = getComputedStyle(document.body), t = getComputedStyle(document.querySelector('svg text'));"
            "return [s.backgroundColor, s.color, t.fill, getComputedStyle(document.querySelector('.note')).color]"
        )
        paper, *inks = (_luminance(colour) for colour in colours)
        seen[scheme] = paper
        for ink in inks:
            assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5  # WCAG AA
    assert seen["dark"] < 0.05 < 0.8 < seen["light"]


def test_pictures_enlarge_by_keyboard_and_focus_returns(browser: Any, url: str) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, url)
    browser.get_log("performance")
    browser.execute_script("document.querySelector('details.artist[open] .zoom').focus()")
    opener = browser.switch_to.active_element
    opener.send_keys(Keys.ENTER)
    shown_now = "const d = document.querySelector('dialog.viewer'); return d !== null && d.open"
    assert browser.execute_script(shown_now)
    sizes = (
        "return [...document.querySelectorAll('.viewer img')].map(one => one.getBoundingClientRect().width)"
    )
    small = browser.execute_script("return arguments[0].getBoundingClientRect().width", opener)
    assert len(browser.execute_script(sizes)) == 2 and min(browser.execute_script(sizes)) > 2 * small
    alts = browser.execute_script("return [...document.querySelectorAll('.viewer img')].map(one => one.alt)")
    assert alts[0].startswith("A work by") and alts[1].startswith("The nearest picture")
    words = "return document.querySelector('.viewer-words').textContent"
    before = browser.execute_script(words)
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script(words) != before
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert browser.execute_script(words) == before
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.execute_script(shown_now)
    assert browser.switch_to.active_element == opener
    asked = [line["message"] for line in browser.get_log("performance")]
    assert not any('"url":"http' in message for message in asked) and browser.get_log("browser") == []


def test_artists_are_filtered_by_name_and_finding(browser: Any, url: str) -> None:
    open_page(browser, url)
    visible = (
        "return [...document.querySelector('table.artists').tBodies[0].rows].filter(r => r.offsetParent !== null)"
        ".map(r => [r.cells[0].textContent, r.dataset.finding])"
    )
    entries = (
        "const all = [...document.querySelectorAll('#r0-galleries .entry')];"
        "return all.filter(e => getComputedStyle(e).display !== 'none').length"
    )
    every = browser.execute_script(visible)
    assert len(every) == 13 == browser.execute_script(entries)
    fill = (
        "const bar = document.querySelector('.filter'); const one = bar.querySelector(arguments[0]);"
        "one.value = arguments[1]; one.dispatchEvent(new Event('input'));"
        "return bar.querySelector('.shown').textContent"
    )
    said = browser.execute_script(fill, "input", " SCRIPT")
    rows = browser.execute_script(visible)
    assert [name for name, _ in rows] == [name for name, _ in every if "script" in name.lower()] and rows
    assert said == f"{len(rows)} of 13 artists" and browser.execute_script(entries) == len(rows)
    assert browser.execute_script(fill, "input", "") == ""
    finding = every[0][1]
    browser.execute_script(fill, "select", finding)
    rows = browser.execute_script(visible)
    assert rows == [row for row in every if row[1] == finding] and len(rows) < 13
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(browser.execute_script(visible)) == 13  # what is printed is whole
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})


def test_contents_stay_in_sight_and_name_the_section(browser: Any, url: str) -> None:
    open_page(browser, url)
    current = "return document.querySelector('nav.contents [aria-current]').hash"
    assert browser.execute_script(current) == "#answer"
    script = (
        "const done = arguments[0]; document.querySelector('nav a[href=\"#limits\"]').click();"
        "requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => done("
        "document.querySelector('nav.contents').getBoundingClientRect().top))))"
    )
    assert abs(browser.execute_async_script(script)) < 1
    assert browser.execute_script(current) == "#limits"
    top = browser.execute_script("return document.getElementById('limits').getBoundingClientRect().top")
    nav = browser.execute_script(
        "return document.querySelector('nav.contents').getBoundingClientRect().bottom"
    )
    assert top >= nav - 1  # the contents do not cover the heading


def test_wide_tables_say_that_they_scroll(browser: Any, url: str) -> None:
    seen = (
        "return [...document.querySelectorAll('.scroll')].filter(b => b.offsetParent && b.clientWidth)"
        ".map(b => [b.scrollWidth > b.clientWidth + 1, !b.previousElementSibling.hidden])"
    )
    for width in (390, 1800):
        open_page(browser, url, width)
        browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
        browser.execute_async_script("const done = arguments[0]; setTimeout(done, 300)")
        boxes = browser.execute_script(seen)
        assert boxes and all(wider == said for wider, said in boxes)
        assert width > 390 or any(wider for wider, _ in boxes)


def _luminance(colour: str) -> float:
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_print_view_expands_all_sections(browser: Any, url: str, tmp_path: Path) -> None:
    open_page(browser, url)
    shut = "return document.querySelectorAll('details:not([open])').length"
    before = browser.execute_script(shut)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    data = base64.b64decode(printed["data"])
    pages = data.count(b"/Type /Page\n") + data.count(b"/Type /Page ")
    assert data.startswith(b"%PDF") and 10 < pages < 30
    assert data.count(b"/Subtype /Image") > 50
    assert browser.execute_script(shut) == before > 20
