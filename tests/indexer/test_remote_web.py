"""Objects over https: certificates, redirects, addresses, credentials and broken servers."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imindex.indexer.core import credentials
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.remote import connection, objects
from imindex.indexer.remote.errors import Changed, Denied, Missing, RemoteError, TooLarge
from imindex.indexer.sources import remote_shards
from tests.support.shards import picture, write_tar
from tests.support.web import Web, redirect, serve_web, status

pytestmark = pytest.mark.usefixtures("quick_requests")

DATA = hashlib.shake_256(b"web").digest(600_000)
Handler = http.server.BaseHTTPRequestHandler


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    pytest.importorskip("cryptography")
    with serve_web(tmp_path) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        connection._tls.cache_clear()
        running.pages["/a.bin"] = DATA
        credentials.name_by_user(running.url)
        yield running
    connection._tls.cache_clear()


def cut(after: int, length: int = len(DATA)) -> object:
    """Return a page that ends after some bytes the first time, and is whole and ranged afterwards."""
    times: list[int] = []

    def answer(handler: Handler) -> None:
        wanted = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        start = int(wanted)
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        handler.send_header("ETag", '"one"')
        handler.send_header("Content-Length", str(length - start))
        handler.end_headers()
        if times:
            handler.wfile.write(DATA[start:])
        else:
            times.append(1)
            handler.wfile.write(DATA[:after])
            handler.close_connection = True

    return answer


def test_an_object_is_read_whole_and_by_ranges(site: Web) -> None:
    url = f"{site.url}/a.bin"
    data, info = objects.read(url)
    assert data == DATA and info.size == len(DATA) and info.modified == 1740823200 * 10**9
    assert objects.head(url) == info
    assert objects.read_ranges(url, [(599_000, 1000), (3, 4)], etag=info.etag) == [DATA[599_000:], DATA[3:7]]
    with pytest.raises(Changed):
        objects.read_ranges(url, [(3, 4)], etag='"other"')
    with pytest.raises(TooLarge):
        objects.read(url, most=100)
    with pytest.raises(Missing):
        objects.read(f"{site.url}/none")


def test_a_cut_is_resumed_and_a_short_body_is_an_error(site: Web) -> None:
    site.pages["/cut"] = cut(250_000)  # type: ignore[assignment]
    assert objects.read(f"{site.url}/cut")[0] == DATA
    assert site.requests[-1][2]["Range"] == "bytes=250000-"

    def short(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"x" * 50)
        handler.close_connection = True

    site.pages["/short"] = short
    with pytest.raises(RemoteError, match=r"50 of 100 bytes|cut"):
        objects.read(f"{site.url}/short")

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"x" * 50)
        handler.close_connection = True

    site.pages["/unknown"] = endless
    with pytest.raises(RemoteError, match="without its length"):
        objects.read(f"{site.url}/unknown")


def test_a_server_that_ignores_ranges_is_read_from_its_start(site: Web) -> None:
    def whole(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"w"')
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA)

    site.pages["/whole"] = whole
    assert objects.read_ranges(f"{site.url}/whole", [(5, 5), (500_000, 7)]) == [
        DATA[5:10],
        DATA[500_000:500_007],
    ]


def test_statuses(site: Web) -> None:
    site.pages.update(
        {"/403": status(403), "/500": status(500), "/429": status(429, Retry_After="0"), "/418": status(418)}
    )
    for page, error, tries in (
        ("403", Denied, 1),
        ("500", RemoteError, 3),
        ("429", RemoteError, 3),
        ("418", RemoteError, 1),
    ):
        before = len(site.requests)
        with pytest.raises(error, match=f"HTTP {page}"):
            objects.read(f"{site.url}/{page}")
        assert len(site.requests) - before == tries


def test_an_unknown_certificate_is_refused(
    site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    connection._tls.cache_clear()
    with pytest.raises(RemoteError, match="certificate"):
        objects.read(f"{site.url}/a.bin")
    assert site.requests == []


def test_user_information_and_presigned_queries_are_sent_and_not_shown(site: Web) -> None:
    secret = "canary-5e0c7fe1"
    host = site.url.removeprefix("https://")
    public = credentials.name_by_user(
        f"https://ada:{secret}@{host}/a.bin?size=9&X-Amz-Signature={secret}q&X-Amz-Date=1"
    )
    assert public == f"https://{host}/a.bin?size=9"
    data, info = objects.read(public)
    assert data == DATA and info.url == public
    _, target, headers = site.requests[-1]
    assert headers["Authorization"] == "Basic " + base64.b64encode(f"ada:{secret}".encode()).decode()
    assert target == f"/a.bin?size=9&X-Amz-Signature={secret}q&X-Amz-Date=1"
    site.pages["/a.bin"] = status(403)
    with pytest.raises(Denied) as raised:
        objects.read(public)
    assert secret not in repr(raised.value) + repr(objects.parse(public))
    objects_elsewhere = f"https://{host}/b.bin"
    site.pages["/b.bin"] = DATA
    objects.read(objects_elsewhere)
    assert secret not in site.requests[-1][1], "a presigned query is for its own URL"


def test_redirects_go_to_https_only_and_take_no_credentials_to_others(site: Web, tmp_path: Path) -> None:
    secret = "canary-91ab33d0"
    host = site.url.removeprefix("https://")
    credentials.name_by_user(f"https://ada:{secret}@{host}/")
    other = f"https://127.0.0.1:{host.rpartition(':')[2]}"
    site.pages["/same"], site.pages["/other"] = redirect("/a.bin"), redirect(f"{other}/a.bin")
    site.pages["/plain"], site.pages["/file"] = (
        redirect("http://example.org/a"),
        redirect("file:///etc/passwd"),
    )
    site.pages["/circle"] = redirect("/circle")
    site.pages["/metadata"] = redirect("https://169.254.169.254/latest/meta-data")
    assert objects.read(f"{site.url}/same")[0] == DATA
    assert "Authorization" in site.requests[-1][2]
    with pytest.raises(RemoteError, match="private network"):
        objects.read(f"{site.url}/other")
    credentials.name_by_user(other)
    assert objects.read(f"{site.url}/other")[0] == DATA
    assert "Authorization" not in site.requests[-1][2]
    for page, said in (
        ("plain", "instead of https"), ("file", "instead of https"), ("circle", "more than 5"),
        ("metadata", "link-local"),
    ):  # fmt: skip
        with pytest.raises(RemoteError, match=said):
            objects.read(f"{site.url}/{page}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://169.254.169.254/latest/meta-data/iam", "link-local"),
        ("https://[fe80::1]/a.png", "link-local"),
        ("https://[::ffff:169.254.169.254]/a.png", "link-local"),
        ("https://[fd00:ec2::254]/a.png", "link-local"),
        ("https://[64:ff9b::a9fe:a9fe]/a.png", "link-local"),
        ("https://[2002:a9fe:a9fe::1]/a.png", "link-local"),
        ("https://[64:ff9b::a00:1]/a.png", "private network"),
        ("https://[64:ff9b:1::a00:1]/a.png", "private network"),
        ("https://[2002:7f00:1::1]/a.png", "private network"),
        ("https://[fec0::1]/a.png", "private network"),
        ("https://0.0.0.0/a.png", "link-local"),
        ("https://2852039166/a.png", "link-local"),
        ("https://127.0.0.1:9/a.png", "private network"),
        ("https://localhost:9/a.png", "private network"),
        ("https://10.0.0.1/a.png", "private network"),
        ("http://localhost:9/a.png", "private network"),
        ("http://93.184.216.34/a.png", "is http"),
        ("https://host:99999/a.png", "no valid host"),
    ],
)
def test_addresses_that_a_manifest_cannot_make_it_contact(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*args: object, **options: object) -> None:
        raise AssertionError("nothing is connected to")

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(RemoteError, match=said):
        objects.read(url)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("2852039166", "link-local"), ("0xa9fea9fe", "link-local"), ("169.254.43518", "link-local"),
        ("2130706433", "private network"), ("127.1", "private network"), ("localhost", "private network"),
        ("a.localhost.", "private network"),
    ],
)  # fmt: skip
def test_a_proxy_is_not_asked_for_addresses_in_other_forms(
    host: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*args: object, **options: object) -> None:
        raise AssertionError("nothing is connected to")

    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "none.example")
    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(RemoteError, match=said):
        objects.read(f"https://{host}/a.png")


def test_link_local_addresses_are_refused_even_if_the_user_names_them() -> None:
    with pytest.raises(RemoteError, match="link-local"):
        objects.read(credentials.name_by_user("https://169.254.169.254/latest"))


def test_schemes_of_a_manifest_that_open_files_or_logins_are_refused() -> None:
    for url in (
        "sftp://host/a.png",
        "local://x/etc/passwd",
        "simplecache://x/a",
        "ftp://host/a.png",
        "github://a/b",
    ):
        with pytest.raises(ImindexError, match="only where the user names it"):
            objects.read(url)


def test_folders_cannot_be_listed_over_https(site: Web) -> None:
    with pytest.raises(RemoteError, match="manifest"):
        objects.listing(f"{site.url}/works")
    with pytest.raises(RemoteError, match="cannot be written"):
        objects.put(f"{site.url}/x", b"1")


def replaced(pages: list[bytes], **headers: str) -> object:
    """Return a page that is another version at each whole or ranged request; the last one stays."""

    def answer(handler: Handler) -> None:
        data = pages[0]
        if handler.command == "GET" and len(pages) > 1:
            pages.pop(0)
        text = handler.headers.get("Range", "")
        first, _, last = text.removeprefix("bytes=").partition("-")
        start, stop = int(first or 0), int(last or len(data) - 1) + 1
        handler.send_response(206 if text else 200)
        if text:
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(stop - start))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data[start:stop])

    return answer


def test_pieces_of_two_versions_are_told_apart_by_their_dates(site: Web) -> None:
    dates = iter(["Sat, 01 Mar 2025 12:00:00 GMT"] * 2 + ["Sat, 01 Mar 2025 13:00:00 GMT"] * 9)

    def answer(handler: Handler) -> None:
        replaced([DATA], Last_Modified=next(dates))(handler)  # type: ignore[operator]

    site.pages["/dated.bin"] = answer
    url = f"{site.url}/dated.bin"
    version = objects.head(url)
    assert not version.etag and version.modified
    assert objects.read_ranges(url, [(0, 10)], version=version) == [DATA[:10]]
    with pytest.raises(Changed):
        objects.read_ranges(url, [(10, 10)], version=version)


def test_a_shard_without_a_version_is_not_taken_from_a_copy(
    site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMINDEX_CACHE", str(tmp_path / "cache"))
    one, two = (
        write_tar(tmp_path / name, [("1.jpg", picture(number))]).read_bytes()
        for name, number in (("1.tar", 1), ("2.tar", 2))
    )
    site.pages["/a.tar"] = replaced([one, two])
    remote_shards.forget()
    with pytest.raises(ImindexError, match=r"no etag.*Download it"):
        remote_shards.read_member(f"{site.url}/a.tar", "1.jpg")
    assert not list(tmp_path.glob("cache/*.shard"))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions of files")
def test_copies_of_shards_are_private_and_absent_without_a_cache(
    site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_tar(tmp_path / "1.tar", [("1.jpg", picture(1))]).read_bytes()
    site.pages["/a.tar"] = replaced([data], ETag='"1"')
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMINDEX_CACHE", str(cache))
    remote_shards.forget()
    assert remote_shards.read_member(f"{site.url}/a.tar", "1.jpg")[0] == picture(1)
    assert cache.stat().st_mode & 0o777 == 0o700 and list(cache.glob("*.shard"))
    monkeypatch.setenv("IMINDEX_CACHE", str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(cache)
    with pytest.raises(ImindexError, match=r"can be changed by others"):
        remote_shards.read_member(f"{site.url}/a.tar", "1.jpg")
    monkeypatch.setenv("IMINDEX_CACHE", "off")
    assert remote_shards.read_member(f"{site.url}/a.tar", "1.jpg")[0] == picture(1)
    assert not (tmp_path / "off").exists()
