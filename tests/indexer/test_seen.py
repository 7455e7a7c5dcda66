"""Rebuilding without reading: which files are recognised by size, modification time and inode."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.build import unchanged
from imindex.indexer.build.build import build
from imindex.indexer.build.scan import Scan, Scanned
from imindex.indexer.core.paths import stored_path
from imindex.indexer.core.schema import NO_STAMP
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources import read
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.local import raw_stamp
from imindex.indexer.store.index import Index
from tests.support.builds import TREE, Counting


def age(folder: Path, seconds: float = 60) -> None:
    """Make all files below look as if they had changed some time ago."""
    then = time.time() - seconds
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a build reads."""
    listed: list[str] = []
    real = read.read_file

    def noting(path: str) -> object:
        listed.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(read, "read_file", noting)
    return listed


def test_unchanged_files_are_not_read_again(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    root, path = works(TREE), tmp_path / "i.h5"
    (root / "works/ada/broken.png").write_bytes(b"no picture")
    age(root)
    first = build(list(find([root])), path, Counting(tiny_encoder))
    assert len(files_read) == first.rows + first.rejected == 28
    files_read.clear()
    before = path.read_bytes()
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert files_read == [] and path.read_bytes() == before
    assert (report.unchanged, report.rejected, report.already_rejected) == (27, 1, 1)
    build(list(find([root])), path, Counting(tiny_encoder), rehash=True)
    assert len(files_read) == 28


@pytest.mark.parametrize("how", ["bytes", "same size and time", "touched", "another inode"])
def test_a_changed_file_is_read(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str], how: str
) -> None:
    root, path = works({"works/ada": 3}), tmp_path / "i.h5"
    age(root)
    build(list(find([root])), path, Counting(tiny_encoder))
    files_read.clear()
    one, other = root / "works/ada/000.png", root / "works/ada/001.png"
    if how == "bytes":
        one.write_bytes(other.read_bytes())
    elif how == "same size and time":  # swapped by renaming: only the inode tells
        status = one.stat()
        one.rename(tmp_path / "away")
        one.write_bytes(other.read_bytes().ljust(status.st_size, b"\0")[: status.st_size])
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif how == "touched":
        os.utime(one, (time.time() - 30, time.time() - 30))
    else:
        data, status = one.read_bytes(), one.stat()
        one.rename(tmp_path / "away")
        one.write_bytes(data)
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert files_read == ["000.png"]
    assert report.unchanged == (3 if how in ("touched", "another inode") else 2)


def test_a_recently_changed_file_is_read_again(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    """Within the clock's resolution a file can change and keep its stamp."""
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    age(root / "works/ada")
    fresh = root / "works/ada/001.png"
    os.utime(fresh)
    build(list(find([root])), path, Counting(tiny_encoder))
    with Index(path) as index:
        assert [tuple(row) == NO_STAMP for row in index.stamps()[0].tolist()] == [False, True]
    files_read.clear()
    build(list(find([root])), path, Counting(tiny_encoder))
    assert files_read == ["001.png"]


def test_stamps_are_rewritten_when_that_saves_more_reading_than_it_costs(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    big = root / "works/ada/big.png"
    big.write_bytes((root / "works/ada/000.png").read_bytes() + bytes(200_000))
    age(root)
    build(list(find([root])), path, Counting(tiny_encoder))
    size = path.stat().st_size
    assert size < 200_000
    with Index(path) as index:
        digest, changes = index.root_digest, len(index.log())
    age(root, 50)  # another time of change, the same bytes
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.unchanged, report.root_digest) == (3, digest)
    with Index(path) as index:
        assert len(index.log()) == changes + 1
    files_read.clear()
    build(list(find([root])), path, Counting(tiny_encoder))
    assert files_read == []


def test_rejects_are_retried_on_request(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    root, path = works({"works/ada": 1}), tmp_path / "i.h5"
    (root / "works/ada/broken.png").write_bytes(b"no picture")
    age(root)
    build(list(find([root])), path, Counting(tiny_encoder))
    files_read.clear()
    report = build(list(find([root])), path, Counting(tiny_encoder), retry_rejects=True)
    assert files_read == ["broken.png"] and report.rejected == 1


def test_stamps_follow_rows_that_are_moved_and_pruned(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    root, path = works({"works/ada": 3, "works/bo": 2}), tmp_path / "i.h5"
    age(root)
    build(list(find([root])), path, Counting(tiny_encoder))
    (root / "works/ada/000.png").rename(root / "works/ada/zzz.png")
    (root / "works/ada/001.png").unlink()
    build(list(find([root])), path, Counting(tiny_encoder), prune=True)
    with Index(path) as index:
        stamps, paths = index.stamps()[0], index.column("path")
        sizes = [(tmp_path / stored).stat().st_size for stored in paths]
        assert stamps[:, 0].tolist() == sizes and np.all(stamps > 0)
    files_read.clear()
    build(list(find([root])), path, Counting(tiny_encoder))
    assert files_read == []


def test_an_index_without_stamps_is_read_as_before(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, files_read: list[str]
) -> None:
    import h5py

    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    age(root)
    digest = build(list(find([root])), path, Counting(tiny_encoder)).root_digest
    with h5py.File(path, "a") as file:
        del file["stamps"]
    files_read.clear()
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert len(files_read) == 2 and (report.unchanged, report.root_digest) == (2, digest)


@pytest.mark.parametrize(
    "path", ["a/b/c.png", "/x/y.png", "c.png", "a/../b/d.png", "./e.png", "a//f.png", "../g.png", "a/.", "/h"]
)
def test_cached_stored_paths_equal_uncached_ones(path: str, tmp_path: Path) -> None:
    many = unchanged.StoredPaths(tmp_path)
    assert many(path) == many(path) == stored_path(path, tmp_path)


def test_64_bit_inodes_and_out_of_range_times(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    status = list((tmp_path / "x").stat())

    def stamp(inode: int, nanoseconds: int) -> tuple[int, int, int]:
        status[1] = inode
        return raw_stamp(
            os.stat_result([*status, 0.0, 0.0, 0.0, 0, nanoseconds, 0][: os.stat_result.n_fields])
        )

    assert stamp(2**64 - 1, 5)[2] == -1 and stamp(7, 5)[2] == 7
    assert len({stamp(inode, 5) for inode in (1, 2**63, 2**63 + 1, 2**64 - 1)}) == 4
    assert stamp(7, 2**63) == NO_STAMP


def test_scanned_pictures_round_trip_through_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    listed = [
        Scanned(
            Item(f"{n}.png", "Ada", "works", "works"), rng.bytes(32), "" if n % 3 else f"reason {n}",
            (n, 2**62 + n, -n),
        )
        for n in range(10)
    ]  # fmt: skip
    scan = Scan()
    for one in listed:
        scan.append(one)
    assert list(scan) == listed and len(scan) == 10
    assert scan.digests([7, 2]).tobytes() == listed[7].digest + listed[2].digest
    assert scan.stamps([9]).tolist() == [[9, 2**62 + 9, -9]]
    assert scan.digests([]).shape == (0, 32) and Scan().stamps([]).shape == (0, 3)
