"""Tar shards in a real S3 server, with a proxy before it that fails and counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.build.build import BuildReport
from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core import credentials
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.verify_pictures import check_pictures
from imindex.indexer.sources import remote_shards
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.store.index import Index
from tests.support.objects import BUCKET, S3, SECRET, Fault, FaultyProxy
from tests.support.shards import img2dataset, picture, write_tar

ARTISTS = ("Ada Example", "Bo Sample")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMINDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IMINDEX_REMOTE_BACKOFF", "0.01")
    monkeypatch.setenv("IMINDEX_REMOTE_TIMEOUT", "0.5")
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "3")
    remote_shards.forget()


@pytest.fixture
def shards(s3: S3, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The prefix of two shards in the store; their files are also in `local`."""
    img2dataset(tmp_path / "local", columns=lambda number: {"artist": ARTISTS[number % 2]})
    prefix = f"shards/{request.node.name}"
    s3.upload(tmp_path / "local", prefix)
    return f"s3://{BUCKET}/{prefix}"


def built(*sources: str, index: str = "i.h5", **options: Any) -> BuildReport:
    return build_from_sources(sources, index, model="demo", device="cpu", kind="works", **options)


def columns(index: str, *without: str) -> dict[str, list[Any]]:
    with Index(index) as opened:
        return {name: values.tolist() for name, values in opened.items().items() if name not in without}


def copies() -> list[Path]:
    return sorted(Path("cache").glob("*.shard"))


def test_remote_shards_give_the_rows_of_local_ones_and_are_copied_once(
    proxy: FaultyProxy, shards: str
) -> None:
    notes: list[str] = []
    report = built(f"{shards}/{{00000..00001}}.tar", note=notes.append)
    local = built("local", index="local.h5")
    assert (report.rows, report.encoded) == (local.rows, 8)
    assert columns("i.h5", "path") == columns("local.h5", "path")
    with Index("i.h5") as one, Index("local.h5") as other:
        assert np.array_equal(one.vectors, other.vectors)
        assert one.column("path")[5] == f"{shards}/00001.tar::000010001.jpg"
    assert (
        "By the lists beside the shards, 2 pictures were not downloaded: HTTP Error 404: Not Found (2)."
        in notes
    )
    assert proxy.count("GET", "00000.tar") == proxy.count("GET", "00001.tar") == 1
    assert [path.stat().st_size for path in copies()] == [
        Path("local/00000.tar").stat().st_size, Path("local/00001.tar").stat().st_size,
    ]  # fmt: skip
    assert SECRET.encode() not in Path("i.h5").read_bytes()
    folder = built(shards, index="folder.h5")
    assert folder.root_digest == report.root_digest


def test_a_second_build_asks_for_headers_and_reads_no_shard(proxy: FaultyProxy, shards: str) -> None:
    first = built(shards)
    before = proxy.count("GET", ".tar")
    again = built(shards)
    assert again.unchanged == 8 and again.root_digest == first.root_digest
    assert proxy.count("GET", ".tar") == before == 2
    shutil.rmtree("cache")
    assert built(shards).unchanged == 8
    assert proxy.count("GET", ".tar") == before + 2


def test_a_changed_shard_is_copied_again(s3: S3, proxy: FaultyProxy, shards: str) -> None:
    built(shards)
    write_tar(
        Path("new.tar"), [("000010000.jpg", picture(99)), ("000010000.json", b'{"artist": "Ada Example"}')]
    )
    s3.write(f"{shards.removeprefix(f's3://{BUCKET}/')}/00001.tar", Path("new.tar").read_bytes())
    report = built(shards, prune=True)
    assert (report.rows, report.unchanged, report.replaced, report.pruned) == (5, 4, 1, 3)
    assert read_bytes(f"{shards}/00001.tar::000010000.jpg") == picture(99)


@pytest.mark.parametrize("kind", ["503", "cut", "length", "reset", "short"])
def test_faults_of_the_store_are_passed_by(proxy: FaultyProxy, shards: str, kind: str) -> None:
    proxy.faults.append(Fault(kind, times=2, after=2000))
    assert read_bytes(f"{shards}/00000.tar::000000001.jpg") == picture(1)
    assert copies()[0].read_bytes() == Path("local/00000.tar").read_bytes()


def test_the_folder_of_copies_is_bounded(
    proxy: FaultyProxy, shards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Path("local/00000.tar").stat().st_size
    monkeypatch.setenv("IMINDEX_CACHE_BYTES", str(size + 1000))
    report = built(shards)
    assert report.rows == 8 and report.rejected == 0
    assert sum(path.stat().st_size for path in copies()) <= size + 1000
    monkeypatch.setenv("IMINDEX_CACHE_BYTES", "1000")
    shutil.rmtree("cache")
    with pytest.raises(
        ImindexError, match=r"more than the 1,000 that copies of shards may take.*IMINDEX_CACHE_BYTES"
    ):
        built(shards, index="other.h5")
    monkeypatch.setenv("IMINDEX_CACHE_BYTES", "lots")
    with pytest.raises(ImindexError, match=r"IMINDEX_CACHE_BYTES is 'lots'"):
        built(f"{shards}/00000.tar", index="other.h5")


def test_a_manifest_lists_members_of_remote_shards(proxy: FaultyProxy, shards: str) -> None:
    Path("list.csv").write_text(
        f"path,artist\n{shards}/00000.tar::000000002.jpg,Cy\n{shards}/00000.tar::9.jpg,Cy\n"
    )
    report = built("list.csv")
    assert (report.rows, report.reasons) == (1, (("the shard has no such member", 1),))


def test_an_index_makes_nobody_read_a_shard_that_the_user_did_not_name(
    proxy: FaultyProxy, shards: str
) -> None:
    built(shards)
    shutil.rmtree("cache")
    remote_shards.forget()
    credentials.forget()  # another process, whose user named nothing
    n = len(proxy.requests)
    with Index("i.h5") as index:
        assert check_pictures(index).outside == 8
        assert index.places().full(index.column("path")[0]) is None
        assert len(proxy.requests) == n
        assert check_pictures(index, roots=[shards]).same == 8
    assert len(proxy.requests) > n


def test_a_missing_or_unreadable_shard_is_refused(proxy: FaultyProxy, s3: S3) -> None:
    with pytest.raises(ImindexError, match=rf"s3://{BUCKET}/none/00000\.tar"):
        built(f"s3://{BUCKET}/none/00000.tar")
    s3.write("bad/0.tar", b"\x1f\x8b\x08" + bytes(600))
    with pytest.raises(ImindexError, match=rf"s3://{BUCKET}/bad/0\.tar is compressed by gzip"):
        built(f"s3://{BUCKET}/bad/0.tar")
    s3.write(
        "good/0.tar",
        write_tar(
            Path("0.tar"), [("1.jpg", picture(1)), ("1.json", json.dumps({"artist": "A"}).encode())]
        ).read_bytes(),
    )
    assert built(f"s3://{BUCKET}/good/0.tar").rows == 1
