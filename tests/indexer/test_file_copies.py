"""Copies of an index by other tools are read where they are sound, or called rewritten; unfinished files are told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index, recompute_root_digest
from imindex.indexer.store.intact import require_intact
from imindex.indexer.store.unfinished import HEAD, why_unreadable
from tests.support.approximate import clustered, contents, one_of_each, run, save

ARCHIVES = Path(__file__).parents[1] / "data" / "archives"
WRITTEN = r"was rewritten by another program: .*Restore the original, copied with cp"


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Indexes of each kind of /ann, and of each format version."""
    folder = tmp_path_factory.mktemp("indexes")
    kinds = one_of_each(folder)
    return kinds | {f"{path.parent.name}-{path.stem}": path for path in sorted(ARCHIVES.glob("*/*.h5"))}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return save(tmp_path / "i.h5", clustered(300), contents(300))


def by_object(source: Path, target: Path, **options: Any) -> None:
    """Copy each object and each attribute with h5py, as in the case that was reported."""
    with h5py.File(source) as old, h5py.File(target, "w", **options) as new:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value


def by_value(source: Path, target: Path, **options: Any) -> None:
    """Write each value again with h5py."""
    with h5py.File(source) as old, h5py.File(target, "w", **options) as new:
        new.attrs.update(old.attrs)

        def visit(name: str, item: Any) -> None:
            group = isinstance(item, h5py.Group)
            made = (
                new.create_group(name) if group else new.create_dataset(name, data=item[()], dtype=item.dtype)
            )
            made.attrs.update(item.attrs)

        old.visititems(visit)


def h5repack(*options: str) -> Callable[[Path, Path], None]:
    def copy(source: Path, target: Path) -> None:
        if shutil.which("h5repack") is None:
            pytest.skip("h5repack is not installed (Debian: hdf5-tools)")
        subprocess.run(["h5repack", *options, source, target], check=True, capture_output=True, timeout=60)

    return copy


COPIES: dict[str, Callable[[Path, Path], None]] = {
    "objects": by_object,
    "objects, latest format": lambda a, b: by_object(a, b, libver="latest"),
    "objects, version 1.10": lambda a, b: by_object(a, b, libver=("v110", "v110")),
    "objects, in order": lambda a, b: by_object(a, b, track_order=True),
    "values": by_value,
    "values, latest format": lambda a, b: by_value(a, b, libver="latest"),
    "h5repack": h5repack(),
    "h5repack, latest format": h5repack("-L"),
    "h5repack, pages": h5repack("-S", "PAGE"),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_sound_copy_by_another_tool_is_read_with_equal_digests(
    indexes: dict[str, Path], way: str, tmp_path: Path
) -> None:
    for name, source in indexes.items():
        target = tmp_path / f"{name}.h5"
        COPIES[way](source, target)
        with Index(source) as old, Index(target) as new:
            require_intact(new)
            assert recompute_root_digest(new) == new.root_digest == old.root_digest
        assert not verify(target).faults


def again(file: h5py.File, name: str, **options: Any) -> None:
    values = file[name][()]
    dtype = options.pop("dtype", file[name].dtype)
    if isinstance(dtype, str) and dtype.startswith("S"):
        values = np.array(list(values), dtype)
    del file[name]
    file.create_dataset(name, data=values, dtype=dtype, **options)


def fixed(file: h5py.File, group: str, name: str, length: int = 64) -> None:
    text = file[group].attrs[name]
    file[group].attrs.create(name, np.bytes_(text), dtype=f"S{max(length, len(text))}")


REWRITTEN: dict[str, Callable[[h5py.File], None]] = {
    "compressed column": lambda file: again(file, "items/width", compression="gzip"),
    "compressed vectors": lambda file: again(file, "vectors", compression="lzf"),
    "checksums": lambda file: again(file, "items/seed", fletcher32=True),
    "chunks": lambda file: again(file, "vectors", chunks=(16, 32)),
    "growing": lambda file: again(file, "items/height", chunks=(8,), maxshape=(None,)),
    "big-endian": lambda file: again(file, "items/width", dtype=">i4"),
    "wider numbers": lambda file: again(file, "items/width", dtype="<i8"),
    "single precision": lambda file: again(file, "vectors", dtype="<f4"),
    "text of fixed length": lambda file: again(file, "artists/name", dtype="S20"),
    "text that is ASCII": lambda file: again(file, "artists/name", dtype=h5py.string_dtype("ascii")),
    "fixed encoding-type": lambda file: fixed(file, "/", "encoding-type"),
    "fixed root digest": lambda file: fixed(file, "/", "root-digest"),
    "fixed precision": lambda file: fixed(file, "encoder", "precision"),
    "ASCII model": lambda file: file["encoder"].attrs.create("model", "demo", dtype=h5py.string_dtype("ascii")),
    "no attributes of the file": lambda file: [file.attrs.__delitem__(name) for name in list(file.attrs)],  # type: ignore[dict-item, return-value]
}  # fmt: skip


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_another_program_stored_otherwise_is_called_rewritten_and_not_damaged(
    index: Path, what: str
) -> None:
    with h5py.File(index, "r+") as file:
        REWRITTEN[what](file)
    for act in (Index, verify):
        with pytest.raises(ImindexError, match=WRITTEN) as raised:
            act(index)
        assert "damaged" not in str(raised.value)
    result = run("info", "-i", index, code=1)
    assert "was rewritten by another program" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "options",
    [
        ("-f", "vectors:GZIP=4", "-l", "vectors:CHUNK=64x32"),
        ("-l", "vectors:CHUNK=64x32"),
        ("-f", "items/sha256:SHUF", "-f", "vectors:FLET"),
        ("-l", "items/width:COMPA"),
    ],
    ids=" ".join,
)
def test_the_remedy_undoes_what_h5repack_did(index: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    h5repack(*options)(index, tmp_path / "packed.h5")
    with pytest.raises(ImindexError, match=WRITTEN) as raised:
        Index(tmp_path / "packed.h5")
    words = str(raised.value).rpartition("undo it: ")[2].rstrip(".").removesuffix("NEW.h5").split()
    subprocess.run([*words, tmp_path / "new.h5"], check=True, timeout=60)
    with Index(index) as old, Index(tmp_path / "new.h5") as new:
        require_intact(new)
        assert new.root_digest == old.root_digest


# Files that were not finished


def test_an_unfinished_file_is_told_by_every_command(index: Path, tmp_path: Path) -> None:
    whole = index.read_bytes()
    cases = {
        b"": "is empty: the program that wrote it ended before it was done",
        bytes(5000): "begins with zeros: the program that wrote it ended",
        whole[:-1]: "ends early: it has",
        whole[: len(whole) // 2]: "ends early: it has",
        whole[:100]: "ends early: it has 100",
        whole[:20]: "ends early: it has 20",
        whole[:9]: "ends early: it has 9",
    }
    for number, (data, said) in enumerate(cases.items()):
        path = tmp_path / f"cut{number}.h5"
        path.write_bytes(data)
        for words in (
            ["info"],
            ["verify"],
            ["match"],
            ["remove", "--artist", "artist 1", "--yes"],
            ["export", "out"],
        ):
            result = run(*words, "-i", path, code=1)
            assert said in " ".join(result.stderr.split()), (words, result.stderr)


@pytest.mark.parametrize("libver", ["v110", "latest"])
def test_a_file_that_was_not_closed_is_told(index: Path, tmp_path: Path, libver: str) -> None:
    copy = tmp_path / "open.h5"
    by_object(index, copy, libver=(libver, libver))
    data = bytearray(copy.read_bytes())
    assert data[8] == 3 and data[11] == 0
    data[11] = 0b101
    data[44:48] = checksum(bytes(data[:44])).to_bytes(4, "little")
    copy.write_bytes(data)
    for act in (Index, verify):
        with pytest.raises(
            ImindexError, match=r"was not closed after writing .*consistency flags.*or it is still"
        ):
            act(copy)


def checksum(data: bytes) -> int:
    """Bob Jenkins' lookup3, as HDF5 uses it."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    mask = 0xFFFFFFFF

    def rotated(value: int, by: int) -> int:
        return ((value << by) | (value >> (32 - by))) & mask

    while len(data) > 12:
        a, b, c = (
            (value + int.from_bytes(data[start : start + 4], "little")) & mask
            for value, start in ((a, 0), (b, 4), (c, 8))
        )
        a = (a - c) & mask ^ rotated(c, 4)
        c = (c + b) & mask
        b = (b - a) & mask ^ rotated(a, 6)
        a = (a + c) & mask
        c = (c - b) & mask ^ rotated(b, 8)
        b = (b + a) & mask
        a = (a - c) & mask ^ rotated(c, 16)
        c = (c + b) & mask
        b = (b - a) & mask ^ rotated(a, 19)
        a = (a + c) & mask
        c = (c - b) & mask ^ rotated(b, 4)
        b = (b + a) & mask
        data = data[12:]
    data = data.ljust(12, b"\0")
    a, b, c = (
        (value + int.from_bytes(data[start : start + 4], "little")) & mask
        for value, start in ((a, 0), (b, 4), (c, 8))
    )
    for first, second, by in (("c", "b", 14), ("a", "c", 11), ("b", "a", 25), ("c", "b", 16), ("a", "c", 4),
                              ("b", "a", 14), ("c", "b", 24)):  # fmt: skip
        values = {"a": a, "b": b, "c": c}
        values[first] = ((values[first] ^ values[second]) - rotated(values[second], by)) & mask
        a, b, c = values["a"], values["b"], values["c"]
    return c


def test_what_a_killed_program_left_is_told(index: Path, tmp_path: Path) -> None:
    left = tmp_path / f".i.h5.{'0' * 16}.imindex-new"
    left.write_bytes(index.read_bytes()[:200])
    (tmp_path / f".other.h5.{'1' * 16}.imindex-new").touch()
    result = run("verify", "-i", index)
    assert "was left by a program that was killed while it wrote i.h5" in " ".join(result.stderr.split())
    assert left.name in "".join(result.stderr.split()) and ".other" not in result.stderr
    assert "unfinished file" in why_unreadable(left, left.read_bytes()[:HEAD], 200)
    index.unlink()
    for words in (["info"], ["verify"], ["match"]):
        said = " ".join(run(*words, "-i", index, code=1).stderr.split())
        assert "does not exist" in said and "was killed while it wrote i.h5" in said


def test_other_files_are_not_called_unfinished(tmp_path: Path) -> None:
    for number, data in enumerate(
        (b"text", b"PK\3\4", b"\x89PNG\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\x09" + bytes(90))
    ):
        path = tmp_path / f"{number}.h5"
        path.write_bytes(data)
        assert why_unreadable(path, data[:HEAD], len(data)) == ""
        with pytest.raises(ImindexError, match="cannot be opened as an HDF5 file"):
            Index(path)
