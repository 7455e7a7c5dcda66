"""The fixture `browser` finds what it promises to find, and its mouse, files and networks are real."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.browser import PHONE, SLOW, Browser, serving
from tests.support.pictures import picture

PAGE = """<!doctype html><html lang="en"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><main><h1>A page</h1>
<div id="drop" tabindex="0" style="width: 200px; height: 100px; background: #ddd">Drop here</div>
<p id="said"></p><canvas id="canvas" width="10" height="10"></canvas></main>
<script>
const said = (text) => { document.getElementById('said').textContent = text; };
const drop = document.getElementById('drop');
drop.addEventListener('dragover', (event) => event.preventDefault());
drop.addEventListener('drop', async (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    const sizes = await Promise.all(files.map(async (file) => (await file.arrayBuffer()).byteLength));
    said(files.map((file, number) => `${file.name} ${sizes[number]}`).join(', '));
});
document.addEventListener('paste', (event) => said(
    [...event.clipboardData.files].map((file) => `${file.type} ${file.size > 0}`).join(', ')));
const path = [];
drop.addEventListener('mousemove', (event) => { if (event.buttons === 1) path.push(event.offsetX); });
drop.addEventListener('mouseup', () => said(`dragged over ${path.length}`));
</script></html>"""
POOR = '<!doctype html><html><title></title><img src="data:,"><button></button></html>'


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = {"/": PAGE, "/poor": POOR, "/large": "x" * SLOW}
        body = pages.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_without_errors_has_no_problems(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    browser.open(url)
    assert browser.problems() == [] and f"{url}/" in browser.requests()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('a mistake')", "a mistake"),
        ("setTimeout(() => { throw new Error('thrown later'); })", "thrown later"),
        ("Promise.reject(new Error('rejected'))", "rejected"),
        ("fetch('/no-such-page')", "404"),
        ("fetch('http://example.org/').catch(() => 0)", "request outside 127.0.0.1: http://example.org/"),
        (
            "new Image().src = 'https://93.184.216.34/a.png'",
            "request outside 127.0.0.1: https://93.184.216.34",
        ),
        ("new WebSocket('ws://localhost:1/')", "request outside 127.0.0.1: ws://localhost:1/"),
    ],
)
def test_an_error_or_outside_request_is_a_problem(
    browser: Browser, url: str, script: str, problem: str
) -> None:
    browser.expect("favicon")
    browser.open(url)
    browser.run(script)
    browser.wait(lambda: any(problem in one for one in browser.problems()), problem, timeout=10)
    browser.expect(".")
    assert browser.problems() == []


def test_problems_do_not_reach_the_next_test(browser: Browser) -> None:
    assert browser.problems() == [] and browser.requests() == []


def test_accessibility_findings_name_place_and_reason(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    browser.open(url)
    assert browser.accessibility() == []
    browser.open(f"{url}/poor")
    found = browser.accessibility()
    for rule in ("image-alt", "button-name", "html-has-lang", "document-title"):
        assert any(rule in one for one in found), found
    assert browser.accessibility("button") == [one for one in found if "button-name" in one]


def test_files_are_dropped_and_pasted(browser: Browser, url: str, tmp_path: Path) -> None:
    browser.expect("favicon")
    first, second = tmp_path / "a.png", tmp_path / "b.jpg"
    picture(1).save(first)
    picture(2).save(second)
    browser.open(url)
    browser.drop("#drop", first, second)
    sizes = [path.stat().st_size for path in (first, second)]
    browser.wait_for_text("#said", f"a.png {sizes[0]}, b.jpg {sizes[1]}")
    browser.paste(second)
    browser.wait_for_text("#said", "image/png true")


def test_the_mouse_is_dragged(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    browser.open(url)
    x, y = browser.centre("#drop")
    browser.drag([(x + step, y) for step in range(0, 50, 10)])
    browser.wait_for_text("#said", "dragged over 4")


def test_windows_and_schemes_are_emulated(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    matches = "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, navigator.maxTouchPoints > 0]"
    browser.open(url)
    assert browser.run(matches) == [1280, False, False]
    browser.open(url, **PHONE, scheme="dark")
    assert browser.run(matches) == [390, True, True]


def test_a_page_is_looked_at_in_four_ways(browser: Browser, url: str, tmp_path: Path) -> None:
    browser.expect("favicon")
    paths = browser.looks(url, "main", tmp_path, "page")
    assert [path.stem for path in paths] == ["page-light", "page-dark", "page-phone", "page-focus"]
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes[0] == sizes[1] == (1280, 900) and sizes[2][0] == 390
    assert not browser.scrolls_sideways()
    browser.run("document.querySelector('main').style.width = '3000px'")
    assert browser.scrolls_sideways()


def test_webgl_draws_without_a_graphics_card(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    browser.open(url)
    script = """
        const gl = document.getElementById('canvas').getContext('webgl2', {preserveDrawingBuffer: true});
        gl.clearColor(0, 1, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT);
        const pixel = new Uint8Array(4); gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
        return [...pixel];"""
    assert browser.run(script) == [0, 255, 0, 255]


def test_networks_are_slow_or_absent(browser: Browser, url: str) -> None:
    browser.expect("favicon")
    browser.open(url)
    read = f"fetch('{url}/large', {{cache: 'no-store'}}).then(one => one.text()).then(text => text.length)"
    browser.network(latency=0.2, bytes_per_second=SLOW)
    begun = time.monotonic()
    assert browser.evaluate(read) == SLOW
    assert time.monotonic() - begun > 0.9
    browser.network(offline=True)
    assert "Failed to fetch" in browser.evaluate(read)
    browser.expect("ERR_INTERNET_DISCONNECTED")
    browser.network()
    browser.wait(lambda: browser.evaluate(read) == SLOW, "the network to come back")  # it takes a moment


def test_a_service_starts_is_lost_and_starts_again(built: Path) -> None:
    with serving("-i", built, "--trust-encoder", "--device", "cpu") as served:
        assert served.get("/healthz")[0] == 200
        served.kill()
        with pytest.raises(OSError):
            served.get("/healthz")
        served.start_again()
        assert served.get("/healthz")[0] == 200
        assert served.stop() in (0, 130)


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"none\.h5"), serving("-i", tmp_path / "none.h5"):
        pass
