"""Untrusted files: nothing outside them is read, no code runs, and no process crashes or hangs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import h5py
import numpy as np
import pytest

from imindex.indexer.ann import faiss_kinds as ann_kinds
from imindex.indexer.ann.record import APPROXIMATE
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.support import checksums, hostile
from tests.support.approximate import clustered
from tests.support.example_index import DIM, save
from tests.support.places import ROOT, child_environment

TEXT = h5py.string_dtype("utf-8")
ROWS = 60


def put(file: h5py.File, name: str, **how: Any) -> h5py.Dataset:
    """Replace a dataset by another."""
    values = file[name][:]
    del file[name]
    return file.create_dataset(name, data=values, **how)


def external_link(file: h5py.File) -> None:
    del file["items/width"]
    file["items/width"] = h5py.ExternalLink("other.h5", "/items/width")


def soft_loop(file: h5py.File) -> None:
    del file["items/width"]
    file["items/width"] = h5py.SoftLink("/items/width")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6,), "<i4")
    layout[:] = h5py.VirtualSource("other.h5", "items/width", (6,))
    del file["items/width"]
    file.create_virtual_dataset("items/width", layout)


def external_storage(file: h5py.File) -> None:
    del file["items/sha256"]
    file.create_dataset("items/sha256", (6, 32), "u1", external=[("/etc/passwd", 0, 6 * 32)])


def references(file: h5py.File) -> None:
    del file["items/prompt"]
    file.create_dataset("items/prompt", (6,), h5py.ref_dtype)


def unallocated(file: h5py.File) -> None:
    """A thousand million rows in every column, none of them stored in the file."""
    for name, values in list(file["items"].items()):
        shape, dtype = (10**9, *values.shape[1:]), values.dtype
        del file[f"items/{name}"]
        file.create_dataset(f"items/{name}", shape, dtype)
    del file["vectors"]
    file.create_dataset("vectors", (10**9, DIM), "<f2")
    file.attrs["n"] = 10**9


def far_more_rows(file: h5py.File) -> None:
    file.attrs["n"] = 10**12


def huge_chunk(file: h5py.File) -> None:
    del file["items/width"]
    file.create_dataset("items/width", (6,), "<i4", chunks=(2**29,), maxshape=(None,))


def set_attribute(group: str, name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[group].attrs[name] = value

    return change


CRAFTED: list[tuple[str, Callable[[h5py.File], None], str]] = [
    ("external link", external_link, "/items/width is a link to another file"),
    ("soft link loop", soft_loop, "/items/width is a soft link"),
    ("virtual dataset", virtual, "/items/width is a virtual dataset"),
    ("external storage", external_storage, "/items/sha256 is stored in another file"),
    ("references", references, "/items/prompt does not hold text"),
    ("gzip", lambda file: put(file, "items/width", compression="gzip"), "uses a filter"),
    ("unallocated", unallocated, "which the file of .* does not hold"),
    ("n of 10^12", far_more_rows, "1,000,000,000,000 rows"),
    ("huge chunk", huge_chunk, "/items/width is not contiguous"),
    ("dim of 0", set_attribute("encoder", "dim", 0), "of 0 numbers"),
    ("n as text", set_attribute("/", "n", "6"), "attribute n is not an integer"),
    (
        "deep JSON",
        set_attribute("encoder", "config", "[" * 50_000 + "]" * 50_000),
        "nested 50000 levels deep",
    ),
    ("JSON list", set_attribute("encoder", "config", "[]"), "not a JSON object"),
    (
        "huge attribute",
        set_attribute("encoder", "config", np.zeros(20_000)),
        "/encoder's config is not text",
    ),
    ("float64", lambda file: put(file, "items/width", dtype="<f8"), "/items/width does not hold int32"),
]


@pytest.mark.parametrize(
    ("change", "said"), [each[1:] for each in CRAFTED], ids=[each[0] for each in CRAFTED]
)
def test_a_crafted_file_is_refused_with_its_reason(
    tmp_path: Path, change: Callable[[h5py.File], None], said: str
) -> None:
    save(tmp_path / "other.h5")
    path = tmp_path / "i.h5"
    save(path)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    with pytest.raises(ImindexError, match=said) as refused:
        Index(path)
    assert "Restore it from a backup" in str(refused.value) or "Restore the original" in str(refused.value)


PLUGIN = """
#include <stdio.h>
__attribute__((constructor)) static void ran(void) { FILE *mark = fopen("MARK", "w"); if (mark) fclose(mark); }
"""
READERS = {
    "h5py": "import sys, h5py; print(h5py.File(sys.argv[1])['items/width'][:])",
    "imindex": "import sys; from imindex.indexer.store.index import Index; Index(sys.argv[1])",
}


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, to make a plugin of HDF5")
def test_hdf5_plugin_filter_is_not_loaded(tmp_path: Path) -> None:
    """h5py alone loads the shared library, which shows that the test can fail."""
    path, mark, plugins = tmp_path / "i.h5", tmp_path / "MARK", tmp_path / "plugins"
    save(path)
    plugins.mkdir()
    source = tmp_path / "plugin.c"
    source.write_text(PLUGIN.replace("MARK", str(mark)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", plugins / "libplugin.so", source], check=True)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["items/width"]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((6,))
        made.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((6,))
        h5py.h5d.create(file["items"].id, b"width", h5py.h5t.STD_I32LE, space, dcpl=made)
        file["items/width"].id.write_direct_chunk((0,), bytes(24))
    ran = {}
    for name, code in READERS.items():
        mark.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "HDF5_PLUGIN_PATH": str(plugins)},
        )  # fmt: skip
        assert done.returncode
        ran[name] = mark.exists()
    assert "uses a filter" in done.stderr
    assert ran == {"h5py": True, "imindex": False}


def test_out_of_range_artist_numbers_are_refused(tmp_path: Path) -> None:
    for value in (-2, 3, 2**31 - 1):
        save(tmp_path / "i.h5")
        with h5py.File(tmp_path / "i.h5", "r+") as file:
            file["items/artist"][2] = value
        with (
            Index(tmp_path / "i.h5") as index,
            pytest.raises(ImindexError, match=r"/items/artist holds numbers"),
        ):
            index.column("artist")


@pytest.mark.parametrize("field", ["length", "address", "number"])
def test_text_with_invalid_descriptor_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "i.h5"
    save(path)
    with h5py.File(path) as file:
        offset = file["items/path"].id.get_offset()
    data = bytearray(path.read_bytes())
    at, form = {"length": (0, "<I"), "address": (4, "<Q"), "number": (12, "<I")}[field]
    struct.pack_into(form, data, offset + at, 2**32 - 2)
    path.write_bytes(data)
    with Index(path) as index, pytest.raises(ImindexError, match="damaged"):
        index.column("path")


def test_a_heap_that_would_send_libhdf5_into_a_loop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path)
    data = bytearray(path.read_bytes())
    heap = data.find(b"GCOL")
    data[heap + 16 : heap + 32] = bytes(16)  # a free object of no size
    path.write_bytes(data)
    with pytest.raises(ImindexError, match=r"heap of texts at byte [\d,]+ is broken"):
        Index(path)


FORGED = {
    "width of the doubling table": (
        b"FRHP",
        110,
        "<H",
        0,
        "heap",
    ),  # libhdf5 2.0 crashed: found by forging at random
    "size of the first block": (b"FRHP", 112, "<Q", 3, "heap"),
    "size of the largest block": (b"FRHP", 120, "<Q", 2**40, "heap"),
    "bits of the heap": (b"FRHP", 128, "<H", 65, "heap"),
    "address of the root": (b"FRHP", 132, "<Q", 2**40, "heap"),
    "rows of the root": (b"FRHP", 140, "<H", 2**15, "heap"),
    "address of the free space": (b"FRHP", 46, "<Q", 2**63, "heap"),
    "number of objects": (b"FRHP", 78, "<Q", 2**60, "heap"),
    "flags of an attribute": (b"BTLF", 6 + 8, "<B", 2, "attribute"),  # the same
    "type of the tree": (b"BTHD", 5, "<B", 11, "tree"),
    "size of a node": (b"BTHD", 6, "<I", 2**31, "tree"),
    "size of a record": (b"BTHD", 10, "<H", 0, "tree"),
    "depth of the tree": (b"BTHD", 12, "<H", 2**15, "tree"),
    "records in the root": (b"BTHD", 24, "<H", 2**15, "tree"),
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_metadata_with_valid_checksums_is_refused(tmp_path: Path, what: str) -> None:
    signature, at, form, value, named = FORGED[what]
    path = tmp_path / "i.h5"
    save(path)
    data = bytearray(path.read_bytes())
    blocks = [one for one in checksums.blocks(bytes(data)) if data[one[0] :].startswith(signature)]
    blocks = [one for one in blocks if signature != b"BTLF" or data[one[0] + 5] == 8]
    assert blocks
    for block in blocks:
        struct.pack_into(form, data, block[0] + at, value)
        checksums.mend(data, block)
    path.write_bytes(data)
    with (
        pytest.raises(
            ImindexError,
            match=f"damaged: an? {named} (of attributes has other parameters than libhdf5|is shared with another)",
        ),
        Index(path) as index,
    ):
        index.raw().attributes("digests")


def test_unknown_parts_of_the_file_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path)
    with h5py.File(path, "r+") as file:
        file["beside"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["items/more"] = h5py.SoftLink("/items/more")
        file.attrs["more"] = np.zeros(3)
    with Index(path) as index:
        assert len(index.items()["path"]) == index.n == 6


@pytest.fixture(scope="module")
def serialised() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    made = {}
    for kind in APPROXIMATE:
        table = clustered(ROWS)
        index = ann_kinds.train(kind, table, np.arange(ROWS), seed=1)
        ann_kinds.add(index, table)
        made[kind] = (ann_kinds.to_bytes(index), table)
    return made


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_a_truncated_or_extended_index_never_reaches_faiss(
    serialised: dict[str, tuple[np.ndarray, np.ndarray]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, table = serialised[kind]
    ann_kinds.read(kind, data, table)
    monkeypatch.setattr(ann_kinds.faiss, "read_index", lambda *_: pytest.fail("FAISS was asked"))
    other = next(k for k in APPROXIMATE if k != kind)
    wrong = [data[:length] for length in range(0, len(data), 97)]
    wrong += [
        np.append(data, np.uint8(0)),
        serialised[other][0],
        faiss.serialize_index(faiss.IndexFlatIP(32)),
    ]
    for some in wrong:
        with pytest.raises(ImindexError, match="approximate index in the file is damaged"):
            ann_kinds.read(kind, np.ascontiguousarray(some), table)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="fork and /proc")
def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    hostile.sound_files(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile", tmp_path, "--count", "150", "--seconds", "15"],
        capture_output=True, text=True, check=True, timeout=120, env=child_environment(OMP_NUM_THREADS="1"),
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["finds"] == [] and told["counts"]["refused"] > 5


def test_manifest_does_not_follow_links_out_of_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "real.png").write_bytes(b"x")
    (inside / "near.png").symlink_to("real.png")
    manifest = inside / "m.csv"
    manifest.write_text("path,artist,kind\nnear.png,Ada,works\n")
    assert [Path(item.path).name for item in find([manifest])] == ["near.png"]
    manifest.write_text("path,artist,kind\nlink.png,Ada,works\n")
    refusal = r"link\.png is, or is reached through, a symbolic link to outside the folder of"
    with pytest.raises(ImindexError, match=refusal):
        list(find([manifest]))
