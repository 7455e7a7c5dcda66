"""An index in an object store is replaced as a whole, by the writer who read the version that it replaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.url import Url
from imindex.indexer.remote import cache, multipart, objects
from imindex.indexer.remote.errors import Conflict, Missing
from imindex.indexer.store import working_copy
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import open_index
from tests.support.commands import run
from tests.support.objects import ACCESS, BUCKET, S3, SECRET, Fault, FaultyProxy

pytestmark = pytest.mark.usefixtures("store_in_environment")

DEMO = ("--model", "demo", "--device", "cpu")


@pytest.fixture
def art(works: Callable[..., Path]) -> Path:
    return works({"works/ada": 3, "works/bo": 2, "imitations/r1/ada": 2})


def url_of(name: str) -> str:
    return f"s3://{BUCKET}/writes/{name}.h5"


def left_over(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "builds"
    return sorted(p.name for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


def test_builds_are_those_of_one_machine(art: Path, tmp_path: Path) -> None:
    for file in art.rglob("*.*"):
        os.utime(file, (1e9, 1e9))  # a file that has just changed has no stamp
    url = url_of("equal")
    first = run("build", art / "works", "-i", url, "--root", art, *DEMO)
    assert f"into {url}: 5 rows" in first.stdout and f"{url} is new" in first.stderr
    assert "5 unchanged" in run("build", art, "-i", url, "--root", art, *DEMO).stdout
    local = tmp_path / "elsewhere" / "i.h5"
    local.parent.mkdir()
    run("build", art / "works", "-i", local, "--root", art, *DEMO)
    run("build", art, "-i", local, "--root", art, *DEMO)
    with Index(local) as here, open_index(url) as there:
        assert here.root_digest == there.root_digest and np.array_equal(here.stamps()[0], there.stamps()[0])
        assert list(there.column("path")) == list(here.column("path"))
        assert there.column("path")[0] == "//art/works/ada/000.png"
        assert [line["summary"] for line in here.log()] == [line["summary"] for line in there.log()]
    picture = art / "works" / "ada" / "000.png"
    results = [json.loads(run("query", picture, "--json", "-i", place).stdout) for place in (local, url)]
    assert results[0] | {"index": url} == results[1]
    assert left_over(tmp_path) == []
    assert "no faults" in run("verify", "--pictures", "--root", art, "-i", url).stdout


def test_local_pictures_outside_a_root_are_stored_by_absolute_paths(art: Path) -> None:
    url = url_of("absolute")
    run("build", art / "works", "-i", url, *DEMO)
    with open_index(url) as index:
        assert index.column("path")[0] == str(art / "works" / "ada" / "000.png")
    outside = run("verify", "--pictures", "-i", url, code=4).stdout
    assert "outside the folder of the index" in outside
    assert "no faults" in run("verify", "--pictures", "--root", art, "-i", url).stdout
    assert "5 unchanged" in run("build", art / "works", "-i", url, *DEMO).stdout


def test_every_writer_replaces_the_object(art: Path, tmp_path: Path, proxy: FaultyProxy) -> None:
    url = url_of("writers")
    run("build", art, "-i", url, *DEMO)
    etag = objects.head(url).etag
    said = run("remove", "--artist", "bo", "--yes", "-i", url)
    assert f"from {url}: 5 rows" in said.stdout and "builds" not in said.output
    assert objects.head(url).etag != etag
    with open_index(url) as index:
        assert "bo" not in index.artists
    assert "stays exact" in run("optimize", "-i", url).stdout
    assert url in run("migrate", "-i", url).stdout
    said = run("remove", "--artist", "nobody", "--yes", "-i", url, code=1).output
    assert url in said and "builds" not in said
    other = url_of("other")
    run("build", art / "works" / "bo", "--kind", "works", "--artist", "bo", "-i", other, *DEMO)
    merged = url_of("merged")
    run("merge", url, other, "-o", merged)
    assert "exists already" in run("merge", url, other, "-o", merged, code=1).output
    run("merge", url, other, "-o", tmp_path / "merged.h5")
    with open_index(merged) as there, Index(tmp_path / "merged.h5") as here:
        assert there.n == here.n == 7 and there.root_digest == here.root_digest
    run("split", merged, "--rows", "4", "-o", tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.h5"))) == 2
    assert "no faults" in run("verify", "-i", merged).stdout
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("parts", [False, True])
def test_a_change_by_somebody_else_is_never_overwritten(
    art: Path, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    if parts:
        monkeypatch.setattr(multipart, "FROM_BYTES", 1000)
    for existing in (False, True):
        url = url_of(f"conflict-{parts}-{existing}")
        before = b""
        if existing:
            run("build", art / "works" / "ada", "--kind", "works", "--artist", "ada", "-i", url, *DEMO)
            before = objects.read(url)[0]
        put, written = objects.put, b"of somebody else"

        def late(where: str, *args: Any, put: Any = put, written: bytes = written, **how: Any) -> Any:
            s3.write(where.removeprefix(f"s3://{BUCKET}/"), written)
            return put(where, *args, **how)

        with monkeypatch.context() as patched:
            patched.setattr(objects, "put", late)
            said = " ".join(run("build", art, "-i", url, *DEMO, code=1).stderr.split())
        assert f"{url} {'has changed since' if existing else 'was created'}" in said
        assert "by another writer. Nothing was overwritten. Run the command again" in said
        assert objects.read(url)[0] == written
        kept = left_over(tmp_path)
        assert any(name.startswith("part-") for name in kept) and "encoder.json" in kept
        if existing:
            s3.write(url.removeprefix(f"s3://{BUCKET}/"), before)
        else:
            s3.delete(url.removeprefix(f"s3://{BUCKET}/"))
        assert "Encoded 0 pictures" in run("build", art, "-i", url, *DEMO).stdout
        assert left_over(tmp_path) == []


@pytest.mark.parametrize("parts", [False, True])
def test_an_index_that_somebody_deleted_is_told(
    art: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    if parts:
        monkeypatch.setattr(multipart, "FROM_BYTES", 1000)
        monkeypatch.setattr(multipart, "_require", lambda *_: None)
    url = url_of(f"deleted-{parts}")
    run("build", art / "works" / "ada", "--kind", "works", "--artist", "ada", "-i", url, *DEMO)
    put = objects.put

    def late(where: str, *args: Any, **how: Any) -> Any:
        s3.delete(where.removeprefix(f"s3://{BUCKET}/"))
        return put(where, *args, **how)

    with monkeypatch.context() as patched:
        patched.setattr(objects, "put", late)
        said = " ".join(run("build", art, "-i", url, *DEMO, code=1).stderr.split())
    assert f"{url} has changed since it was read" in said
    with pytest.raises(Missing):
        objects.head(url)


def test_pictures_below_the_url_are_read_and_none_elsewhere(art: Path, s3: S3, tmp_path: Path) -> None:
    local = tmp_path / "art" / "audit.h5"
    run("build", art / "works", "-i", local, *DEMO)
    s3.upload(art, "beside/set")
    url = f"s3://{BUCKET}/beside/set/audit.h5"
    with open_index(url) as index:
        assert index.column("path")[0] == "works/ada/000.png"
        assert index.places().full("works/ada/000.png") == f"s3://{BUCKET}/beside/set/works/ada/000.png"
        assert index.places().full("../else/000.png") is None
    assert "no faults" in run("verify", "--pictures", "-i", url).stdout
    # One folder deeper, the same paths mean other objects, and the pictures above are not read.
    s3.write("beside/set/deep/audit.h5", local.read_bytes())
    said = run("verify", "--pictures", "--json", "-i", f"s3://{BUCKET}/beside/set/deep/audit.h5", code=3)
    assert json.loads(said.stdout)["pictures"]["missing"] == 5, said.stdout


def test_a_conditional_put_in_parts(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "FROM_BYTES", 1 << 20)
    monkeypatch.setattr(multipart, "_LEAST_PART", 5 << 20)
    path = tmp_path / "large"
    path.write_bytes(np.random.default_rng(0).bytes(12 << 20))
    url = url_of("parts")
    info = objects.put(url, path, if_absent=True)
    assert objects.read(url)[0] == path.read_bytes() and objects.head(url).etag == info.etag
    assert info.etag.strip('"').endswith("-3")
    first = path.read_bytes()
    path.write_bytes(first[::-1])
    for condition in ({"if_absent": True}, {"if_etag": '"0123"'}):
        with pytest.raises(Conflict):
            objects.put(url, path, **condition)  # type: ignore[arg-type]
    monkeypatch.setattr(
        multipart, "_require", lambda *_: None
    )  # the store itself refuses, when parts are joined
    for condition in ({"if_absent": True}, {"if_etag": '"0123"'}):
        with pytest.raises(Conflict):
            objects.put(url, path, **condition)  # type: ignore[arg-type]
    assert objects.read(url)[0] == first
    assert objects.put(url, path, if_etag=info.etag).etag == objects.head(url).etag
    assert objects.read(url)[0] == path.read_bytes()


@pytest.mark.parametrize("kind", ["503", "reset"])
def test_faults_of_a_put_that_pass(
    art: Path, proxy: FaultyProxy, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parts in (False, True):
        if parts:
            monkeypatch.setattr(multipart, "FROM_BYTES", 1000)
        url = url_of(f"put-{kind}-{parts}")
        proxy.faults.append(Fault(kind, times=2, method="PUT"))
        run("build", art, "-i", url, *DEMO)
        assert not any(fault.times for fault in proxy.faults)
        assert "no faults" in run("verify", "-i", url).stdout


def build_in_a_process(art: Path, url: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "IMINDEX_CACHE": str(folder), **environment}
    words = [sys.executable, "-m", "imindex", "build", str(art), "-i", url, *DEMO]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)


@pytest.mark.slow
def test_of_two_machines_at_once_none_loses_anything(art: Path, tmp_path: Path, s3: S3) -> None:
    """Credentials are in the URL here: they reach neither the index nor what is said."""
    url = url_of("race")
    with_secret = url.replace("s3://", f"s3://{ACCESS}:{SECRET}@")
    sources = art / "works", art / "imitations"
    hidden = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    writers = [
        build_in_a_process(source, with_secret, tmp_path / str(number), **hidden)
        for number, source in enumerate(sources)
    ]
    said = [writer.communicate(timeout=120)[0] for writer in writers]
    codes = [writer.returncode for writer in writers]
    assert 0 in codes and set(codes) <= {0, 1}, said
    for number, (code, text) in enumerate(zip(codes, said, strict=True)):
        assert SECRET not in text
        if code:
            assert "by another writer" in " ".join(text.split()), text
            again = build_in_a_process(sources[number], with_secret, tmp_path / str(number), **hidden)
            assert "Encoded 0 pictures" in again.communicate(timeout=120)[0] and again.returncode == 0
    with open_index(url) as index:
        assert index.n == 7
        assert SECRET not in json.dumps(index.log()) and url in json.dumps(index.log())
    assert "no faults" in run("verify", "-i", url).stdout


@pytest.mark.parametrize("method", ["PUT", pytest.param("POST", marks=pytest.mark.slow)])
def test_a_writer_killed_in_mid_upload_leaves_no_half_object(
    art: Path, tmp_path: Path, proxy: FaultyProxy, method: str
) -> None:
    """PUT: a single request that never arrives as a whole. POST: all parts are there, and not put together."""
    url = url_of(f"killed-{method}")
    environment = {}
    if method == "POST":
        start = tmp_path / "start"
        start.mkdir()
        (start / "sitecustomize.py").write_text(
            "import imindex.indexer.remote.multipart as multipart\nmultipart.FROM_BYTES = 1000\n"
        )
        environment = {
            "PYTHONPATH": os.pathsep.join([str(start), *filter(None, [os.environ.get("PYTHONPATH")])])
        }
    contains = "uploadId" if method == "POST" else ""
    proxy.faults.append(Fault("hang", times=-1, method=method, contains=contains, seconds=60))
    writer = build_in_a_process(art, url, tmp_path / "cache", **environment)
    try:
        deadline = time.monotonic() + 60
        while not proxy.count(method, "uploadId" if method == "POST" else "killed"):
            assert writer.poll() is None and time.monotonic() < deadline, writer.communicate()[0]
            time.sleep(0.05)
    finally:
        writer.kill()
        writer.communicate()
    proxy.faults.clear()
    with pytest.raises(Missing):
        objects.head(url)
    assert [
        info.url for info in objects.listing(f"s3://{BUCKET}/writes") if "killed-" + method in info.url
    ] == []
    again = run("build", art, "-i", url, *DEMO)
    assert "An earlier run was interrupted" in again.stderr
    assert "Encoded 0 pictures" in again.stdout
    assert "no faults" in run("verify", "-i", url).stdout
    assert left_over(tmp_path) == []


def test_one_machine_changes_an_index_once_at_a_time(art: Path) -> None:
    url = Url(url_of("locked"))
    with working_copy.working_copy(url):
        said = run("build", art, "-i", url, *DEMO, code=1).stderr
    assert f"{url} is being changed by process" in " ".join(said.split())


def test_the_working_copy_is_private(tmp_path: Path) -> None:
    url = Url(url_of("private"))
    with working_copy.working_copy(url) as path:
        assert path.parent.stat().st_mode & 0o777 == 0o700 and path.name == "private.h5"
        assert working_copy.shown(path) == url and working_copy.home_of(path) == url.parent
    assert not path.parent.exists() and working_copy.shown(path) == path


@pytest.mark.parametrize("name", ["a b.h5", "…/..h5", "x" * 200 + ".h5", "a%2F..%2Fb.h5", "ü?.h5"])
def test_names_of_working_copies_stay_in_their_folder(name: str) -> None:
    path = cache.build_path(Url(f"s3://bucket/{name}"))
    assert path.parent.parent == cache.data_root() / "builds"
    assert len(path.name.encode()) <= 200 and path.name != ".." and "/" not in path.name


def test_a_store_without_etags_is_not_written(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    from dataclasses import replace

    url = url_of("no-etag")
    s3.write("writes/no-etag.h5", b"something")
    head = objects.head
    monkeypatch.setattr(objects, "head", lambda where: replace(head(where), etag=""))
    with pytest.raises(ImindexError, match="no etag"), working_copy.working_copy(Url(url)):
        pass
