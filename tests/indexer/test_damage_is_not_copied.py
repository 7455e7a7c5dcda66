"""Every command that copies an index refuses damage that the digests show, so damage never gets valid digests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.integrity.verify import verify
from imindex.indexer.maintain.export import export
from imindex.indexer.maintain.migrate import migrate
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.maintain.remove import remove
from imindex.indexer.store.digests import COLUMNS
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import unchanged_blocks
from imindex.indexer.store.writer import write
from tests.support.commands import run
from tests.support.flipping import turn
from tests.support.pictures import picture
from tests.support.places import ROOT
from tests.support.whole_index import DIM, unit, whole, write_both


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("both")
    write_both(folder)
    return {"exact": folder / "exact.h5", "approximate": folder / "approximate.h5"}


def export_it(path: Path) -> None:
    with Index(path) as index:
        export(index, path.parent / "out")


WRITERS: dict[str, Callable[[Path], object]] = {
    "optimize": lambda path: optimize(path, kind="exact"),
    "remove": lambda path: remove(path, artists=["Bo Sample"]),
    "export": export_it,
}


def flips(path: Path) -> list[tuple[str, int, int]]:
    """One bit in every column, in texts and attributes, and in the digests themselves: name, byte and bit."""
    raw, rng = path.read_bytes(), np.random.default_rng(7)
    places = []
    with h5py.File(path) as file:
        for name in (*COLUMNS, "vectors", "ann/data", "stamps/items", "stamps/rejects", "digests/vectors"):
            offset, size = file[name].id.get_offset(), file[name].id.get_storage_size()
            if offset is not None and file[name].dtype != object:
                places.append((name, offset + int(rng.integers(size)), int(rng.integers(8))))
        texts = {
            name: file[name][0] for name in ("items/path", "artists/name", "rejects/reason", "log/command")
        }
        texts["created-by"] = file.attrs["created-by"].encode()
        texts["pretrained"] = file["encoder"].attrs["pretrained"].encode()
        texts["root-digest"] = file.attrs["root-digest"].encode()
        texts["digest of items/seed"] = file["digests"].attrs["items/seed"].encode()
    places += [(name, raw.index(text) + len(text) // 2, 0) for name, text in texts.items()]
    return places


@pytest.mark.parametrize("writer", WRITERS)
def test_a_flipped_bit_in_any_value_is_not_copied(writer: str, both: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(both["approximate"], tmp_path / "i.h5"))
    raw = path.read_bytes()
    for name, byte, bit in flips(path):
        turn(path, byte, bit)
        damaged = path.read_bytes()
        try:
            found = bool(verify(path).faults)
        except ImindexError:
            found = True
        assert found, name
        with pytest.raises(ImindexError):
            WRITERS[writer](path)
            pytest.fail(f"{writer} copied {name}")
        assert path.read_bytes() == damaged, name
        assert not list(tmp_path.rglob("*.new")), name
        path.write_bytes(raw)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    WRITERS[writer](path)
    assert not verify(path).faults


def test_the_refusal_names_the_part_and_the_remedy(both: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(both["approximate"], tmp_path / "i.h5"))
    with h5py.File(path) as file:
        offset = file["vectors"].id.get_offset()
    turn(path, offset + 99, 3)
    result = run("optimize", "--kind", "exact", "-i", path, code=1)
    assert f"{path} is damaged: vectors/0 (rows 0 to 999) has changed since it was written" in result.stderr
    assert (
        f"`imindex verify -i {path}` lists what has changed. Restore the file from a backup" in result.stderr
    )
    assert "was not sealed" in run("seal", "-i", path, code=1).stderr


@pytest.mark.parametrize("part", ["vectors", "items/width", "log/summary"])
def test_a_build_does_not_add_to_a_damaged_index(
    part: str, works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 3, "works/bo": 2}), tmp_path / "i.h5"
    command = ("build", root, "-i", path, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    run(*command)
    sound = path.read_bytes()
    with h5py.File(path) as file:
        offset = file[part].id.get_offset()
        text = file[part][0] if part == "log/summary" else b""
    turn(path, sound.index(text) + 3 if text else offset, 2)
    damaged = path.read_bytes()
    run(*command, code=0)  # nothing is new, so nothing is copied
    picture(99).save(root / "works/ada/new.png")
    result = run(*command, code=1)
    assert "is damaged" in result.stderr and "Nothing was written or computed" in " ".join(
        result.stderr.split()
    )
    assert path.read_bytes() == damaged
    path.write_bytes(sound)
    assert "Encoded 0 pictures" in run(*command).stdout  # what was encoded is kept
    assert not verify(path).faults


def test_an_archived_index_without_the_newer_digests_is_still_copied(tmp_path: Path) -> None:
    old = next((ROOT / "tests/data/archives/1.0").glob("*.h5"))
    path = Path(shutil.copy(old, tmp_path / "i.h5"))
    migrate(path)
    assert not verify(path).faults


@pytest.mark.parametrize("n", [0, 12, 65_536, 65_540, 140_000])
def test_every_block_is_compared_whether_its_rows_are_copied_or_not(n: int, tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    contents, _ = whole(12)
    rows = np.arange(n) % 12
    items = {name: values[rows] for name, values in contents.items.items()}
    contents = replace(contents, items=items, item_stamps=np.ones((n, 3), np.int64))
    vectors = unit(12)[rows]
    write(
        path, contents, [vectors], ann=ann.describe(), ann_data=ann.exact_header(n, DIM), entry=entry("", "made", "")
    )  # fmt: skip
    with Index(path) as index:
        kept = np.flatnonzero(np.arange(n) % 3 == 1)
        for chosen in (None, kept, np.empty(0, np.intp)):
            blocks = [*unchanged_blocks(index, chosen), np.empty((0, DIM), np.float16)]
            np.testing.assert_array_equal(
                np.concatenate(blocks), vectors if chosen is None else vectors[chosen]
            )
    if n:
        with h5py.File(path) as file:
            offset = file["vectors"].id.get_offset()
        turn(path, offset + 2 * DIM * (n - 1), 1)
        with Index(path) as index, pytest.raises(ImindexError, match=rf"vectors/{(n - 1) // 65_536} "):
            list(unchanged_blocks(index, np.empty(0, np.intp)))


@pytest.mark.parametrize(
    "words",
    [
        ("match", "--collection", "r1", "--no-tests"),
        ("classify", "--collection", "r1", "--by", "works", "--no-tests"),
        ("compare", "r1", "r1", "--no-names", "--resamples", "99"),
    ],
)
def test_nothing_is_concluded_from_a_damaged_index(
    words: tuple[str, ...], both: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(both["exact"], tmp_path / "i.h5"))
    with h5py.File(path) as file:
        offset = file["vectors"].id.get_offset()
    turn(path, offset + 33, 1)
    result = run(*words, "-i", path, code=1)
    assert "is damaged: vectors/0 (rows 0 to 11) has changed" in " ".join(result.stderr.split())
