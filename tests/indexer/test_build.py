"""Builds: each picture is encoded once, rows follow the files, and a killed build loses nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imindex.indexer.build import build as build_module
from imindex.indexer.build.build import Stopped, build
from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode import preprocess as images
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.runners import reader
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.support.builds import TREE, Counting, digest
from tests.support.models import save_model
from tests.support.pictures import picture


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float), b.astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_every_picture_is_a_row_with_its_own_vector(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works(TREE)
    items = list(find([root]))
    report = build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.rows, report.encoded, report.added, report.rejected) == (27, 27, 27, 0)
    with Index(tmp_path / "i.h5") as index:
        assert index.artists == ("ada", "bo")
        assert [(c.name, c.kind) for c in index.collections] == [
            ("works", "works"), ("r1", "imitations"), ("control", "control"),
        ]  # fmt: skip
        paths = index.column("path")
        assert [tmp_path / path for path in paths] == [Path(item.path) for item in items]
        for row, path in enumerate(paths):
            data = (tmp_path / path).read_bytes()
            assert bytes(index.column("sha256")[row]) == hashlib.sha256(data).digest()
            alone = tiny_encoder.encode_images(prepared(data, tiny_encoder))
            assert cosine(index.vectors[row], alone[0]) > 0.9999
        assert index.column("artist")[-3:].tolist() == [-1, -1, -1]
        assert set(index.column("width")) == {48}
        assert not list(tmp_path.glob("*.parts"))


def prepared(data: bytes, encoder: Encoder) -> torch.Tensor:
    from imindex.indexer.decode.preprocess import decode

    return decode(data, encoder.preprocess).pixels[None]


def test_second_build_encodes_nothing_and_keeps_the_file(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works(TREE), tmp_path / "i.h5"
    # Old enough to be recorded with a stamp at once, even on a slow machine.
    for file in root.rglob("*.*"):
        os.utime(file, (time.time() - 3600,) * 2)
    build(list(find([root])), path, Counting(tiny_encoder))
    before = path.stat()
    encoder = Counting(tiny_encoder)
    report = build(list(find([root])), path, encoder)
    assert (encoder.count, report.unchanged, report.added) == (0, 27, 0)
    assert path.stat().st_ino == before.st_ino


def test_add_move_replace_and_share_files(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root, path = works(TREE), tmp_path / "i.h5"
    build(list(find([root])), path, Counting(tiny_encoder))
    ada = root / "works/ada"
    (ada / "000.png").rename(ada / "renamed.png")  # moved: same row, new path
    picture(900).save(ada / "001.png")  # replaced: other bytes
    shutil.copy(
        ada / "002.png", root / "works/bo/borrowed.png"
    )  # shared between artists: two rows, one vector
    picture(901).save(ada / "new.png")
    encoder = Counting(tiny_encoder)
    report = build(list(find([root])), path, encoder)
    assert (report.moved, report.replaced, report.added, report.unchanged) == (1, 1, 2, 25)
    assert encoder.count == 2
    with Index(path) as index:
        assert index.n == 29
        paths = [str(p) for p in index.column("path")]
        assert "art/works/ada/000.png" not in paths and len(set(paths)) == 29
        row = paths.index("art/works/ada/renamed.png")
        assert row == 0
        ours, theirs = paths.index("art/works/ada/002.png"), paths.index("art/works/bo/borrowed.png")
        assert (index.vectors[ours] == index.vectors[theirs]).all()
        assert [index.artists[a] for a in index.column("artist")[[ours, theirs]]] == ["ada", "bo"]
        replaced = paths.index("art/works/ada/001.png")
        assert (
            bytes(index.column("sha256")[replaced]) == hashlib.sha256((ada / "001.png").read_bytes()).digest()
        )
        for r, p in enumerate(paths):
            alone = tiny_encoder.encode_images(prepared((tmp_path / p).read_bytes(), tiny_encoder))
            assert cosine(index.vectors[r], alone[0]) > 0.9999
    digest(path)


def test_unreadable_pictures_are_recorded_and_retried_only_when_they_change(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 3}), tmp_path / "i.h5"
    bad = root / "works/ada/bad.png"
    bad.write_bytes(b"not a picture")
    (root / "works/ada/empty.png").touch()
    (root / "works/ada/dangling.png").symlink_to("nowhere")
    os.mkfifo(root / "works/ada/pipe")
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (3, 4)
    with Index(path) as index:
        reasons = dict(zip(index.rejects()["path"], index.rejects()["reason"], strict=True))
    assert reasons["art/works/ada/bad.png"] == "not a picture in any format that Pillow opens"
    assert reasons["art/works/ada/empty.png"] == "empty file"
    assert "No such file" in reasons["art/works/ada/dangling.png"]
    assert reasons["art/works/ada/pipe"] == "not a regular file"
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rejected, report.already_rejected, report.encoded) == (4, 2, 0)
    picture(77).save(bad)
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.encoded, report.rejected) == (4, 1, 3)
    with Index(path) as index:
        assert "art/works/ada/bad.png" not in index.rejects()["path"]


def test_strict_writes_no_index_and_names_the_pictures(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 3}), tmp_path / "i.h5"
    (root / "works/ada/bad.png").write_bytes(b"x")
    with pytest.raises(ImindexError, match=r"bad\.png: not a picture"):
        build(list(find([root])), path, Counting(tiny_encoder), strict=True)
    assert not path.exists()
    (root / "works/ada/bad.png").unlink()
    encoder = Counting(tiny_encoder)
    assert build(list(find([root])), path, encoder, strict=True).resumed == 3
    assert encoder.count == 0


def test_vectors_that_are_not_finite_are_rejected(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    class Broken(Counting):
        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            vectors = super().encode_images(pixels)
            vectors[0] = np.nan
            return vectors

    report = build(list(find([works({"works/ada": 4})])), tmp_path / "i.h5", Broken(tiny_encoder))
    assert (report.rows, report.rejected) == (3, 1)
    with Index(tmp_path / "i.h5") as index:
        assert index.rejects()["reason"].tolist() == ["the encoder gave no finite vector at fp32"]


def test_ctrl_c_keeps_whole_batches_and_the_next_run_resumes(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    items = list(find([works(TREE)]))
    build(items, tmp_path / "straight.h5", Counting(tiny_encoder))

    def interrupt(done: int, encoded: int) -> None:
        if encoded >= 12:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="12 encoded pictures are kept"):
        build(items, tmp_path / "i.h5", Counting(tiny_encoder), progress=interrupt)
    assert not (tmp_path / "i.h5").exists()
    encoder = Counting(tiny_encoder)
    report = build(items, tmp_path / "i.h5", encoder)
    assert (report.resumed, encoder.count, report.rows) == (12, 15, 27)
    assert digest(tmp_path / "i.h5") == digest(tmp_path / "straight.h5")
    assert not (tmp_path / "i.h5.parts").exists()


def test_parts_of_other_sources_are_kept(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works(TREE)

    def interrupt(done: int, encoded: int) -> None:
        if encoded:
            raise KeyboardInterrupt

    with pytest.raises(Stopped):
        build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder), progress=interrupt)
    report = build(list(find([root / "control"])), tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.rows, report.waiting) == (3, 4)
    encoder = Counting(tiny_encoder)
    report = build(list(find([root])), tmp_path / "i.h5", encoder)
    assert (report.rows, report.resumed, encoder.count, report.waiting) == (27, 4, 20, 0)


def test_another_encoder_is_refused(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    items = list(find([works({"works/ada": 3})]))
    build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    other = load(f"local-dir:{save_model(tmp_path / 'other', seed=1)}", device="cpu", precision="fp32")
    with pytest.raises(ImindexError, match=r"was encoded with .*weights"):
        build(items, tmp_path / "i.h5", Counting(other))


def test_two_builders_at_once_are_refused(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    items = list(find([works({"works/ada": 3})]))

    def intrude(done: int, encoded: int) -> None:
        with pytest.raises(ImindexError, match=f"being built by process {os.getpid()} on "):
            build(items, tmp_path / "i.h5", Counting(tiny_encoder))

    build(items, tmp_path / "i.h5", Counting(tiny_encoder), progress=intrude)


def test_a_failed_write_leaves_the_old_index_and_the_parts(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = works(TREE), tmp_path / "i.h5"
    build(list(find([root / "control"])), path, Counting(tiny_encoder))
    before = digest(path)

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(build_module, "write", full)
    with pytest.raises(OSError, match="No space left"):
        build(list(find([root])), path, Counting(tiny_encoder))
    assert digest(path) == before
    monkeypatch.undo()
    encoder = Counting(tiny_encoder)
    assert build(list(find([root])), path, encoder).resumed == 24
    assert encoder.count == 0


def test_an_encoder_that_uses_all_processors_does_not_share_them(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files may be read at any time, but nothing is decoded during encoding; with other encoders it overlaps."""
    items = list(find([works({"works/ada": 40})]))
    encoding, begun = threading.Event(), []
    real = images.decode

    def decode(*given: Any, **how: Any) -> images.Picture:
        begun.append(encoding.is_set())
        time.sleep(0.02)
        return real(*given, **how)

    class Slow(Counting):
        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            encoding.set()
            time.sleep(0.3)
            vectors = super().encode_images(pixels)
            encoding.clear()
            return vectors

    monkeypatch.setattr(images, "decode", decode)
    monkeypatch.setattr(reader, "processors", lambda: 2)
    shares = {}
    for alone in (True, False):
        monkeypatch.setattr(Slow, "takes_all_processors", alone)
        begun.clear()
        assert build(items, tmp_path / f"{alone}.h5", Slow(tiny_encoder, 20)).encoded == 40 == len(begun)
        shares[alone] = sum(begun)
    assert shares[True] <= 2 < shares[False]  # each of two threads may have been about to begin
    assert digest(tmp_path / "True.h5") == digest(tmp_path / "False.h5")


def test_a_compressed_part_file_is_refused(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    path, items = tmp_path / "i.h5", list(find([works({"works/ada": 2})]))
    with Parts(path, tiny_encoder.info) as parts:
        parts.append(Batch([b"x" * 32], [np.ones(tiny_encoder.dim, np.float16)], [(1, 1)]))
        (part,) = parts.folder.glob("part-*.npz")
    with np.load(part) as stored:
        columns = dict(stored)
    np.savez_compressed(part, **columns)
    with pytest.raises(
        ImindexError, match=r"part-\d+\.npz is damaged: its columns are compressed.* Delete it"
    ):
        build(items, path, Counting(tiny_encoder))
