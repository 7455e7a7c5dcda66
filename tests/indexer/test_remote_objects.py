"""The remote layer against a real S3 server, with a proxy before it that fails."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from imindex.indexer.core import credentials
from imindex.indexer.remote import objects
from imindex.indexer.remote.errors import Changed, Conflict, Denied, Missing, RemoteError, TooLarge
from tests.support.objects import BUCKET, S3, SECRET, Fault, FaultyProxy
from tests.support.web import serve_web

pytestmark = pytest.mark.usefixtures("quick_requests")

DATA = bytes(hashlib.shake_256(b"imindex").digest(3_000_000))


@pytest.fixture(scope="module")
def stored(s3: S3) -> str:
    s3.write("layer/data.bin", DATA)
    return f"s3://{BUCKET}/layer/data.bin"


def test_an_object_is_read_by_one_request(proxy: FaultyProxy, stored: str) -> None:
    data, info = objects.read(stored)
    assert data == DATA
    assert (info.size, info.etag) == (len(DATA), f'"{hashlib.md5(DATA).hexdigest()}"')
    assert proxy.requests == [f"GET /{BUCKET}/layer/data.bin"]
    assert objects.head(stored) == info
    assert [other.stamp for other in objects.listing(stored.rpartition("/")[0])] == [info.stamp]


@pytest.mark.parametrize("kind", ["503", "cut", "length", "reset", "hang", "short"])
@pytest.mark.parametrize("after", [0, 2_500_000])
def test_a_fault_is_passed_by_further_attempts(
    proxy: FaultyProxy, stored: str, kind: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 2
    if kind == "hang":
        monkeypatch.setenv("IMINDEX_REMOTE_TIMEOUT", "2")
        times = 1
    proxy.faults.append(Fault(kind, times=times, after=after, seconds=30))
    assert objects.read(stored)[0] == DATA
    if kind == "cut" and after > len(DATA) // 2:
        times = 1  # the rest is too short for a second cut
    assert proxy.count() == times + 1


@pytest.mark.parametrize("kind", ["503", "cut", "length", "reset", "hang", "short"])
def test_a_lasting_fault_is_an_error_without_credentials(
    proxy: FaultyProxy, stored: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "hang":
        monkeypatch.setenv("IMINDEX_REMOTE_TIMEOUT", "0.2")
    proxy.faults.append(Fault(kind, times=-1, seconds=30))
    with pytest.raises(RemoteError, match="3 attempts") as raised:
        objects.read(stored)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert proxy.count() == 3


def test_a_cut_object_is_resumed_where_it_ended(proxy: FaultyProxy, stored: str) -> None:
    proxy.faults.append(Fault("cut", after=2_500_000))
    assert objects.read(stored)[0] == DATA
    resumed = proxy.requests[1].rpartition(" ")[2]
    assert resumed.startswith("bytes=") and 0 < int(resumed[6:].partition("-")[0]) <= 2_500_000


def test_ranges_are_of_one_version(proxy: FaultyProxy, s3: S3, stored: str) -> None:
    ranges = [(2_999_000, 1000), (0, 10), (5, 10), (1_500_000, 3), (7, 0)]
    etag = objects.head(stored).etag
    for given in ("", etag):
        assert objects.read_ranges(stored, ranges, etag=given) == [DATA[a : a + n] for a, n in ranges]
    s3.write("layer/changing.bin", DATA)
    url = f"s3://{BUCKET}/layer/changing.bin"
    s3.write("layer/changing.bin", DATA[::-1])
    with pytest.raises(Changed):
        objects.read_ranges(url, ranges, etag=etag)
    with pytest.raises(RemoteError, match="ends at byte"):
        objects.read_ranges(stored, [(2_999_999, 2)])


def test_of_many_writers_one_wins(proxy: FaultyProxy) -> None:
    url = f"s3://{BUCKET}/layer/race.bin"
    outcomes: list[str] = []

    def write(name: bytes) -> None:
        try:
            objects.put(url, name)
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    first = objects.head(url)
    objects.put(url, b"next", if_etag=first.etag)
    with pytest.raises(Conflict):
        objects.put(url, b"late", if_etag=first.etag)
    assert objects.read(url)[0] == b"next"


def test_errors_name_the_cause(proxy: FaultyProxy, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing):
        objects.read(stored + ".missing")
    with pytest.raises(TooLarge):
        objects.read(stored, most=len(DATA) - 1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-canary-secret")
    with pytest.raises(Denied) as raised:
        objects.read(stored)
    assert "wrong-canary-secret" not in str(raised.value)
    with pytest.raises(Denied):
        objects.listing(f"s3://{BUCKET}/layer")


def test_a_put_whose_answer_was_lost_has_still_won(proxy: FaultyProxy) -> None:
    """The store wrote the object, and the connection ended before the answer: the writer knows its own object."""
    url = f"s3://{BUCKET}/layer/lost.bin"
    proxy.faults.append(Fault("cut", method="PUT", after=-1))
    won = objects.put(url, b"mine")
    assert proxy.count("PUT") == 2
    assert objects.read(url)[0] == b"mine" and objects.head(url).etag == won.etag
    proxy.faults.append(Fault("cut", method="PUT", after=-1))
    with pytest.raises(Conflict):
        objects.put(url, b"other")
    assert objects.read(url)[0] == b"mine"


def test_objects_that_change_in_mid_read_are_not_mixed(proxy: FaultyProxy, s3: S3) -> None:
    url, key = f"s3://{BUCKET}/layer/changing2.bin", "layer/changing2.bin"
    s3.write(key, DATA)

    def replace(size: int) -> None:
        s3.write(key, DATA[::-1])
        proxy.faults.append(Fault("cut", after=0))

    proxy.faults.append(Fault("cut", after=2_500_000))
    assert objects.read(url, admit=replace)[0] in (DATA, DATA[::-1])


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("az://c/a b.jpg", "/c/a%20b.jpg"),
        ("abfss://c@account.dfs.core.windows.net/a b.jpg", "/c/a%20b.jpg"),
        ("gs://b/a b.jpg", "/b/a%20b%2Ejpg"),
    ],
)
def test_azure_and_google_by_their_endpoint_settings(
    url: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain web server in their place: no signature and no listing, but the requests that the SDKs' settings make."""
    pytest.importorskip("obstore")
    with serve_web(tmp_path, secure=False) as web:
        web.pages[page] = DATA
        for name, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_SKIP_SIGNATURE": "true", "AZURE_STORAGE_ENDPOINT": web.url,
            "GOOGLE_BASE_URL": web.url, "GOOGLE_SKIP_SIGNATURE": "true",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        data, info = objects.read(url)
        assert (data, info.url, info.size) == (DATA, url, len(DATA))
        assert objects.read_ranges(url, [(10, 5)], etag=info.etag) == [DATA[10:15]]
        with pytest.raises(Missing):
            objects.read(url + ".none")
        assert {method for method, _, _ in web.requests} == {"GET"}


def test_a_shared_access_signature_is_sent_for_what_is_in_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    with serve_web(tmp_path, secure=False) as web:
        web.pages["/c/works/a.jpg"] = DATA
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", web.url)
        credentials.forget()
        assert credentials.name_by_user("az://c/works?sv=2024&sr=c&sig=canary%2Bsignature") == "az://c/works"
        assert objects.read("az://c/works/a.jpg")[0] == DATA
        assert "sig=canary%2Bsignature" in web.requests[0][1]
        credentials.forget()


def test_whatever_else_fsspec_knows_is_read_if_the_user_names_it() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/box/b/2.jpg", DATA)
    memory.pipe_file("/box/a.jpg", b"1")
    data, info = objects.read("memory://box/b/2.jpg")
    assert data == DATA and info.size == len(DATA)
    assert [one.url for one in objects.listing("memory://box")] == [
        "memory://box/a.jpg",
        "memory://box/b/2.jpg",
    ]
    assert objects.read_ranges("memory://box/b/2.jpg", [(7, 9)]) == [DATA[7:16]]
    with pytest.raises(Missing):
        objects.head("memory://box/none")
    with pytest.raises(Conflict):
        objects.put("memory://box/a.jpg", b"2")
    memory.rm("/box", recursive=True)
