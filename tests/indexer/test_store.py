"""The store: round trips, also with plain h5py; no change in place; removed data is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from imindex.indexer.core import digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Collection, Contents, item_columns, reject_columns
from imindex.indexer.maintain.export import export
from imindex.indexer.maintain.remove import remove
from imindex.indexer.maintain.summary import describe
from imindex.indexer.store import index as store
from imindex.indexer.store.index import Index, recompute_root_digest
from imindex.indexer.store.writer import write
from tests.support.example_index import (
    ARTISTS,
    COLLECTIONS,
    DIM,
    ENCODER,
    STRAY,
    beside,
    example,
    row,
    save,
    vectors,
)
from tests.support.places import child_environment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "i.h5")
    return tmp_path / "i.h5"


# Round trip


def test_every_column_round_trips(path: Path) -> None:
    wanted = example()
    with Index(path) as index:
        assert index.n == 6 and index.encoder == ENCODER
        assert index.artists == ARTISTS and index.collections == COLLECTIONS
        for found, given in ((index.items(), wanted.items), (index.rejects(), wanted.rejects)):
            assert list(found) == list(given)
            for name in given:
                assert found[name].dtype == given[name].dtype, name
                assert found[name].tolist() == given[name].tolist(), name
        assert os.fsencode(index.column("path")[0]) == b"art/caf\xe9/\xff.png"
        assert (index.vectors == vectors(6)).all()
        assert [line["summary"] for line in index.log()] == ["build: 6 added", "build"]
        assert index.log()[-1]["digest-after"] == index.root_digest == recompute_root_digest(index)
        assert (index.created_at, index.created_by) == (wanted.created_at, wanted.created_by)


def test_an_empty_index_is_valid(tmp_path: Path) -> None:
    nothing = example(artists=(), collections=(), items=item_columns(()), rejects=reject_columns(()))
    save(tmp_path / "i.h5", nothing)
    with Index(tmp_path / "i.h5") as index:
        assert index.vectors.shape == (0, DIM) and not list(index.blocks())
        assert index.root_digest == recompute_root_digest(index)
        said = describe(index)
        assert (said.n, said.artists, said.collections, said.duplicates) == (0, (), (), ())
        export(index, tmp_path / "out")
    assert np.load(tmp_path / "out/vectors.npy").shape == (0, DIM)
    assert pyarrow.parquet.read_table(tmp_path / "out/items.parquet").num_rows == 0


def test_plain_h5py_and_faiss_read_it_as_specified(path: Path) -> None:
    save(path, example(items=example().items | {"path": np.array([f"{i}.png" for i in range(6)], object)}))
    text = (Path(store.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks).replace("imindex.h5", path.name) + "\nprint(index.ntotal)"],
        cwd=path.parent, capture_output=True, text=True, errors="replace", check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:surrogateescape"},
    )  # fmt: skip
    assert done.stdout.startswith(ARTISTS[0]) and done.stdout.split()[-1] == "6"
    with h5py.File(path) as file:
        assert file.attrs["encoding-type"] == "imindex" and file.attrs["n"] == 6
        assert file["vectors"].dtype == np.dtype("<f2") and (file["vectors"][:] == vectors(6)).all()
        assert file["items/artist"][:].tolist() == [0, 1, 0, -1, 2, 1]


def test_vectors_are_contiguous_and_mapped_in_place(path: Path) -> None:
    with h5py.File(path) as file:
        dataset = file["vectors"]
        assert dataset.chunks is None and not dataset.id.get_create_plist().get_nfilters()
        offset = dataset.id.get_offset()
    raw = np.fromfile(path, "<f2", count=6 * DIM, offset=offset).reshape(6, DIM)
    with Index(path) as index:
        assert isinstance(index.vectors, np.memmap) and index.vectors.offset == offset
        assert (raw == index.vectors).all() and not index.vectors.flags.writeable


def test_blocking_does_not_affect_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "BLOCK_ROWS", 10)
    monkeypatch.setattr(store, "STREAM_ROWS", 7)
    what = example(items=item_columns([row(i, i % 3, 0) for i in range(33)]))
    table = vectors(33)
    roots = set()
    for pieces in ([33], [1] * 33, [10, 10, 10, 3], [0, 9, 0, 13, 11]):
        stops = np.cumsum(pieces)[:-1]
        roots.add(
            write(
                tmp_path / "i.h5", what, np.split(table, stops), ann={}, ann_data=b"", entry=entry("", "", "")
            )
        )
        with Index(tmp_path / "i.h5") as index:
            assert (index.vectors == table).all()
            assert (np.concatenate(list(index.blocks())) == table).all()
            chosen = np.array([32, 0, 5, 5, 20, 19, 1, 2])
            assert (np.concatenate(list(index.blocks(chosen))) == table[chosen]).all()
            assert recompute_root_digest(index) == index.root_digest
        with h5py.File(tmp_path / "i.h5") as file:
            assert file["digests/vectors"].shape == (4, 32)
    assert len(roots) == 1


@pytest.mark.parametrize(
    "blocks", [[vectors(5)], [vectors(7)], [vectors(6).astype(np.float32)], [vectors(6)[:, :4]], []]
)
def test_wrong_vectors_are_refused_and_the_old_index_is_kept(path: Path, blocks: list[np.ndarray]) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="vectors"):
        write(path, example(), blocks, ann={}, ann_data=b"", entry=entry("", "", ""))
    assert path.read_bytes() == before and beside(path) == []


# Refusals


def test_an_unknown_version_and_other_files_are_refused_with_the_remedy(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ImindexError, match=r"none\.h5 does not exist\. Build it with `imindex build"):
        Index(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ImindexError, match=r"text\.h5 cannot be opened as an HDF5 file: .*\. [A-Z].*\."):
        Index(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ImindexError, match=r"other\.h5 is an HDF5 file but not an imindex index\. [A-Z].*\."):
        Index(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "2.0"
    with pytest.raises(
        ImindexError,
        match=r"format version 2\.0; this imindex reads 1\.0, 1\.1, 1\.2, 1\.3 and 1\.4\. Install",
    ):
        Index(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(ImindexError, match=r"i\.h5"):
        Index(path)


@pytest.mark.parametrize(
    "missing", ["vectors", "artists/name", "encoder", "attribute n", "attribute root-digest"]
)
def test_an_incomplete_file_is_reported_as_damaged(path: Path, missing: str) -> None:
    with h5py.File(path, "r+") as file:
        if missing.startswith("attribute "):
            del file.attrs[missing.split()[1]]
        else:
            del file[missing]
    with pytest.raises(
        ImindexError, match=r"i\.h5 is damaged: .*Restore it from a backup, or build it again\."
    ):
        Index(path)


# The root digest


def changed() -> Iterator[tuple[str, Contents]]:
    for table in ("items", "rejects"):
        for name in getattr(example(), table):
            columns = {key: values.copy() for key, values in getattr(example(), table).items()}
            if columns[name].dtype == object:
                columns[name][1] += "x"
            elif name == "sha256":
                columns[name] = columns[name].copy()
                columns[name][1, 31] ^= 1
            else:
                columns[name][1] = 2 if name == "artist" else 1 - columns[name][1]
            yield f"{table}/{name}", example(**{table: columns})
    yield "artists", example(artists=("Ada", *ARTISTS[1:]))
    yield "collection name", example(collections=(Collection("w", "works"), COLLECTIONS[1]))
    yield "collection kind", example(collections=(Collection("works", "background"), COLLECTIONS[1]))
    yield "generator", example(collections=(COLLECTIONS[0], Collection("r1", "imitations", {"steps": 51})))
    for field, value in (
        ("weights_sha256", "cd" * 32), ("precision", "bf16"), ("preprocess", {"size": 33}), ("config", {"a": 1}),
    ):  # fmt: skip
        yield field, example(encoder=replace(ENCODER, **{field: value}))


@pytest.mark.parametrize(("what", "other"), [pytest.param(*c, id=c[0]) for c in changed()])
def test_root_digest_coverage(tmp_path: Path, what: str, other: Contents) -> None:
    assert save(tmp_path / "a.h5") != save(tmp_path / "b.h5", other)


def test_the_root_digest_covers_every_bit_of_the_vectors_and_their_order(tmp_path: Path) -> None:
    table, flipped = vectors(6), vectors(6)
    flipped.view(np.uint16)[5, 7] ^= 1
    roots = {save(tmp_path / "i.h5", table=t) for t in (table, flipped, table[::-1].copy())}
    assert len(roots) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"created_at": "2030-01-01"}, {"created_by": "somebody"}, {"log": []},
        {"encoder": replace(ENCODER, pretrained="/moved.pt")},
        {"encoder": replace(ENCODER, model="local-dir:/moved")},
        {"encoder": replace(ENCODER, config=dict(reversed(ENCODER.config.items())))},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_the_root_digest_does_not_depend_on_times_paths_and_the_log(tmp_path: Path, other: dict) -> None:
    assert save(tmp_path / "a.h5") == save(tmp_path / "b.h5", example(**other))


def test_texts_cannot_be_shifted_from_one_cell_to_the_next(tmp_path: Path) -> None:
    roots = set()
    for prompts in (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")):
        columns = example().items
        columns["prompt"][:2] = prompts
        roots.add(save(tmp_path / "i.h5", example(items=columns)))
    assert len(roots) == 4


# Atomicity


def test_reader_keeps_the_file_it_opened(path: Path) -> None:
    with Index(path) as old:
        before = old.root_digest
        fewer = example(items=item_columns([row(50, 0, 0)]))
        assert save(path, fewer, vectors(1, seed=9)) != before
        assert old.n == 6 and (old.vectors == vectors(6)).all()
        assert old.column("path")[0] == STRAY and recompute_root_digest(old) == before
        with Index(path) as new:
            assert new.n == 1
    assert beside(path) == []


def test_a_failed_write_leaves_the_old_index_and_no_leftovers(path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield vectors(3)
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    with pytest.raises(OSError, match="No space"):
        write(path, example(), failing(), ann={}, ann_data=b"", entry=entry("", "", ""))
    assert path.read_bytes() == before and beside(path) == []


def test_a_killed_write_leaves_the_old_index(path: Path) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from imindex.indexer.core.provenance import entry
        from imindex.indexer.store.writer import write
        from tests.support import example_index as t
        def blocks():
            yield t.vectors(3)
            os.kill(os.getpid(), signal.SIGKILL)
        write(Path(sys.argv[1]), t.example(), blocks(), ann={}, ann_data=b"", entry=entry("", "", ""))
    """
    before = path.read_bytes()
    words = [sys.executable, "-c", textwrap.dedent(code), path]
    killed = subprocess.run(words, check=False, env=child_environment())
    assert killed.returncode == -9 and path.read_bytes() == before
    remove(path, artists=["Zoë"])  # clears what the killed one left
    assert beside(path) == []
