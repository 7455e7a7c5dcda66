"""A power cut at any moment leaves either the old or the new index, with everything that was committed."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imindex.indexer.build import build as build_module
from imindex.indexer.build.build import build
from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.generate.prompts import shots
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.maintain.remove import remove
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.indexer.system import atomic as files
from imindex.retrieval.audit.register import NAME, read_register, register
from imindex.retrieval.results import RegisterEntry
from tests.support.approximate import clustered, save
from tests.support.builds import Counting, digest
from tests.support.pictures import picture
from tests.support.powercut import lay, read_tree, recorded, states

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.usefixtures("one_thread"),
]


class Disk:
    """A folder with an index, pictures elsewhere, and a builder that commits after every batch."""

    def __init__(self, folder: Path, pictures: Path, encoder: Encoder):
        self.root = folder / "disk"
        self.root.mkdir()
        self.path = self.root / "i.h5"
        self.pictures, self.encoder = pictures, encoder

    def build(self, below: str = "", **options: Any) -> str:
        items = list(find([self.pictures / below]))
        return build(items, self.path, Counting(self.encoder), **options).root_digest

    def committed(self) -> set[bytes]:
        """Return the pictures in the index or in the parts; both must open."""
        found: set[bytes] = set()
        if self.path.exists():
            digest(self.path)
            with Index(self.path) as index:
                rows = [bytes(one) for one in index.column("sha256")]
                keys = list(zip(index.column("artist"), index.column("path"), strict=True))
                assert len(keys) == len(set(keys))
                found |= {*rows, *(bytes(one) for one in index.rejects()["sha256"])}
        with Parts(self.path, self.encoder.info) as parts:
            for vector in parts.collect(list(parts.numbers))[0]:
                assert np.isfinite(vector).all()
            return found | parts.numbers.keys() | parts.rejected.keys()


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log counts, not the disk of the test machine: real flushes would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def disk(works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(build_module, "COMMIT_SECONDS", 0.0)
    root = works({"works/ada": 3, "works/bo": 3, "control": 2})
    (root / "works/bo/broken.png").write_bytes(b"no picture")
    return Disk(tmp_path, root, tiny_encoder)


def mark_commits(monkeypatch: pytest.MonkeyPatch, log: Any) -> None:
    append = Parts.append

    def marked(self: Parts, batch: Batch) -> None:
        pictures = {*batch.digests, *batch.rejected}
        append(self, batch)
        log.mark(pictures)

    monkeypatch.setattr(Parts, "append", marked)


def replay(disk: Disk, log: Any, roots: set[str], again: Callable[[], Any], final: str) -> int:
    """Go through every state; return their number."""
    old = "i.h5" in log.before
    done = set()
    count = 0
    for tree, marks in states(log):
        lay(disk.root, tree)
        assert disk.path.exists() or not old
        if disk.path.exists():
            assert digest(disk.path) in ({final} if "returned" in marks else roots)
        lost = set().union(*(one for one in marks if one != "returned")) - disk.committed()
        assert not lost
        count += 1
        if (here := tuple(sorted(tree.items(), key=lambda pair: pair[0]))) in done:
            continue
        done.add(here)
        lay(disk.root, tree)  # as it was before it was looked at
        again()
        assert digest(disk.path) == final
        assert [path.name for path in disk.root.iterdir()] == ["i.h5"]
    return count


@pytest.mark.parametrize("old", [pytest.param(False, marks=pytest.mark.slow), True], ids=["new", "add"])
def test_a_build(disk: Disk, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = {disk.build("control")} if old else set()
    with recorded(disk.root) as log, monkeypatch.context() as patch:
        mark_commits(patch, log)
        final = disk.build()
        log.mark("returned")
    assert sum(operation[0] == "rename" for operation in log.operations) >= 4  # encoder.json, parts, index
    assert replay(disk, log, {*roots, final}, disk.build, final) > 30


def test_removal_with_pending_parts(disk: Disk) -> None:
    old = disk.build()
    with Parts(disk.path, disk.encoder.info) as parts, Index(disk.path) as index:
        gone = [bytes(one) for one in index.column("sha256")[index.column("artist") == 1]]
        vector = np.full(index.encoder.dim, 0.25, np.float16)
        parts.append(Batch([gone[0], b"w" * 32], [vector, vector], [(1, 1), (2, 2)]))
    with recorded(disk.root) as log:
        final = remove(disk.path, artists=["bo"]).root_digest
    for tree, _ in states(log):
        lay(disk.root, tree)
        assert digest(disk.path) in (old, final)
        if digest(disk.path) == old:
            remove(disk.path, artists=["bo"])
        assert digest(disk.path) == final
        with Parts(disk.path, disk.encoder.info) as parts:
            assert set(parts.numbers) == {b"w" * 32}  # of a picture that is gone nothing comes back


def test_an_optimisation(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path = save(tmp_path / "disk/i.h5", clustered(2_000))
    root = digest(path)
    with recorded(path.parent) as log:
        optimize(path, kind="ivf", recall=0.5, memory=10**8)
        log.mark("returned")
    kinds = set()
    for tree, marks in states(log):
        lay(path.parent, tree)
        assert digest(path) == root
        with Index(path) as index:
            kinds.add(index.ann()["kind"])
            assert index.ann()["kind"] == "ivf" or not marks
    assert kinds == {"exact-fp16", "ivf"}


def test_vectors_of_another_encoder_are_never_reused(disk: Disk) -> None:
    """Deleted parts may reappear, but only with the note of their encoder."""
    with recorded(disk.root) as log:
        disk.build()
    for tree, _ in states(log):
        if any("/part-" in name for name in tree):
            assert "i.h5.parts/encoder.json" in tree
    lay(disk.root, {"i.h5.parts": None, "i.h5.parts/part-00000001.npz": b""})
    with pytest.raises(ImindexError, match=r"encoder\.json is missing, so .* Delete the folder"):
        disk.build()


def test_generated_folder(tmp_path: Path) -> None:
    """After the cut, every generated picture is there with its line or is generated again, and the next run works."""
    from imindex.indexer.generate.release_folder import Folder, locked, missing_shots

    asked = shots(["Ada", "Bo"], per_artist=2)
    common = {"model": "m", "revision": "r", "versions": {"imindex": "0"}}
    root = tmp_path / "disk"
    root.mkdir()

    def generate(log: Any = None) -> dict[str, bytes]:
        with locked(root / "out"):
            folder = Folder(root / "out", "out", common)
            folder.refuse_other({"model": "m"})
            done = folder.done(asked)
            for number, shot in enumerate(asked):
                if shot.path not in done:
                    folder.add(shot, picture(number, (8, 8)), None)
                    if log is not None:
                        log.mark(shot.path)
            folder.finish(asked)
        return {name: data for name, data in read_tree(root).items() if data and not name.endswith(".lock")}

    with recorded(root) as log:
        whole = generate(log)
    for tree, marks in states(log):
        lay(root, tree)
        assert {shot.path for shot in missing_shots(asked, root / "out")}.isdisjoint(marks)
        assert generate() == whole


def test_the_register_of_an_audit(tmp_path: Path) -> None:
    """Registered entries persist, an entry is written whole or not at all, and the same call resumes from any state."""
    root = tmp_path / "disk"
    root.mkdir()

    def plan(text: str) -> Any:
        return SimpleNamespace(
            digest=hashlib.sha256(text.encode()).hexdigest(), text=text, path="plan.toml", encoders=("one",)
        )

    def run(log: Any = None) -> list[str]:
        entries: list[RegisterEntry] = []
        for text, why in (("asked", ""), ("asked otherwise", "an artist withdrew"), ("asked again", "typo")):
            if (root / NAME).exists() and text in [entry.text for entry in read_register(root)]:
                continue
            entries = register(plan(text), {"works": "0" * 64}, root, amend=why)
            if log is not None:
                log.mark(text)
        return [entry.text for entry in entries or read_register(root)]

    with recorded(root) as log:
        whole = run(log)
    assert len(whole) == 3
    for tree, marks in states(log):
        lay(root, tree)
        there = [entry.text for entry in read_register(root)] if (root / NAME).exists() else []
        assert there == whole[: len(there)] and len(there) >= len(marks)
        assert run() == whole


@pytest.mark.slow
def test_the_model_finds_a_build_that_does_not_flush(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: without flushing files a part is torn, and without flushing folders it is lost."""
    for what in ("flush", "flush_folder"):
        lay(disk.root, {})
        with recorded(disk.root) as log, monkeypatch.context() as patch:
            kind = stat.S_ISREG if what == "flush" else stat.S_ISDIR
            patch.setattr(
                files, "flush", lambda fd, kind=kind: None if kind(os.fstat(fd).st_mode) else flush(fd)
            )
            mark_commits(patch, log)
            final = disk.build()
        with pytest.raises(
            (ImindexError, AssertionError)
        ):  # a torn part; a part without encoder.json, or none
            replay(disk, log, {final}, disk.build, final)


flush = files.flush
