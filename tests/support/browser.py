"""A real headless Chromium for tests of pages: windows, themes, slow networks, dropped files, and what went wrong.

A test that takes the fixture `browser` fails if a page logged an error, ran a script that threw, broke its content
security policy, or requested anything that is not on 127.0.0.1:

    def test_page(browser: Browser, served: Served) -> None:
        browser.open(f"{served.url}/ask", **PHONE)
        browser.drop("#drop", picture)
        browser.wait_for("#answer li")
        assert browser.accessibility() == []

An error that the test provokes is named before the test ends: `browser.expect("503")`. Without Chromium and its driver
these tests are skipped, except with IMINDEX_REQUIRE_BROWSER=1, where they fail.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.places import child_environment

REQUIRED = "IMINDEX_REQUIRE_BROWSER"
"""Set to 1, a missing browser is a failure; .ci/run sets it."""
HOST = "127.0.0.1"
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--force-color-profile=srgb", "--font-render-hinting=none",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
)  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SLOW = 50_000
"""Bytes a second of a slow network."""
AXE = Path(__file__).with_name("axe") / "axe.min.js"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {**DESKTOP, "scheme": "light"},
    "dark": {**DESKTOP, "scheme": "dark"},
    "phone": {**PHONE, "scheme": "light"},
    "focus": {**DESKTOP, "scheme": "light"},
}
"""How each page is looked at; "focus" is with the focus of the keyboard on the fourth thing that Tab reaches."""
FIND_BY_AXE = """
const [include, impacts, done] = arguments;
axe.run(include ?? document, {resultTypes: ['violations']}).then(
    (found) => done(found.violations.filter((one) => impacts.includes(one.impact)).flatMap((one) => one.nodes.map(
        (node) => `${one.impact} ${one.id}: ${one.help}: ${node.target.join(' ')} ${node.html.slice(0, 120)}: `
            + (node.failureSummary ?? '').split('\\n').slice(1).map((line) => line.trim()).join('; ')))),
    (error) => done([`axe failed: ${error}`]));
"""


@functools.cache
def missing() -> str:
    """Return why no browser can be started here, or an empty string."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install 'imindex[test]'"
    if not (_chromium() and shutil.which("chromedriver")):
        return "no chromium and chromedriver here: apt-get install chromium chromium-driver"
    return ""


def require_browser() -> None:
    """Skip the test that has no browser to run in; with IMINDEX_REQUIRE_BROWSER=1, fail it."""
    if reason := missing():
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)(reason)


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Start a browser with an empty profile, and end it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = _chromium() or ""
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        driver.set_script_timeout(60)
        driver.execute_cdp_cmd(
            "Emulation.setFocusEmulationEnabled", {"enabled": True}
        )  # the clipboard needs it
        try:
            browser = Browser(driver)
            browser.reset()
            yield browser
        finally:
            driver.quit()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a process; tests take `browser`."""
    require_browser()
    with started() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser with one empty page and no storage, which fails the test on any error or outside request."""
    chromium.reset()
    yield chromium
    problems = chromium.problems()
    chromium.reset()
    assert not problems, "the browser reports:\n" + "\n".join(problems)


class Browser:
    """A running Chromium with one page.

    Attributes
    ----------
    driver : selenium.webdriver.Chrome
        For what this class has no method for.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._expected: list[re.Pattern[str]] = []
        self._seen: list[str] = []
        self._requests: list[str] = []

    # ------------------------------------------------------------ the page

    def open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open a page in a window of this size (a phone below 500 pixels), and wait until it is loaded."""
        self.resize(width, height)
        self.prefer(scheme)
        self._collect()
        self.driver.get(
            "about:blank"
        )  # or the driver may take the page that is there already for the new one
        self.driver.get(url)
        self.wait(lambda: self.run("return document.readyState") == "complete", "the page to load")

    def resize(self, width: int, height: int = 900) -> None:
        phone = width < 500
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, scheme: str) -> None:
        """Prefer a "light" or "dark" scheme, and no motion."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        listed = [{"name": name, "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", media="screen", features=listed)

    def network(
        self, *, offline: bool = False, latency: float = 0, bytes_per_second: float | None = None
    ) -> None:
        """Make the network slow or absent; without arguments, fast again. `latency` is in seconds."""
        rate = -1 if bytes_per_second is None else bytes_per_second
        self.cdp("Network.enable")
        self.cdp(
            "Network.emulateNetworkConditions",
            offline=offline, latency=latency * 1000, downloadThroughput=rate, uploadThroughput=rate,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, which may be a promise."""
        done = (
            f"const done = arguments[0]; Promise.resolve({expression}).then(done, e => done('failed: ' + e))"
        )
        return self.driver.execute_async_script(done)

    def cdp(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol."""
        return dict(self.driver.execute_cdp_cmd(method, parameters))

    # ------------------------------------------------------------ elements

    def find(self, selector: str) -> Any:
        """Return the only or first element that matches."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def wait(self, condition: Callable[[], Any], what: str = "", timeout: float = 30) -> Any:
        """Wait until a function returns something true, and return that."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):
                if value := condition():
                    return value
            if time.monotonic() > end:
                body = str(self.run("return document.body?.innerText ?? ''"))[:2000]
                raise AssertionError(
                    f"waited {timeout:g} s for {what or condition}; {self.problems()}; page:\n{body}"
                )
            time.sleep(0.05)

    def wait_for(self, selector: str, timeout: float = 30) -> Any:
        """Wait until an element that matches is displayed, and return it."""
        shown = lambda: next((one for one in self.find_all(selector) if one.is_displayed()), None)  # noqa: E731
        return self.wait(shown, f"{selector!r} to be displayed", timeout)

    def wait_for_text(self, selector: str, text: str, timeout: float = 30) -> str:
        """Wait until an element contains a text, and return all of the element's text."""

        def read() -> str:
            found = str(self.text(selector))
            return found if text in found else ""

        return str(self.wait(read, f"{selector!r} to contain {text!r}", timeout))

    def click(self, selector: str) -> None:
        """Click as a mouse does: on what is displayed there, after scrolling to it."""
        element = self.wait_for(selector)
        self.run("arguments[0].scrollIntoView({block: 'center', inline: 'nearest'})", element)
        element.click()

    def type(self, selector: str, text: str, *, clear: bool = True) -> None:
        element = self.wait_for(selector)
        if clear:
            element.clear()
        element.send_keys(text)

    def press(self, *keys: str) -> None:
        """Press keys, each a character or a name such as "TAB", "ENTER", "ARROW_RIGHT", on what has the focus."""
        from selenium.webdriver.common.keys import Keys

        pressed = [getattr(Keys, key) if len(key) > 1 else key for key in keys]
        for key in pressed:
            self._actions().send_keys(key).perform()

    def focused(self) -> Any:
        return self.driver.switch_to.active_element

    # ------------------------------------------------------------ files, clipboard and mouse

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an `<input type="file">`, which may be hidden."""
        self.find(selector).send_keys("\n".join(str(path.resolve()) for path in files))

    def drop(self, selector: str, *files: Path) -> None:
        """Drag files from outside the browser over an element, and drop them."""
        x, y = self.centre(selector)
        data = {"items": [], "files": [str(path.resolve()) for path in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.cdp("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def paste(self, picture: Path) -> None:
        """Put a picture on the clipboard as PNG, and press Ctrl-V on what has the focus."""
        from PIL import Image
        from selenium.webdriver.common.keys import Keys

        with Image.open(picture) as image, tempfile.NamedTemporaryFile(suffix=".png") as file:
            image.save(file, format="PNG")
            file.seek(0)
            data = base64.b64encode(file.read()).decode()
        self.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        written = self.driver.execute_async_script(
            "const [data, done] = arguments;"
            "const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));"
            "const item = new ClipboardItem({'image/png': new Blob([bytes], {type: 'image/png'})});"
            "navigator.clipboard.write([item]).then(() => done(''), (error) => done(String(error)));",
            data,
        )
        assert written == "", written
        self._actions().key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()

    def centre(self, selector: str) -> tuple[float, float]:
        """Scroll an element into view; return the position of its centre in the window."""
        element = self.wait_for(selector)
        self.run("arguments[0].scrollIntoView({block: 'center', inline: 'nearest'})", element)
        box = self.run(
            "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
            element,
        )
        return box[0] + box[2] / 2, box[1] + box[3] / 2

    def move(self, x: float, y: float) -> None:
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, points: Sequence[tuple[float, float]], *, shift: bool = False) -> None:
        """Press the mouse at the first of some points in the window, move over the others, and release it."""
        pressed = {"button": "left", "buttons": 1, "modifiers": 8 if shift else 0}
        (x, y), *rest = points
        self.move(x, y)
        self.cdp("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, clickCount=1, **pressed)
        for x, y in rest:
            self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **pressed)
            time.sleep(0.02)
        self.cdp(
            "Input.dispatchMouseEvent",
            type="mouseReleased",
            x=x,
            y=y,
            clickCount=1,
            **{**pressed, "buttons": 0},
        )

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turn the mouse's wheel over a point; a negative delta zooms in."""
        self.cdp("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def _actions(self) -> Any:
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.driver)

    # ------------------------------------------------------------ what a page looks like, and for whom

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """Write a PNG of the window, or of the whole page."""
        parameters: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            parameters |= {"clip": clip, "captureBeyondViewport": True}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.cdp("Page.captureScreenshot", **parameters)["data"]))
        return path

    def looks(self, url: str, shown: str, folder: Path, name: str) -> list[Path]:
        """Open a page in each of LOOKS, and write pictures of the whole page; `shown` selects what to wait for."""
        paths = []
        for look, window in LOOKS.items():
            self.open(url, **window)
            self.wait_for(shown)
            self.settle()
            if look == "focus":
                self.press(*["TAB"] * 4)
            paths.append(self.screenshot(folder / f"{name}-{look}.png", whole=look != "focus"))
        return paths

    def scrolls_sideways(self) -> bool:
        return bool(self.run("const d = document.documentElement; return d.scrollWidth > d.clientWidth"))

    def accessibility(
        self, selector: str | None = None, impacts: Sequence[str] = ("serious", "critical")
    ) -> list[str]:
        """Return axe-core's findings of these impacts in the page or an element, each with the place and the reason."""
        if not self.run("return typeof window.axe === 'object'"):
            self.run(AXE.read_text(encoding="utf-8") + "\nwindow.axe = axe;")
        return list(self.driver.execute_async_script(FIND_BY_AXE, selector, list(impacts)))

    def settle(self, timeout: float = 60) -> None:
        """Wait until the page has what it asked for: pictures, fonts, nothing busy, and two frames drawn since."""
        self.wait(
            lambda: self.run(
                "return document.readyState === 'complete' && !document.querySelector('[aria-busy=true]')"
                "&& [...document.images].every((one) => one.complete || one.loading === 'lazy')"
            ),
            "the page to settle",
            timeout,
        )
        self.evaluate("document.fonts.ready.then(() => true)")
        self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        )

    # ------------------------------------------------------------ what went wrong

    def expect(self, pattern: str) -> None:
        """Do not fail the test for problems that match this regular expression."""
        self._expected.append(re.compile(pattern))

    def problems(self) -> list[str]:
        """Return errors of the console and requests to other hosts, since `reset`, that no `expect` matches."""
        self._collect()
        return [one for one in self._seen if not any(known.search(one) for known in self._expected)]

    def requests(self) -> list[str]:
        """Return the URLs that pages requested since `reset`, in order."""
        self._collect()
        return list(self._requests)

    def _collect(self) -> None:
        for entry in self.driver.get_log("browser"):
            if entry["level"] == "SEVERE":
                self._seen.append(f"console: {entry['message']}")
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] not in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                continue
            parameters = message["params"]
            url = parameters["url"] if "url" in parameters else parameters["request"]["url"]
            self._requests.append(url)
            parts = urlsplit(url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != HOST:
                self._seen.append(f"request outside {HOST}: {url}")

    def reset(self) -> None:
        """Return to one empty page, without storage, with the default window and network, and forget problems."""
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(first)
        self.network()
        self.resize(**DESKTOP)
        self.prefer("light")
        origin = urlsplit(self.url)
        self.driver.get("about:blank")
        if origin.scheme.startswith("http"):
            where = f"{origin.scheme}://{origin.netloc}"
            self.cdp("Storage.clearDataForOrigin", origin=where, storageTypes="all")
        self.cdp("Network.clearBrowserCache")
        self._collect()
        self._expected, self._seen, self._requests = [], [], []


# ------------------------------------------------------------ the service


@dataclass
class Served:
    """A running `imindex serve`.

    Attributes
    ----------
    url : str
        Such as http://127.0.0.1:40123, without a slash at the end.
    process : subprocess.Popen
    log : Path
        What it wrote to stderr.
    words : tuple of str
        Its command line, after `imindex serve`.
    headers : dict of str to str
        Sent by `get`: the authorization where the service asks for a token.
    cwd : Path
    variables : dict of str to str
        Its working folder, and what is added to its environment.
    seconds : float
        From the start of the process to the first positive answer of /readyz.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    words: tuple[str, ...]
    headers: dict[str, str]
    cwd: Path
    variables: dict[str, str]
    seconds: float = 0.0

    def get(self, path: str, timeout: float = 30) -> tuple[int, bytes]:
        """Return the status and body of an answer."""
        return _get(self.url + path, self.headers, timeout)

    def stop(self) -> int:
        """End the service as Ctrl-C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        """Lose the service, as a crash or a cable does."""
        self.process.kill()
        self.process.wait()

    def start_again(self, timeout: float = 90) -> None:
        """Start the service that was stopped or killed again, at the same address."""
        assert self.process.poll() is not None, "the service is running"
        port = str(urlsplit(self.url).port)
        folder = self.log.parent
        again = _start(self.words, port, folder, self.headers, timeout, self.cwd, self.variables)
        self.process, self.seconds = again.process, again.seconds


@contextlib.contextmanager
def serving(
    *words: object,
    timeout: float = 90,
    headers: dict[str, str] | None = None,
    cwd: Path | None = None,
    **variables: str,
) -> Iterator[Served]:
    """Run `imindex serve` with these words and environment variables on a free port, until the block ends.

    Raises
    ------
    AssertionError
        It ended, or /readyz gave no positive answer within the timeout; with what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="served-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        service = _start(tuple(map(str, words)), "0", place, headers or {}, timeout, cwd or place, variables)
        try:
            yield service
        finally:
            service.stop()


def _start(
    words: tuple[str, ...],
    port: str,
    folder: Path,
    headers: dict[str, str],
    timeout: float,
    cwd: Path,
    variables: dict[str, str],
) -> Served:
    out, log = folder / "stdout", folder / "stderr"
    command = [sys.executable, "-m", "imindex", "serve", *words, "--port", port, "--json"]
    begun = time.monotonic()
    with out.open("wb") as stdout, log.open("ab") as stderr:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL,
            env=child_environment(**variables),
        )  # fmt: skip
    service = Served("", process, log, words, headers, cwd, variables)
    waits_for = b""
    try:
        while True:
            with contextlib.suppress(ValueError, KeyError, OSError):
                service.url = service.url or json.loads(out.read_bytes())["url"].rstrip("/")
                status, waits_for = service.get("/readyz", 5)
                if status == 200:
                    service.seconds = time.monotonic() - begun
                    return service
            said = f"{waits_for.decode()}\n{log.read_text()}"
            assert process.poll() is None, f"imindex serve ended with {process.returncode}: {said}"
            assert time.monotonic() - begun < timeout, (
                f"imindex serve was not ready within {timeout} s: {said}"
            )
            time.sleep(0.02)
    except BaseException:
        service.kill()
        raise


def _get(url: str, headers: dict[str, str], timeout: float) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
