"""The remote layer against a real S3 server, with a proxy before it that fails."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from imindex.indexer.remote import objects
from imindex.indexer.remote.errors import Changed, Conflict, Denied, Missing, RemoteError, TooLarge
from tests.support.objects import BUCKET, S3, SECRET, Fault, FaultyProxy

DATA = bytes(hashlib.shake_256(b"imindex").digest(3_000_000))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMINDEX_REMOTE_BACKOFF", "0.01")
    monkeypatch.setenv("IMINDEX_REMOTE_TIMEOUT", "0.5")
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "3")


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3.port) as running:
        for name, value in s3.environment(running.endpoint).items():
            monkeypatch.setenv(name, value)
        yield running


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
    proxy: FaultyProxy, stored: str, kind: str, after: int
) -> None:
    proxy.faults.append(Fault(kind, times=2, after=after, seconds=1))
    assert objects.read(stored)[0] == DATA
    assert proxy.count() == 3 - (
        kind == "cut" and after > len(DATA) // 2
    )  # the rest is too short for a second cut


@pytest.mark.parametrize("kind", ["503", "cut", "length", "reset", "hang", "short"])
def test_a_lasting_fault_is_an_error_without_credentials(proxy: FaultyProxy, stored: str, kind: str) -> None:
    proxy.faults.append(Fault(kind, times=-1, seconds=1))
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
