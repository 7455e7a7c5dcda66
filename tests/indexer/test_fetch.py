"""`imindex fetch` against a real HTTP server that plays owners, faults and attacks."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

import pytest

pytest.importorskip("httpx")

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.fetch.fetch import FetchReport, fetch, plan
from imindex.indexer.fetch.limits import FetchSettings
from imindex.indexer.fetch.url_list import read_list
from imindex.indexer.sources.find import find
from tests.support.commands import run
from tests.support.pictures import encoded, picture
from tests.support.web_server import Page, Website, self_signed, website

JPEG = encoded(picture(1), "JPEG")
FAST = FetchSettings(rate=1000.0, retries=2, timeout=5.0, private_hosts=("127.0.0.1",))
Rows = list[dict[str, str]]


def art(seed: int, kind: str = "JPEG", **headers: str) -> Page:
    return Page(
        encoded(picture(seed), kind), headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


@pytest.fixture(autouse=True)
def no_long_waits() -> Iterator[None]:
    """Faults are tried again after milliseconds."""
    with mock.patch("imindex.indexer.fetch.download.backoff", lambda attempt: 0.01):
        yield


def write_list(folder: Path, urls: Iterable[tuple[str, str]], name: str = "urls.csv") -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("url", "artist"), *urls])
    return path


def fetched(
    site: Website, folder: Path, paths: Iterable[str], settings: FetchSettings = FAST, retry: bool = False
) -> tuple[FetchReport, dict[str, dict[str, str]]]:
    """Fetch paths of a site, and return the report and the rows of both tables by their path on the site."""
    urls = write_list(folder, [(site.url(path), "Ada Example") for path in paths])
    report = fetch(read_list(urls), folder / "out", settings=settings, retry_refused=retry)
    rows = {row["url"].partition(str(site.port))[2]: row for row in tables(folder / "out")}
    return report, rows


def tables(out: Path) -> Rows:
    rows: Rows = []
    for name in ("manifest.csv", "refused.csv"):
        with (out / name).open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


def test_pictures_are_stored_as_they_came_and_build_reads_the_manifest(tmp_path: Path) -> None:
    pages = {
        "/1.jpg": art(
            1, ETag='"abc"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT", Content_Type="image/jpeg"
        ),
        "/a%20b/%C3%A9.png?w=3": art(2, "PNG"),
        "/no-suffix": art(3, "WEBP", Content_Type="application/octet-stream"),
        "/robots.txt": Page(b"User-agent: *\nAllow: /1.jpg\n"),
    }
    with website(pages) as site:
        lines = [
            ("URL", "Artist", "Caption", "Licence"),
            (site.url("/1.jpg"), "Ada  Example", 'A "title",\nin two lines', "CC0"),
            (site.url("/a b/é.png?w=3#here"), "=SUM(A1)", "", ""),
            (site.url("/no-suffix"), "Bo Sample", "", "CC BY"),
            (site.url("/1.jpg"), "Bo Sample", "", ""),  # one URL, two artists
            (site.url("/1.jpg"), "Ada Example", "again", ""),
        ]
        with (tmp_path / "urls.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        notes: list[str] = []
        rows = read_list(tmp_path / "urls.csv", note=notes.append)
        report = fetch(rows, tmp_path / "out", settings=FAST)
        assert sorted(site.paths()) == ["/1.jpg", "/a%20b/%C3%A9.png?w=3", "/no-suffix"]
    assert "1 row repeats" in notes[0]
    assert (report.urls, report.fetched, report.there, report.pictures) == (3, 3, 0, 4)
    listed = {(row["url"].rpartition("/")[2], row["artist"]): row for row in tables(tmp_path / "out")}
    first = listed["1.jpg", "Ada Example"]
    assert first["licence"] == "CC0" and first["caption"] == lines[1][2] and first["etag"] == '"abc"'
    assert first["last_modified"].startswith("Thu, 01 Jan 2026") and first["robots"].endswith(
        "line 2: Allow: /1.jpg"
    )
    for row in listed.values():
        data = (tmp_path / "out" / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"] and len(data) == int(row["size"])
    assert (tmp_path / "out" / first["path"]).read_bytes() == JPEG
    assert {Path(row["path"]).suffix for row in listed.values()} == {".jpg", ".png", ".webp"}
    notes.clear()
    items = list(find([tmp_path / "out"], note=notes.append))
    assert {(item.artist, item.kind) for item in items} == {
        ("Ada Example", "works"),
        ("=SUM(A1)", "works"),
        ("Bo Sample", "works"),
    }
    assert len(items) == 4 and not any("not used" in note for note in notes)


def test_a_file_that_was_edited_to_the_same_size_is_fetched_again(tmp_path: Path) -> None:
    with website({"/1.jpg": art(1)}) as site:
        path = write_list(tmp_path, [(site.url("/1.jpg"), "Ada Example")])
        fetch(read_list(path), tmp_path / "out", settings=FAST)
        (row,) = tables(tmp_path / "out")
        picture = tmp_path / "out" / row["path"]
        whole = picture.read_bytes()
        picture.write_bytes(whole[:-1] + b"x")
        report = fetch(read_list(path), tmp_path / "out", settings=FAST)
    assert report.fetched == 1 and picture.read_bytes() == whole


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".parquet"])
def test_lists_of_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"urls{suffix}"
    with website({"/1.jpg": art(1)}) as site:
        row = {"url": site.url("/1.jpg"), "artist": "Ada Example", "licence": "CC0", "year": 1890}
        if suffix == ".jsonl":
            path.write_text(json.dumps(row) + "\n")
        elif suffix == ".tsv":
            path.write_text("\t".join(row) + "\n" + "\t".join(map(str, row.values())) + "\n")
        else:
            import pyarrow as pa
            from pyarrow import parquet

            parquet.write_table(pa.Table.from_pylist([row]), path)
        assert fetch(read_list(path), tmp_path / "out", settings=FAST).fetched == 1
    (listed,) = tables(tmp_path / "out")
    assert (listed["licence"], listed["year"]) == ("CC0", "1890")


def test_opt_outs_of_every_form_are_respected(tmp_path: Path) -> None:
    says = {
        "/tag": {"X-Robots-Tag": "noai, noimageai"},
        "/agent": {"X-Robots-Tag": "img2dataset: noimageai"},
        "/index": {"X-Robots-Tag": "noindex"},
        "/tdm": {"tdm-reservation": "1", "tdm-policy": "https://a.example/policy"},
        "/other": {"X-Robots-Tag": "otherbot: noindex"},
        "/reserved/free": {"tdm-reservation": "0"},
        "/reserved/1": {},
        "/private": {},
    }
    sent: list[str] = []

    def body(path: str) -> Page:
        def send(handler: BaseHTTPRequestHandler) -> None:
            sent.append(path)
            handler.wfile.write(JPEG)

        return Page(JPEG, headers=says[path], send=send)

    pages: dict[str, Page | list[Page]] = {path: body(path) for path in says}
    pages["/robots.txt"] = Page(b"User-agent: imindex\nDisallow: /private\n")
    pages["/.well-known/tdmrep.json"] = Page(b'[{"location": "/reserved/", "tdm-reservation": 1}]')
    pages["/moved"] = Page(status=301, headers={"Location": "/1", "X-Robots-Tag": "noai"})
    pages["/to-private"] = Page(status=302, headers={"Location": "/private"})
    with website(pages) as site:
        report, rows = fetched(site, tmp_path, [*says, "/moved", "/to-private"])
        assert "/private" not in site.paths() and "/1" not in site.paths()
        assert {asked.user_agent.partition("/")[0] for asked in site.log} == {"imindex"}
    assert {path for path, row in rows.items() if row["status"] == "fetched"} == {"/other", "/reserved/free"}
    reasons = {
        path: row.get("reason", "").replace(f"127.0.0.1:{site.port}", "HOST") for path, row in rows.items()
    }
    assert reasons == {
        "/tag": "X-Robots-Tag: noai",
        "/agent": "X-Robots-Tag: img2dataset: noimageai",
        "/index": "X-Robots-Tag: noindex",
        "/tdm": "tdm-reservation: 1, tdm-policy: https://a.example/policy",
        "/other": "",
        "/reserved/free": "",
        "/reserved/1": "/.well-known/tdmrep.json of HOST reserves /reserved/",
        "/private": "robots.txt of HOST: line 2: Disallow: /private",
        "/moved": "X-Robots-Tag: noai",
        "/to-private": "robots.txt of HOST: line 2: Disallow: /private",
    }
    assert report.refused == 8 and report.reasons["X-Robots-Tag"] == 4


def test_robots_txt_that_fails_closes_the_site_until_it_answers(tmp_path: Path) -> None:
    with website({"/1.jpg": art(1), "/2.jpg": art(2), "/robots.txt": Page(status=503)}) as site:
        report, rows = fetched(site, tmp_path, ["/1.jpg", "/2.jpg"])
        assert (report.failed, report.fetched) == (2, 0) and not site.paths()
        assert site.paths(rules=True).count("/robots.txt") == 3  # with its retries, once for both pictures
        assert "robots.txt cannot be read (HTTP 503)" in rows["/1.jpg"]["reason"]
        site.pages["/robots.txt"] = Page(b"nothing", 403)  # a client error: no rules
        report, rows = fetched(site, tmp_path, ["/1.jpg", "/2.jpg"])
        assert (report.failed, report.fetched) == (0, 2)
        assert rows["/1.jpg"]["robots"] == "no robots.txt (403): no rule applies"


def test_robots_txt_is_followed_to_another_place_and_asked_once(tmp_path: Path) -> None:
    pages = {f"/{i}.jpg": art(i) for i in range(4)}
    pages["/robots.txt"] = Page(status=301, headers={"Location": "/rules"})
    pages["/rules"] = Page(b"User-agent: *\nDisallow: /3")
    with website(pages) as site:
        report, _ = fetched(site, tmp_path, [f"/{i}.jpg" for i in range(4)])
        assert site.paths(rules=True).count("/robots.txt") == 1
    assert (report.fetched, report.refused) == (3, 1)


def test_redirects(tmp_path: Path) -> None:
    def to(place: str, status: int = 302) -> Page:
        return Page(status=status, headers={"Location": place})

    with website({"/x.jpg": art(5), "/robots.txt": Page(b"User-agent: *\nDisallow: /kept")}) as other:
        pages: dict[str, Page | list[Page]] = {
            "/a": to("/b", 301), "/b": to("c", 307), "/c": to("/1.jpg", 308), "/1.jpg": art(1),
            "/loop": to("/pool"), "/pool": to("/loop"), "/self": to("/self"), "/nowhere": Page(status=302),
            **{f"/long/{i}": to(f"/long/{i + 1}") for i in range(20)},
            "/metadata": to("http://169.254.169.254/latest/meta-data/"), "/local": to("http://localhost:1/"),
            "/loopback": to("http://127.0.0.2/"), "/six": to("http://[::1]/"), "/number": to("http://2130706434/"),
            "/file": to("file:///etc/passwd"), "/user": to("http://me:pw@127.0.0.1/1.jpg"),
            "/other": to(other.url("/x.jpg")), "/other-kept": to(other.url("/kept/1.jpg")),
        }  # fmt: skip
        with website(pages) as site:
            asked = ["/a", "/loop", "/self", "/nowhere", "/long/0", "/metadata", "/local", "/loopback", "/six",
                     "/number", "/file", "/user", "/other", "/other-kept"]  # fmt: skip
            report, rows = fetched(site, tmp_path, asked)
        assert other.paths() == ["/x.jpg"] and "/robots.txt" in other.paths(rules=True)
    assert {path for path, row in rows.items() if row["status"] == "fetched"} == {"/a", "/other"}
    assert rows["/a"]["final_url"].endswith("/1.jpg") and rows["/other"]["final_url"] == other.url("/x.jpg")
    for path, said in {
        "/loop": "in a loop", "/self": "in a loop", "/nowhere": "without a place", "/long/0": "more than 10",
        "/metadata": "private address", "/local": "private address", "/loopback": "private address",
        "/six": "private address", "/number": "private address", "/file": "not a URL of http",
        "/user": "user name", "/other-kept": "line 2: Disallow: /kept",
    }.items():  # fmt: skip
        assert said in rows[path]["reason"] and rows[path]["status"] == "refused", path
    assert report.failed == 0 and not any("pw@" in str(row) for row in rows.values())


def test_private_hosts_are_not_asked_without_the_option(tmp_path: Path) -> None:
    with website({"/1.jpg": art(1)}) as site:
        report, rows = fetched(site, tmp_path, ["/1.jpg"], FetchSettings(rate=1000.0))
        assert site.paths(rules=True) == []
        assert "private address" in rows["/1.jpg"]["reason"] and report.refused == 1
        names = {
            "some.example": [("127.0.0.1", site.port)],
            "both.example": [("93.184.216.34", 1), ("10.0.0.1", 1)],
        }

        def resolve(host: str, port: int, *args: object, **more: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in names[host]]

        urls = write_list(tmp_path, [(f"http://{name}:{site.port}/1.jpg", "Ada") for name in names])
        with mock.patch("socket.getaddrinfo", resolve):  # a name that leads to a private address
            report = fetch(read_list(urls), tmp_path / "dns", settings=FAST)
        assert report.refused == 2 and site.paths(rules=True) == []


def test_the_connection_goes_to_the_address_that_was_checked(tmp_path: Path) -> None:
    """A name is resolved once for a connection: one that changes its address afterwards gains nothing."""
    asked = []

    def resolve(host: str, port: int, *args: object, **more: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with website({"/1.jpg": art(1)}) as site:
        urls = write_list(tmp_path, [(site.url("/1.jpg", "rebind.example"), "Ada")])
        settings = FetchSettings(rate=1000.0, per_host=1, private_hosts=("rebind.example",))
        with mock.patch("socket.getaddrinfo", resolve):
            assert fetch(read_list(urls), tmp_path / "out", settings=settings).fetched == 1
        assert {one.host for one in site.log} == {f"rebind.example:{site.port}"}
    assert 1 <= asked.count("rebind.example") <= len(site.log) and set(asked) == {"rebind.example"}


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path, "127.0.0.1")
    with website({"/1.jpg": art(1)}, certificate=certificate) as site:
        urls = write_list(tmp_path, [(site.url("/1.jpg").replace("http:", "https:"), "Ada")])
        report = fetch(read_list(urls), tmp_path / "out", settings=FAST)
        (row,) = tables(tmp_path / "out")
        assert report.failed == 1 and "certificate is not valid" in row["reason"] and not site.log
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert fetch(read_list(urls), tmp_path / "out", settings=FAST).fetched == 1
    other = self_signed(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
    with website({"/1.jpg": art(1)}, certificate=other) as site:  # trusted, but of another host
        urls = write_list(tmp_path, [(site.url("/1.jpg").replace("http:", "https:"), "Ada")])
        assert fetch(read_list(urls), tmp_path / "two", settings=FAST).failed == 1 and not site.log


def test_faults_that_may_pass_are_tried_again(tmp_path: Path) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(JPEG[:300])
        handler.close_connection = True

    pages: dict[str, Page | list[Page]] = {
        "/503": [Page(status=503), Page(status=503), art(1)],
        "/429": [Page(status=429, headers={"Retry-After": "1"}), art(2)],
        "/cut": [Page(JPEG, send=cut, length=len(JPEG)), art(3)],
        "/chunk": [Page(headers={"Transfer-Encoding": "chunked"}, length=-1, send=cut), art(4)],
        "/longer": [Page(JPEG, length=len(JPEG) + 9), art(5)],
        "/always": Page(status=500),
        "/later": Page(status=429, headers={"Retry-After": "86400"}),
    }
    with website(pages) as site:
        first = [path for path in pages if path != "/later"]
        report, rows = fetched(site, tmp_path, first)
        log = site.paths()
        assert {path: log.count(path) for path in first} == {
            "/503": 3, "/429": 2, "/cut": 2, "/chunk": 2, "/longer": 2, "/always": 3,
        }  # fmt: skip
        waited = [asked.at for asked in site.log if asked.path == "/429"]
        assert waited[1] - waited[0] >= 0.9
        assert (report.fetched, report.failed) == (5, 1) and rows["/always"]["reason"] == "HTTP 500"
        report, rows = fetched(site, tmp_path, pages)
        assert site.paths().count("/later") == 1 and rows["/later"]["status"] == "failed"
        assert site.paths().count("/503") == 3  # not again


def test_a_host_that_asks_for_a_long_pause_is_left_alone(tmp_path: Path) -> None:
    pages: dict[str, Page | list[Page]] = {
        f"/{i}": Page(status=503, headers={"Retry-After": "7200"}) for i in range(6)
    }
    with website(pages) as site:
        report, rows = fetched(
            site, tmp_path, pages, FetchSettings(rate=1000.0, per_host=1, private_hosts=("127.0.0.1",))
        )
        assert len(site.paths()) == 1
    assert report.failed == 6 and "7,200 seconds" in rows["/5"]["reason"]


def test_bodies_that_are_too_large_too_slow_or_no_pictures(tmp_path: Path) -> None:
    sent: dict[str, int] = {}

    def endless(name: str, start: bytes, pause: float = 0.0, part: int = 65536) -> Page:
        def send(handler: BaseHTTPRequestHandler) -> None:
            handler.close_connection = True
            handler.wfile.write(start)
            sent[name] = 0
            while sent[name] < 2**28:
                handler.wfile.write(b"\0" * part)
                sent[name] += part
                time.sleep(pause)

        return Page(length=-1, send=send)

    bomb = gzip.compress(b"\0" * 10**8)
    pages = {
        "/huge": endless("/huge", JPEG),
        "/claims": Page(JPEG, length=10**10),
        "/drip": endless("/drip", JPEG[:40], 0.05, 1),
        "/html": Page(b"<!DOCTYPE html><html>Not found</html>", headers={"Content-Type": "text/html"}),
        "/as-jpeg": Page(b"\n<html><body>Log in</body></html>", headers={"Content-Type": "image/jpeg"}),
        "/endless-html": endless("/endless-html", b"<html>"),
        "/bomb": Page(bomb, headers={"Content-Encoding": "gzip", "Content-Type": "image/png"}),
        "/svg": Page(b"<svg xmlns='http://www.w3.org/2000/svg'/>", headers={"Content-Type": "image/svg+xml"}),
        "/empty": Page(b""),
        "/mislabelled": art(1, Content_Type="text/plain"),
        "/gone": Page(status=410), "/login": Page(status=401), "/no-content": Page(status=204),
    }  # fmt: skip
    settings = FetchSettings(
        rate=1000.0, per_host=8, retries=0, timeout=1.5, max_size=2**20, private_hosts=("127.0.0.1",)
    )
    with website(pages) as site:
        report, rows = fetched(site, tmp_path, pages, settings)
    for path, said in {
        "/huge": "larger than 1,048,576 bytes", "/claims": "larger than", "/html": "an HTML page",
        "/as-jpeg": "an HTML page, such as an error page or a page around the picture (image/jpeg)",
        "/endless-html": "an HTML page", "/bomb": "Content-Encoding gzip", "/svg": "SVG", "/empty": "the body is empty",
        "/gone": "HTTP 410", "/login": "HTTP 401", "/no-content": "HTTP 204",
    }.items():  # fmt: skip
        assert said in rows[path]["reason"] and rows[path]["status"] == "refused", path
    assert rows["/drip"]["status"] == "failed" and "1.5 seconds" in rows["/drip"]["reason"]
    assert rows["/mislabelled"]["status"] == "fetched" and report.fetched == 1
    assert sent["/huge"] < 2**26 and sent["/endless-html"] < 2**26  # not read to its end


def test_unreachable_hosts_fail_and_are_not_asked_for_ever(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        urls = [(f"http://127.0.0.1:{port}/{i}.jpg", "Ada") for i in range(20)]
        urls += [
            ("http://no-such-host.invalid/1.jpg", "Ada"),
            ("ftp://a.example/1", "Ada"),
            ("no url", "Ada"),
        ]
        report = fetch(read_list(write_list(tmp_path, urls)), tmp_path / "out", settings=FAST)
    assert (report.failed, report.refused, report.fetched) == (21, 2, 0)


def test_refusals_are_final_until_asked_for_and_new_lists_add(tmp_path: Path) -> None:
    pages: dict[str, Page | list[Page]] = {
        "/1": art(1),
        "/2": Page(status=404),
        "/3": art(3),
        "/4": Page(status=500),
    }
    with website(pages) as site:
        fetched(site, tmp_path, ["/1", "/2", "/4"])
        before = len(site.paths())
        pages["/2"] = site.pages["/2"] = art(2)
        report, rows = fetched(site, tmp_path, ["/1", "/2", "/3"])
        assert site.paths()[before:] == ["/3"] and (report.there, report.refused) == (1, 1)
        assert set(rows) == {"/1", "/2", "/3", "/4"}  # the row of the earlier list stays
        report, rows = fetched(site, tmp_path, ["/2"], retry=True)
        assert (report.fetched, report.pictures) == (1, 3) and rows["/2"]["status"] == "fetched"
        (tmp_path / "out" / rows["/1"]["path"]).unlink()  # a lost file is fetched again
        report, _ = fetched(site, tmp_path, ["/1"])
        assert report.fetched == 1
        asked = len(site.paths())
        urls = write_list(tmp_path, [(site.url("/1"), "Bo Sample")])  # a second artist gets a copy
        assert fetch(read_list(urls), tmp_path / "out", settings=FAST).pictures == 4
        assert len(site.paths()) == asked


def test_rates_and_connections_by_the_log_of_the_server(tmp_path: Path) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        handler.wfile.write(JPEG)

    pages: dict[str, Page | list[Page]] = {f"/{i}": Page(JPEG, send=slow) for i in range(8)}
    with website(pages) as site:
        settings = FetchSettings(rate=20.0, private_hosts=("127.0.0.1",))
        fetched(site, tmp_path, pages, settings)
        starts = [asked.at for asked in site.log]
        assert site.most_open == 2 and len(starts) == 10
        assert starts[-1] - starts[0] >= 9 / 20 - 0.05
    pages["/robots.txt"] = Page(b"User-agent: *\nCrawl-delay: 0.3")
    with website({path: pages[path] for path in ("/0", "/1", "/2", "/robots.txt")}) as site:
        fetched(site, tmp_path, ["/0", "/1", "/2"], settings)
        starts = [asked.at for asked in site.log]
        assert (
            starts[-1] - starts[1] >= 3 * 0.3 - 0.1 - 0.3
        )  # the second request began before the delay was known


@contextmanager
def child(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "imindex", "fetch", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_and_asks_for_nothing_twice(tmp_path: Path, number: signal.Signals) -> None:
    paths = [f"/{i}.jpg" for i in range(40)]
    with website({path: art(i) for i, path in enumerate(paths)}) as site:
        urls = write_list(tmp_path, [(site.url(path), f"Artist {i % 3}") for i, path in enumerate(paths)])
        words = [urls, tmp_path / "out", "--allow-private-host", "127.0.0.1"]
        with child(*words, "--rate", 12) as process:  # slow enough to be hit on a busy machine
            deadline = time.monotonic() + 60
            while len(site.paths()) < 12 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(number)
            process.wait(30)
            code = -number if number == signal.SIGKILL else 130
            assert process.returncode == code, process.stderr and process.stderr.read()
        asked = site.paths()
        assert 12 <= len(asked) < 40
        run("fetch", *words, "--rate", 1000, "--json")
        log = site.paths()
        twice = [path for path in paths if log.count(path) > 1]
        assert set(log) == set(paths) and len(twice) <= 2  # those on their way, 2 connections at most
    listed = tables(tmp_path / "out")
    assert len(listed) == 40 and {row["status"] for row in listed} == {"fetched"}
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix == ".jpg"]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in files) == sorted(
        r["path"] for r in listed
    )
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "imindex-new" in name]


def test_a_cut_journal_is_taken_up_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with website({"/1": art(1), "/2": art(2)}) as site:
        fetched(site, tmp_path, ["/1"])
        journal = tmp_path / "out/fetched.jsonl"
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"outcome": {"key": "12')
        report, _ = fetched(site, tmp_path, ["/1", "/2"])
        assert (report.fetched, report.there) == (1, 1) and journal.read_bytes().startswith(whole)
        assert b'"12' not in journal.read_bytes()
        journal.write_bytes(b"[]\n" + whole)
        with pytest.raises(ImindexError, match="line 1 cannot be read"):
            fetched(site, tmp_path, ["/1"])


def test_secrets_never_reach_a_file_or_a_line(tmp_path: Path) -> None:
    path = "/1.jpg?X-Amz-Signature=s3cr3t&w=5"
    with website({path: art(1), "/2?token=s3cr3t": Page(status=302, headers={"Location": path})}) as site:
        urls = [(site.url(path), "Ada"), (site.url("/2?token=s3cr3t"), "Ada")]
        urls.append((f"http://me:s3cr3t@127.0.0.1:{site.port}/3", "Ada"))
        listed = write_list(tmp_path, urls)
        result = run(
            "fetch", listed, tmp_path / "out", "--rate", 1000, "--allow-private-host", "127.0.0.1", "--json"
        )
        assert json.loads(result.stdout)["fetched"] == 2 and "s3cr3t" not in result.output
    for file in (tmp_path / "out").rglob("*"):
        assert "s3cr3t" not in file.name and (file.is_dir() or b"s3cr3t" not in file.read_bytes()), file


def test_the_plan_asks_nobody(tmp_path: Path) -> None:
    with website({"/1": art(1)}) as site:
        fetched(site, tmp_path, ["/1"])
        before = len(site.log)
        urls = write_list(
            tmp_path,
            [(site.url("/1"), "Ada Example"), (site.url("/2"), "Ada"), ("https://b.example/1", "Bo")],
        )
        hosts = plan(read_list(urls), tmp_path / "out")
        assert [(one.host, one.urls, one.left) for one in hosts] == [
            (f"127.0.0.1:{site.port}", 2, 1),
            ("b.example", 1, 1),
        ]
        said = json.loads(run("fetch", urls, tmp_path / "new", "--dry-run", "--json").stdout)
        assert said["left"] == 3 and not (tmp_path / "new").exists() and len(site.log) == before


def test_the_command_says_what_it_did_and_exits_accordingly(tmp_path: Path) -> None:
    with website({"/1": art(1), "/2": Page(status=404), "/3": Page(status=500)}) as site:
        common = [tmp_path / "out", "--rate", 1000, "--allow-private-host", "127.0.0.1", "--retries", 0]
        good = write_list(tmp_path, [(site.url(path), "Ada") for path in ("/1", "/2")])
        said = run("fetch", good, *common, "--contact", "me@a.example")
        assert "Fetched 1 picture" in said.stdout and "1 refused, 0 failed" in said.stdout
        assert "HTTP 404: 1 URL" in said.stderr and "--contact" not in said.stderr
        assert {asked.user_agent for asked in site.log} == {next(iter(site.log)).user_agent}
        assert "+me@a.example" in site.log[0].user_agent
        bad = write_list(tmp_path, [(site.url("/3"), "Ada")])
        assert "1 URL failed" in run("fetch", bad, *common, code=1).stderr
    for rows, said_so in (
        ([("", "Ada")], "no URL"),
        ([("https://a.example/1", "")], "no artist"),
        ([], "no rows"),
    ):
        assert said_so in run("fetch", write_list(tmp_path, rows), tmp_path / "o", code=1).stderr
    (tmp_path / "links.csv").write_text("link,artist\nhttps://a.example,Ada\n")
    assert "Did you mean `link`?" in run("fetch", tmp_path / "links.csv", tmp_path / "o", code=1).stderr
    with mock.patch("importlib.util.find_spec", return_value=None):
        assert "pip install 'imindex[fetch]'" in run("fetch", good, tmp_path / "o", code=1).stderr


@pytest.mark.parametrize("file", ["/robots.txt", "/.well-known/tdmrep.json"])
@pytest.mark.parametrize("form", ["gzip", "bare gzip", "zlib", "deflate", "203", "brotli", "damaged"])
def test_rules_that_are_sent_compressed_or_by_a_proxy_still_hold(
    tmp_path: Path, file: str, form: str
) -> None:
    rules = (
        b"User-agent: *\nDisallow: /"
        if file == "/robots.txt"
        else b'[{"tdm-reservation": 1, "location": "/"}]'
    )
    bare = zlib.compressobj(wbits=-15)
    page = {
        "gzip": Page(gzip.compress(rules), headers={"Content-Encoding": "gzip"}),
        "bare gzip": Page(gzip.compress(rules)),
        "zlib": Page(zlib.compress(rules), headers={"Content-Encoding": "deflate"}),
        "deflate": Page(bare.compress(rules) + bare.flush(), headers={"Content-Encoding": "deflate"}),
        "203": Page(rules, status=203),
        "brotli": Page(rules, headers={"Content-Encoding": "br"}),
        "damaged": Page(rules, headers={"Content-Encoding": "gzip"}),
    }[form]
    with website({file: page, "/1.jpg": art(1)}) as site:
        report, rows = fetched(site, tmp_path, ["/1.jpg"])
    assert report.fetched == 0 and (file != "/robots.txt" or site.paths() == [])
    assert rows["/1.jpg"]["status"] == ("failed" if form in ("brotli", "damaged") else "refused")


def test_a_bomb_in_place_of_rules_is_cut_and_half_a_reservation_is_none(tmp_path: Path) -> None:
    bomb = gzip.compress(b"User-agent: *\nDisallow: /\n" + b"#" * 10**8)
    with website({"/robots.txt": Page(bomb, headers={"Content-Encoding": "gzip"}), "/1.jpg": art(1)}) as site:
        assert fetched(site, tmp_path, ["/1.jpg"])[0].refused == 1
    many = json.dumps(
        [{"location": "/", "tdm-reservation": 1}] + [{"location": f"/{n}"} for n in range(50_000)]
    )
    with website({"/.well-known/tdmrep.json": Page(many.encode()), "/1.jpg": art(1)}) as site:
        (tmp_path / "other").mkdir()
        report, rows = fetched(site, tmp_path / "other", ["/1.jpg"])
    assert report.failed == 1 and "too large" in rows["/1.jpg"]["reason"]
