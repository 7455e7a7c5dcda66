"""Untrusted manifests: bounded, row by row; a crash of their reader does not affect this process."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources import manifest_rows as manifests
from imindex.indexer.sources.find import find
from imindex.indexer.system import child_process as children
from imindex.indexer.system.child_process import Crashed, Lines, python
from tests.support.places import ROOT

MIB = 2**20


def parquet(file: Path, /, **columns: object) -> Path:
    pyarrow.parquet.write_table(pa.table(columns), file, compression="zstd")  # type: ignore[arg-type]
    return file


def read(path: Path) -> list[tuple[str, object]]:
    return list(manifests.rows(path))


def test_parquet_rows_round_trip(tmp_path: Path) -> None:
    n = 1_000
    path = parquet(
        tmp_path / "m.parquet",
        path=[f"{i}.png" for i in range(n)],
        artist=["Ada Löwe"] * n,
        seed=pa.array([None if i % 3 == 0 else i for i in range(n)], pa.int64()),
        note=pa.array([b"raw"] * n, pa.binary()),
        extra=[[1, 2]] * n,
    )
    rows = read(path)
    assert [row["path"] for _, row in rows] == [f"{i}.png" for i in range(n)]  # type: ignore[index]
    assert rows[4] == (
        f"{path}, row 5",
        {"path": "4.png", "artist": "Ada Löwe", "seed": 4, "note": {}, "extra": [1, 2]},
    )
    assert rows[3][1]["seed"] is None  # type: ignore[index]


def test_a_parquet_bomb_is_refused_without_allocating_its_memory(tmp_path: Path) -> None:
    huge = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * (64 * MIB)])
    path = parquet(tmp_path / "m.parquet", path=huge)
    assert path.stat().st_size < MIB
    with pytest.raises(ImindexError, match=r"m\.parquet: not valid Parquet: .*(memory|row of more|ended)"):
        read(path)


def test_a_parquet_file_of_endless_rows_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_ROWS", 2_000)
    path = parquet(tmp_path / "m.parquet", path=["a.png"] * 5_000)
    with pytest.raises(ImindexError, match=r"more than 2,000 rows\. Split it"):
        read(path)


def test_corrupted_parquet_files_are_read_or_refused(tmp_path: Path) -> None:
    sound = parquet(tmp_path / "sound.parquet", path=[f"{i}.png" for i in range(50)], artist=["a"] * 50)
    whole, rng = sound.read_bytes(), random.Random(7)
    spoilt = tmp_path / "spoilt.parquet"
    refused = 0
    for _ in range(12):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        spoilt.write_bytes(data[: rng.choice((len(data), len(data) // 2))])
        try:
            read(spoilt)
        except ImindexError as error:
            assert str(error).startswith(f"{spoilt}: not valid Parquet: ")
            refused += 1
    assert refused >= 3


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("killed", r"ended \(SIGSEGV\)"),
        ("hung", "longer than 0.5 s"),
        ("chatty", "row of more than 4,096 bytes"),
    ],
)
def test_reader_that_crashes_hangs_or_never_ends_a_line(
    function: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "support")
    started = time.monotonic()
    with (
        pytest.raises(Crashed, match=said),
        python(f"deadly:{function}") as process,
    ):
        list(Lines(process, 0.5 if function == "hung" else 30, 4096))
    assert process.poll() is not None  # it is gone
    assert time.monotonic() - started < 30


def test_child_does_not_import_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise SystemExit('ran a stranger\\'s code')")
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "m.parquet", path=["a.png"])
    assert read(tmp_path / "m.parquet")[0][1] == {"path": "a.png"}
    assert children.start is not None


def test_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_LINE", 1_000)
    for name, text in (
        ("m.csv", "path,artist\na.png,b\n" + "x" * 5_000),
        ("m.jsonl", json.dumps({"path": "x" * 5_000})),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ImindexError, match=rf"{name}, line \d: longer than 1,000 characters"):
            read(tmp_path / name)


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"path": ' + "[" * 200_000)
    with pytest.raises(ImindexError, match=r"m\.jsonl, line 1: not JSON"):
        read(tmp_path / "m.jsonl")


def test_a_manifest_without_read_permission(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,artist,kind\na.png,b,works\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ImindexError, match=r"m\.csv cannot be read: Permission denied"):
        list(find([path]))
