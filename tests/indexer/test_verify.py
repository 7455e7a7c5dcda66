"""Verification: an intact index passes; every differing column, block, attribute or bit is named."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.digest import BLOCK_ROWS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Contents
from imindex.indexer.integrity.verify import UNIT, Verification, lengths, verify
from imindex.indexer.store.index import Index, recompute_root_digest
from imindex.indexer.store.writer import write
from tests.support import flipping
from tests.support.commands import last_line, run, shown
from tests.support.whole_index import ARTISTS, DIM, save, unit, whole, write_both

COLUMNS = [
    "artists/name", "collections/name", "collections/kind", "collections/generator", "items/artist",
    "items/collection", "items/sha256", "items/path", "items/width", "items/height", "items/prompt", "items/seed",
    "items/caption", "rejects/artist", "rejects/collection", "rejects/sha256", "rejects/path", "rejects/reason",
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "i.h5")
    return tmp_path / "i.h5"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index with an exact /ann and one with an approximate one; do not modify."""
    return write_both(tmp_path_factory.mktemp("both"))


def where(found: Verification) -> set[str]:
    return {fault.where for fault in found.faults}


def rewritten(path: Path, what: Contents, vectors: np.ndarray, **line: str) -> Verification:
    """Faults that verification finds in a file written with correct digests of its content."""
    write(
        path, what, [vectors], ann=ann.describe(), ann_data=ann.exact_header(what.n, DIM),
        entry={**entry("", "made by a test", ""), **line},
    )  # fmt: skip
    found = verify(path)
    assert found.root == found.stored_root
    return found


# Digests as specified in FORMAT.md


def column(values: np.ndarray) -> str:
    if values.dtype != object:
        return hashlib.sha256(values.tobytes()).hexdigest()
    return hashlib.sha256(b"".join(len(v).to_bytes(8, "little") + v for v in values)).hexdigest()


def as_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def attributes(group: h5py.Group, *without: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name in group.attrs:
        value, kind = group.attrs[name], group.attrs.get_id(name).dtype
        if h5py.check_string_dtype(kind):
            found[name] = ["text", value]
        elif h5py.check_enum_dtype(kind) or kind == np.bool_:
            found[name] = ["boolean", bool(value)]
        elif kind.kind in "iu":
            found[name] = ["integer", int(value)]
        else:
            found[name] = ["number", struct.pack(">d", value).hex()]
    return {name: value for name, value in found.items() if name not in without}


@pytest.mark.parametrize("kind", ["exact", "ivf-pq"])
def test_every_digest_is_as_specified(path: Path, optimized: dict[str, Path], kind: str) -> None:
    with h5py.File(path if kind == "exact" else optimized[kind]) as file:
        stored = dict(file["digests"].attrs)
        blocks = [
            hashlib.sha256(file["vectors"][start : start + 65_536].tobytes()).digest()
            for start in range(0, len(file["vectors"]), 65_536)
        ]
        assert file["digests/vectors"][:].tobytes() == b"".join(blocks)
        wanted = {name: column(file[name][:]) for name in COLUMNS}
        wanted["vectors"] = hashlib.sha256(b"".join(blocks)).hexdigest()
        encoder = file["encoder"].attrs
        root = as_json(
            {
                "format": "1.0",
                "digests": wanted,
                "encoder": {
                    "config": json.loads(encoder["config"]), "weights-sha256": encoder["weights-sha256"],
                    "preprocess": json.loads(encoder["preprocess"]), "dim": int(encoder["dim"]),
                    "precision": encoder["precision"],
                    **{key: encoder[key] for key in ("tokens-sha256",) if key in encoder},
                },
            }
        )  # fmt: skip
        assert file.attrs["root-digest"] == root and file.attrs["encoding-version"] == "1.4"
        data = hashlib.sha256(file["ann/data"][:].tobytes()).hexdigest()
        wanted["ann"] = as_json({"attributes": attributes(file["ann"]), "data": data})
        wanted["attributes"] = as_json(
            {"/": attributes(file, "root-digest"), "/encoder": attributes(file["encoder"])}
        )
        for group in ("log", "stamps"):
            wanted[group] = as_json({name: column(values[:]) for name, values in file[group].items()})
        assert stored == wanted


# Differences are named


def test_a_sound_index_has_no_fault(path: Path, optimized: dict[str, Path]) -> None:
    for one in (path, *optimized.values()):
        found = verify(one)
        assert found.faults == [] and found.root == found.stored_root and found.uncovered == ()
        assert found.blocks == 1 and found.n_digests == len(COLUMNS) + 1 + 4 + 1
        with Index(one) as index:
            assert recompute_root_digest(index) == found.root


@pytest.mark.parametrize("name", COLUMNS)
def test_a_changed_value_is_detected_in_its_column(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        if values.dtype == object:
            values[-1] = b"{}" if name == "collections/generator" else values[-1] + b"x"
            if name == "collections/generator":
                values[1] = b'{"steps":51}'
            if name == "collections/kind":
                values[-1] = b"works"
        else:
            values[-1] = values[-1] ^ 1
        file[name][...] = values
    assert {name, "root-digest"} <= where(verify(path))
    assert {one for one in where(verify(path)) if one in COLUMNS} - {"items/sha256"} <= {name}


@pytest.mark.parametrize(
    ("group", "name", "value", "digest"),
    [
        ("/", "created-at", "2027-01-01T00:00:00+00:00", "attributes"),
        ("/", "created-by", "someone", "attributes"),
        ("encoder", "model", "another", "attributes"),
        ("encoder", "pretrained", "another.pt", "attributes"),
        ("encoder", "weights-sha256", "cd" * 32, "root-digest"),
        ("ann", "kind", "exact", "ann"),
        ("/", "root-digest", "00" * 32, "root-digest"),
    ],
)
def test_a_changed_attribute_is_detected(path: Path, group: str, name: str, value: str, digest: str) -> None:
    with h5py.File(path, "r+") as file:
        file[group].attrs[name] = value
    assert digest in where(verify(path))


@pytest.mark.parametrize(
    ("name", "digest"),
    [("log/command", "log"), ("log/who", "log"), ("stamps/items", "stamps"), ("ann/data", "ann")],
)
def test_changes_outside_the_root_digest_are_detected(path: Path, name: str, digest: str) -> None:
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        values[0] = b"another" if values.dtype == object else values[0] ^ 1
        file[name][...] = values
    assert where(verify(path)) == {digest}


def test_a_file_relabelled_as_1_0_keeps_its_newer_digests(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "1.0"
    assert where(verify(path)) == {"attributes"}
    save(path)
    with h5py.File(path, "r+") as file:
        del file["digests"].attrs["log"]
        file["digests"].attrs["stranger"] = "00"
    assert where(verify(path)) == {"log", "stranger"}


def test_the_block_of_a_changed_vector_is_named(tmp_path: Path) -> None:
    path, n = tmp_path / "i.h5", BLOCK_ROWS + 100
    save(path, n)
    assert not verify(path).faults
    for row, block, last in ((0, 0, BLOCK_ROWS - 1), (BLOCK_ROWS, 1, n - 1)):
        with h5py.File(path, "r+") as file:
            kept = file["vectors"][row]
            file["vectors"][row] = -kept
        faults = {fault.where: fault.said for fault in verify(path).faults}
        blocks = [name for name in faults if name.startswith("vectors/")]
        assert blocks == [f"vectors/{block}"] and "vectors" in faults
        assert f"(rows {block * BLOCK_ROWS} to {last})" in faults[blocks[0]]
        with h5py.File(path, "r+") as file:
            file["vectors"][row] = kept
    assert not verify(path).faults


# Correct digests of invalid content


def test_inconsistent_numbers_lengths_and_vectors_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    contents, vectors = whole(12)

    def with_column(table: str, name: str, row: int, value: Any) -> Contents:
        columns = {key: values.copy() for key, values in getattr(contents, table).items()}
        columns[name][row] = value
        return replace(contents, **{table: columns})

    for table in ("items", "rejects"):
        for name, value in (("artist", len(ARTISTS)), ("artist", -2), ("collection", 3), ("collection", -1)):
            found = rewritten(path, with_column(table, name, 1, value), vectors)
            assert where(found) == {f"{table}/{name}"} and "row 1 " in found.faults[0].said
    assert not rewritten(path, with_column("items", "artist", 1, -1), vectors).faults
    other = vectors.copy()
    other[11] = unit(12)[3]  # the same picture as row 0
    found = rewritten(path, contents, other)
    assert where(found) == {"items/sha256"} and "rows 0 and 11 " in found.faults[0].said
    for factor in (1.01, 0.99, 0.0, np.nan, np.inf):
        other = vectors.copy()
        with np.errstate(invalid="ignore"):
            other[7] *= np.float16(factor)
        found = rewritten(path, contents, other)
        assert where(found) == {"vectors"} and "row 7 " in found.faults[0].said, factor
    cut = {**contents.rejects, "reason": contents.rejects["reason"][:1]}
    with pytest.raises(ImindexError, match="/rejects/reason has the shape"):  # not even opened
        rewritten(path, replace(contents, rejects=cut), vectors)
    stamps = np.zeros((11, 3), np.int64)
    assert where(rewritten(path, replace(contents, item_stamps=stamps), vectors)) == {"stamps/items"}


def test_a_gap_in_the_log_is_detected(path: Path) -> None:
    contents, vectors = whole(12)
    with Index(path) as index:
        log, root = index.log(), index.root_digest
    assert not rewritten(path, replace(contents, log=log), vectors, **{"digest-before": root}).faults
    found = rewritten(path, replace(contents, log=log[1:]), vectors, **{"digest-before": root})
    assert where(found) == {"log"} and "line 1 " in found.faults[0].said
    found = rewritten(path, replace(contents, log=log), vectors, **{"digest-before": "ab" * 32})
    assert where(found) == {"log"} and "line 3 " in found.faults[0].said


def test_several_passes_find_the_same_equal_pictures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents, vectors = whole(500)
    vectors[499] = vectors[5]  # the picture of row 0 has another vector in its last row
    wanted = rewritten(path, contents, vectors).faults
    monkeypatch.setattr("imindex.indexer.integrity.verify._DIGESTS_PER_PASS", 50)
    assert verify(path).faults == wanted and len(wanted) == 1


def test_lengths_equal_those_of_numpy() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    table = np.random.default_rng(0).permutation(finite)[: 62 * 1024].reshape(-1, 1)
    wanted = np.abs(table[:, 0].astype(np.float64))
    assert np.allclose(lengths(table), wanted, rtol=1e-6, atol=0)
    rows = unit(1_000)
    assert np.allclose(lengths(rows), np.linalg.norm(rows.astype(np.float64), axis=1), rtol=1e-6)
    bad = np.array([[np.nan, 0], [np.inf, 0], [-np.inf, 1]], np.float16)
    assert not (np.abs(lengths(bad) - 1) < UNIT).any()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for n in (30_000, 45_000):  # from some 25,000 on all blocks are full
        save(tmp_path / f"{n}.h5", n)
        tracemalloc.start()
        assert not verify(tmp_path / f"{n}.h5").faults
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    grown = peaks[1] - peaks[0]
    assert grown < 15_000 * 120, peaks  # digests (32 bytes) are held and sorted; no text, no vectors


# Bit flips


@pytest.mark.skipif(
    sys.platform != "linux", reason="flips may want more memory than there is: the limit is Linux's"
)
@pytest.mark.parametrize("kind", ["exact", pytest.param("approximate", marks=pytest.mark.slow)])
def test_no_bit_flip_goes_undetected(tmp_path: Path, both: dict[str, Path], kind: str) -> None:
    """`scripts/bench/flips` tries ten thousand."""
    path = Path(shutil.copy(both[kind], tmp_path))
    found = list(flipping.tried(path, seed=5, first=0, end=100))
    assert [one["number"] for one in found] == list(range(100))
    wrong = [one for one in found if one["status"] not in (*flipping.FOUND, flipping.NOTHING)]
    assert not wrong, wrong
    counts = Counter(one["status"] for one in found)
    assert sum(counts[name] for name in flipping.FOUND) >= 50 and counts[flipping.NOTHING] >= 1


@pytest.mark.parametrize("kind", ["exact", pytest.param("approximate", marks=pytest.mark.slow)])
def test_a_bit_flip_in_every_value_is_detected(tmp_path: Path, both: dict[str, Path], kind: str) -> None:
    """Bits in vectors, numbers, texts and /ann, which only the digests protect."""
    path = Path(shutil.copy(both[kind], tmp_path))
    before, raw = flipping.everything(path), path.read_bytes()
    with h5py.File(path) as file:
        rng, places = np.random.default_rng(2), []
        for name in (*COLUMNS, "vectors", "ann/data", "stamps/items", "digests/vectors"):
            offset, size = file[name].id.get_offset(), file[name].id.get_storage_size()
            if offset is not None and file[name].dtype != object:
                places += [(offset + int(byte), int(rng.integers(8))) for byte in rng.integers(0, size, 3)]
        texts = [
            file["items/path"][0],
            file["log/summary"][0],
            file["rejects/reason"][1],
            file["log/who"][-1],
        ]
        texts += [file.attrs["created-by"].encode(), file["encoder"].attrs["pretrained"].encode()]
    places += [(raw.index(text) + len(text) // 2, 1) for text in texts if text]
    for byte, bit in places:
        flipping.turn(path, byte, bit)
        status, said = flipping.outcome(path, before)
        assert status in flipping.FOUND, (byte, bit, status, said)
        flipping.turn(path, byte, bit)
    assert path.read_bytes() == raw and not verify(path).faults


# The command


def test_the_command_reports_its_result(path: Path) -> None:
    result = run("verify", "-i", path)
    assert (
        last_line(result) == f"Verified {path}: no faults."
        and "12 rows, 24 digests in format 1.4" in result.stdout
    )
    said = json.loads(run("verify", "-i", path, "--json").stdout)
    assert (
        said["sound"] and said["faults"] == [] and said["root"] == said["stored_root"] and said["rows"] == 12
    )
    with h5py.File(path, "r+") as file:
        file["items/width"][3] = 1
    result = run("verify", "-i", path, code=3)
    assert "fault   items/width: has changed since it was written" in result.stdout
    assert last_line(result) == f"Found 2 faults in {path}."
    said = json.loads(run("verify", "-i", path, "--json", code=3).stdout)
    assert [fault["where"] for fault in said["faults"]] == ["items/width", "root-digest"] and not said[
        "sound"
    ]
    path.write_bytes(path.read_bytes()[:3000])
    assert "ends early" in run("verify", "-i", path, code=1).stderr
    assert run("verify", "-i", path, "--results", path.parent, "--pictures", code=2)


def test_verifying_needs_no_torch(path: Path) -> None:
    from tests.support.commands import imported_by

    for words in (["verify"], ["seal", "-o", str(path.with_suffix(".json"))], ["migrate"]):
        assert not imported_by(*words, "-i", str(path)) & {"torch", "open_clip", "PIL"}, words


def test_the_author_is_recorded_unless_suppressed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for said, wanted in (("", ""), ("exhibit 7", "exhibit 7")):
        monkeypatch.setenv("IMINDEX_WHO", said)
        assert entry("", "", "")["who"] == wanted
    monkeypatch.delenv("IMINDEX_WHO")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("platform.node", lambda: "lab")
    assert entry("", "", "")["who"] == "ada@lab"
    save(path)
    text = shown("info", "-i", path, "--provenance")
    assert (
        text.count("ada@lab") == 2 and "imindex build art/ --rehash" in text and "none: a new index" in text
    )
    assert [line["who"] for line in json.loads(run("info", "-i", path, "--json").stdout)["log"]] == [
        "ada@lab"
    ] * 2
