"""An index in an object store is read as a local one: the same results, few bytes, and never bytes of two versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.url import Url
from imindex.indexer.remote import cache, cached
from imindex.indexer.remote.cached import BLOCK, CachedObject
from imindex.indexer.remote.errors import Changed, RemoteError
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import open_index
from imindex.indexer.store.remote_vectors import RemoteVectors
from tests.support import whole_index
from tests.support.commands import run
from tests.support.invented_index import invented_index
from tests.support.objects import BUCKET, S3, SECRET, Fault, FaultyProxy

pytestmark = pytest.mark.usefixtures("store_in_environment")


def url_of(s3: S3, path: Path, key: str) -> Url:
    s3.write(key, path.read_bytes())
    return Url(f"s3://{BUCKET}/{key}")


def backing_of(index: Index) -> Any:
    return index._backing


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 20,000 rows and 64 dimensions: 2.6 MB of vectors, three blocks of metadata at most."""
    path = tmp_path_factory.mktemp("large") / "large.h5"
    whole_index.save(path, 20_000)
    return path


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.h5"
    invented_index(path, 3)
    return path


def same(one: Index, other: Index) -> None:
    for table in ("items", "rejects"):
        for name, values in getattr(one, table)().items():
            assert np.array_equal(values, getattr(other, table)()[name]), name
    assert one.log() == other.log() and one.ann() == other.ann()
    assert np.array_equal(one.ann_data(), other.ann_data())
    assert np.array_equal(np.asarray(one.vectors), np.asarray(other.vectors))
    assert (one.root_digest, one.encoder, one.artists, one.collections) == (
        other.root_digest, other.encoder, other.artists, other.collections,
    )  # fmt: skip


def test_a_remote_index_has_what_the_local_one_has(s3: S3, local: Path, large: Path) -> None:
    for number, path in enumerate((local, large)):
        url = url_of(s3, path, f"equal/{number}.h5")
        with Index(path) as here, open_index(url) as there:
            same(here, there)
            assert str(there.path) == url and there.folder == f"s3://{BUCKET}/equal"
            assert isinstance(there.vectors, RemoteVectors)


def test_the_results_of_commands_are_equal_to_the_bit(s3: S3, local: Path, tmp_path: Path) -> None:
    url = url_of(s3, local, "commands/local.h5")
    for words in (
        ["match", "--collection", "r1"],
        ["classify", "--collection", "r1", "--by", "works"],
        ["compare", "r1", "r2", "--no-names"],
        ["info"],
        ["verify"],
        ["power", "--collection", "r1"],
    ):
        here, there = (json.loads(run(*words, "--json", "-i", place).stdout) for place in (local, url))
        for result in (here, there):
            result.pop("seconds", None)
        text = json.dumps(there).replace(url, str(local))
        assert json.loads(text) == json.loads(json.dumps(here)), words
    for place, folder in ((local, "here"), (url, "there")):
        run("export", tmp_path / folder, "-i", place)
    exported = sorted(p.name for p in (tmp_path / "here").iterdir())
    assert exported == sorted(p.name for p in (tmp_path / "there").iterdir()) and exported
    for name in exported:
        here, there = ((tmp_path / f / name).read_bytes() for f in ("here", "there"))
        assert there.replace(url.encode(), str(local).encode()) == here, name


def test_few_bytes_are_read_and_none_twice(s3: S3, large: Path, proxy: FaultyProxy) -> None:
    url = url_of(s3, large, "few/large.h5")
    size = large.stat().st_size
    with open_index(url) as index:
        opening = backing_of(index).bytes_read
        assert opening < 0.5 * size
        before = proxy.count("GET")
        assert before <= 8
        rows = np.arange(100, 130)
        with Index(large) as here:
            assert np.array_equal(index.vectors[rows], here.vectors[rows])
            assert index.text_at("path", rows) == here.text_at("path", rows)
        assert backing_of(index).bytes_read <= opening + 8 * BLOCK
        np.asarray(index.vectors)
        total = backing_of(index).bytes_read
    proxy.requests.clear()
    with open_index(url) as index:
        np.asarray(index.vectors)
        index.text_at("path", rows)
        assert backing_of(index).bytes_read == 0 and backing_of(index).requests == 0
    assert proxy.count("GET") == 0 and proxy.count("HEAD") == 1
    assert total <= size + BLOCK


def test_info_does_not_read_the_vectors(s3: S3, large: Path) -> None:
    url = url_of(s3, large, "info/large.h5")
    with mock.patch.object(RemoteVectors, "whole", side_effect=AssertionError):
        assert "not compared" in run("info", "-i", url).stdout
        assert (
            run("info", "--duplicates", "-i", url).stdout == run("info", "--duplicates", "-i", large).stdout
        )


def test_a_search_of_few_rows_reads_few_vectors(s3: S3, large: Path) -> None:
    from imindex.indexer.ann.exact import exact_searcher
    from imindex.retrieval.search.nearest import nearest

    url = url_of(s3, large, "search/large.h5")
    with Index(large) as here, open_index(url) as there:
        few, most = np.zeros(here.n, bool), np.ones(here.n, bool)
        few[5000:5100], most[:7] = True, False
        few[9] = True
        queries = np.asarray(here.vectors[:3])
        for among in (few, most, None):
            expected = nearest(exact_searcher(here.vectors), here.vectors, queries, k=7, among=among)
            found = nearest(exact_searcher(there.vectors), there.vectors, queries, k=7, among=among)
            assert np.array_equal(found.rows, expected.rows) and np.array_equal(found.scores, expected.scores)
            assert there.vectors.is_few(10) == (among is few)  # type: ignore[attr-defined]


def test_optimized_indexes_are_opened_in_place(s3: S3, optimized: dict[str, Path]) -> None:
    from imindex.indexer.ann.approximate import stored

    for kind, path in optimized.items():
        url = url_of(s3, path, f"optimized/{kind}.h5")
        with Index(path) as here, open_index(url) as there:
            searchers = stored(here), stored(there)
            if searchers[0] is None:
                assert searchers[1] is None
                continue
            queries = np.asarray(here.vectors[:5], np.float32)
            (scores, rows), (scores_there, rows_there) = (each[0].search(queries, 5) for each in searchers)  # type: ignore[index]
            assert np.array_equal(rows, rows_there) and np.array_equal(scores, scores_there)


# Versions


def test_an_object_that_is_replaced_is_refused_and_never_mixed(s3: S3, large: Path, tmp_path: Path) -> None:
    url = url_of(s3, large, "replaced/a.h5")
    other = tmp_path / "other.h5"
    whole_index.save(other, 20_100)
    with open_index(url) as index:
        s3.write("replaced/a.h5", other.read_bytes())
        with pytest.raises(Changed, match="was changed while it was read"):
            np.asarray(index.vectors)
    with open_index(url) as index, Index(other) as here:
        same(here, index)


def test_the_cache_is_kept_apart_by_version(s3: S3, local: Path, large: Path) -> None:
    url = url_of(s3, local, "versions/a.h5")
    with open_index(url) as first:
        np.asarray(first.vectors)
    s3.write("versions/a.h5", large.read_bytes())
    with open_index(url) as second, Index(large) as here:
        same(here, second)


# The cache


def entries() -> list[Path]:
    folder = Path(os.environ["IMINDEX_CACHE"]) / "objects"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_cache_is_private_and_names_nothing(s3: S3, local: Path) -> None:
    url = url_of(s3, local, "private/secretive.h5")
    with open_index(url):
        pass
    (entry,) = entries()
    assert entry.stat().st_mode & 0o777 == 0o600 and entry.parent.stat().st_mode & 0o777 == 0o700
    assert "secretive" not in entry.name and SECRET not in entry.name
    entry.parent.chmod(0o755)
    with open_index(url):
        pass
    assert entry.parent.stat().st_mode & 0o777 == 0o700


def test_no_block_is_taken_for_filled_that_is_not(
    s3: S3, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed, or a disk that fails, between the bytes and their mark: the blocks are fetched again."""
    url = url_of(s3, large, "marks/large.h5")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CachedObject, "_mark", mock.Mock(side_effect=KeyboardInterrupt))
        CachedObject(url).expect([(0, 5 * BLOCK)])
    (entry,) = entries()
    with entry.open("r+b") as file:  # half a block arrived, as after a kill in the middle of a write
        file.seek(BLOCK // 2)
        file.write(bytes(BLOCK))
    backing = CachedObject(url)
    assert not backing._marks.any()
    assert backing.at(0, 3 * BLOCK) == large.read_bytes()[: 3 * BLOCK]
    backing.close()


def test_nothing_is_read_or_mapped_where_nothing_was_fetched(s3: S3, large: Path) -> None:
    """The descriptor is handed out for spans that are there: every read of every span has the object's bytes."""
    url = url_of(s3, large, "holes/large.h5")
    data = large.read_bytes()
    random = np.random.default_rng(0)
    backing = CachedObject(url)
    for _ in range(60):
        address = int(random.integers(0, len(data)))
        length = int(random.integers(0, min(3 * BLOCK, len(data) - address) + 1))
        if random.random() < 0.5:
            assert backing.at(address, length) == data[address : address + length]
        else:
            descriptor = backing.descriptor([(address, length)])
            assert os.pread(descriptor, length, address) == data[address : address + length]
    marks = backing._marks
    there = os.pread(backing._descriptor, len(data), 0)
    for block in np.flatnonzero(marks).tolist():
        assert there[block * BLOCK : (block + 1) * BLOCK] == data[block * BLOCK : (block + 1) * BLOCK]
    backing.close()


@pytest.mark.parametrize("content", [b"", b"x", bytes(100), b"\3" * 500_000, b"\2" * 20], ids=range(5))
def test_a_file_of_something_else_in_the_cache_does_no_harm(s3: S3, local: Path, content: bytes) -> None:
    url = url_of(s3, local, "foreign/a.h5")
    with open_index(url):
        pass
    (entry,) = entries()
    entry.write_bytes(content)
    with open_index(url) as there, Index(local) as here:
        same(here, there)


def test_links_in_the_cache_are_not_followed(s3: S3, local: Path, tmp_path: Path) -> None:
    url = url_of(s3, local, "links/a.h5")
    with open_index(url):
        pass
    (entry,) = entries()
    entry.unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    entry.symlink_to(victim)
    try:
        with open_index(url) as there, Index(local) as here:
            same(here, there)
    except ImindexError as error:
        assert "symbolic link" in str(error)
    assert victim.read_bytes() == b"mine"


def test_the_cache_can_be_off_or_unusable(
    s3: S3, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(s3, local, "off/a.h5")
    (tmp_path / "file").write_text("no folder")
    for value in ("off", str(tmp_path / "file" / "below")):
        monkeypatch.setenv("IMINDEX_CACHE", value)
        with open_index(url) as there, Index(local) as here:
            same(here, there)
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_told(s3: S3, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = url_of(s3, large, "full/large.h5")
    monkeypatch.setattr(cached, "_write", mock.Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(ImindexError, match=r"cache folder .* cannot hold .*No space left.*IMINDEX_CACHE"):
        open_index(url)


def test_the_oldest_are_deleted(s3: S3, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMINDEX_CACHE_SIZE", "5MB")
    for number in range(4):
        url = url_of(s3, large, f"oldest/{number}.h5")
        with open_index(url) as index:
            for start in range(0, index.size, 4 * BLOCK):
                backing_of(index).at(start, min(BLOCK, index.size - start))
            np.asarray(index.vectors)
            index.items()
        for entry in entries()[:]:
            os.utime(entry, ns=(entry.stat().st_atime_ns, entry.stat().st_mtime_ns - 10**9))
    used = [entry.stat().st_blocks * 512 for entry in entries()]
    assert sum(used) <= 5e6 + 2 * large.stat().st_size and len(used) < 4
    monkeypatch.setenv("IMINDEX_CACHE_SIZE", "many")
    with pytest.raises(ImindexError, match="not a size"):
        open_index(url)


READER = """
import sys
import numpy as np
from imindex.indexer.store.index import recompute_root_digest
from imindex.indexer.store.opening import open_index
with open_index(sys.argv[1]) as index:
    for start in np.random.default_rng(int(sys.argv[2])).permutation(index.n - 50)[:40]:
        index.vectors[np.arange(start, start + 50)]
    assert recompute_root_digest(index) == index.root_digest
    print(index.root_digest)
"""


def test_processes_share_the_cache(s3: S3, large: Path) -> None:
    url = url_of(s3, large, "shared/large.h5")
    with Index(large) as here:
        expected = here.root_digest
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, url, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    assert [reader.communicate(timeout=60)[0].strip() for reader in readers] == [expected] * 2
    assert len(entries()) == 1


def test_a_reader_that_is_killed_leaves_a_usable_cache(s3: S3, large: Path, proxy: FaultyProxy) -> None:
    url = url_of(s3, large, "killed/large.h5")
    proxy.faults.append(Fault("slow", times=-1, seconds=0.4))
    for delay in (1.2, 1.6):
        reader = subprocess.Popen([sys.executable, "-c", READER, url, "0"], stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(delay)
        reader.kill()
        reader.wait()
    proxy.faults.clear()
    with open_index(url) as there, Index(large) as here:
        same(here, there)


# Faults


@pytest.mark.parametrize("kind", ["503", "cut", "short", "length", "reset"])
def test_faults_that_pass_change_nothing(s3: S3, large: Path, proxy: FaultyProxy, kind: str) -> None:
    url = url_of(s3, large, f"faults/{kind}.h5")
    proxy.faults.append(Fault(kind, times=4))
    with open_index(url) as there, Index(large) as here:
        same(here, there)


@pytest.mark.parametrize("kind", ["503", "cut", "short", "etag", "reset"])
def test_faults_that_stay_are_errors_and_leave_no_mark(
    s3: S3, large: Path, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = url_of(s3, large, f"stay/{kind}.h5")
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "2")
    index = open_index(url)
    proxy.faults.append(Fault(kind, times=-1))
    with pytest.raises(RemoteError) as raised:
        np.asarray(index.vectors)
    assert SECRET not in str(raised.value) and url in str(raised.value)
    index.close()
    proxy.faults.clear()
    with open_index(url) as there, Index(large) as here:
        same(here, there)


def test_errors_in_the_middle_of_hdf5_keep_their_cause(
    s3: S3, large: Path, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(s3, large, "middle/a.h5")
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "1")
    for allowed in range(6):
        shutil.rmtree(Path(os.environ["IMINDEX_CACHE"]), ignore_errors=True)
        proxy.faults[:] = [Fault("slow", times=allowed, seconds=0), Fault("503", times=-1)]
        try:
            open_index(url).close()
        except ImindexError as error:
            assert isinstance(error, RemoteError) and "503" in str(error), (allowed, error)
        else:
            assert allowed > 3
            break


def test_hostile_objects_are_refused_as_files_are(s3: S3, local: Path, tmp_path: Path) -> None:
    data = local.read_bytes()
    random = np.random.default_rng(1)
    hostile = {
        "empty": b"",
        "garbage": random.bytes(70_000),
        "zeros": bytes(200_000),
        "text": b"<html>not found</html>",
        "cut": data[: len(data) // 2],
        "short": data[:-1],
        "head": data[:100],
    }
    for number in range(25):
        flipped = bytearray(data)
        for _ in range(20):
            flipped[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
        hostile[f"flipped-{number}"] = bytes(flipped)
    for name, content in hostile.items():
        path = tmp_path / "hostile.h5"
        path.write_bytes(content)
        url = url_of(s3, path, f"hostile/{name}.h5")
        said = []
        for place in (path, url):
            try:
                with open_index(place) as index:
                    index.items(), index.rejects(), index.log(), index.stamps(), index.ann()
                    said.append("opened")
            except ImindexError as error:
                said.append(str(error).replace(str(place), "INDEX"))
        assert said[0] == said[1], name


def test_changed_vectors_are_noticed_when_all_are_read(s3: S3, large: Path, tmp_path: Path) -> None:
    with Index(large) as here:
        offset = here.raw()._file["vectors"].id.get_offset()
    data = bytearray(large.read_bytes())
    data[offset + 1000] ^= 1
    path = tmp_path / "changed.h5"
    path.write_bytes(data)
    url = url_of(s3, path, "changed/a.h5")
    for _ in range(2):
        with (
            open_index(url) as index,
            pytest.raises(ImindexError, match=r"vectors/0 .*is not what was written"),
        ):
            np.asarray(index.vectors)
    assert "vectors" in run("verify", "-i", url, code=3).output


def test_a_missing_index_is_told(s3: S3) -> None:
    for words in (["info"], ["match"], ["verify"], ["query", "a.png"]):
        said = " ".join(run(*words, "-i", f"s3://{BUCKET}/none.h5", code=1).output.split())
        assert f"s3://{BUCKET}/none.h5 does not exist" in said
    said = run("info", "-i", f"s3://me:{SECRET}@another-bucket/none.h5", code=1).output
    assert SECRET not in said


def test_several_remote_indexes_are_one(s3: S3, local: Path, tmp_path: Path) -> None:
    run("split", local, "--rows", "60", "-o", tmp_path / "parts")
    parts = sorted((tmp_path / "parts").glob("*.h5"))
    assert len(parts) > 1
    places = [(path, url_of(s3, path, f"several/{path.name}")) for path in parts]
    results = []
    for files in zip(*places, strict=True):
        words = [word for file in files for word in ("-i", file)]
        results.append(run("match", "--collection", "r1", "--json", *words))
    here, there = (json.loads(result.stdout) for result in results)
    for path, url in places:
        there = json.loads(json.dumps(there).replace(url, str(path)))
    for result in (here, there):
        result.pop("seconds", None)
    assert here == there


def test_cache_size_default() -> None:
    assert cache.limit_bytes() == cache.DEFAULT_LIMIT
