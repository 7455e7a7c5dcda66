"""Exports for other programs, opened by what they are for."""

from __future__ import annotations

import csv
import importlib
import io
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import imindex
from imindex.indexer.core.errors import ImindexError
from tests.support.commands import run


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of an index with its pictures."""
    return Path(shutil.copytree(built.parent, tmp_path / "b"))


def test_parquet_holds_what_the_index_holds(folder: Path) -> None:
    out = folder / "out.parquet"
    said = json.loads(
        run("export", out, "-i", folder / "i.h5", "--to", "parquet", "--neighbours", 3, "--json").stdout
    )
    table = pyarrow.parquet.read_table(out)
    with imindex.open(folder / "i.h5") as index:
        vectors = np.asarray(index.vectors)
        assert said["rows"] == table.num_rows == len(index)
        items = index.items.to_arrow()
        for name in items.column_names:
            assert table[name].to_pylist() == items[name].to_pylist()
        assert table.schema.metadata[b"imindex.root"].decode() == index.root_digest
        xy = index.projection().xy
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors.astype(np.float32))
    assert np.array_equal(np.array(table["x"].to_pylist(), np.float32), xy[:, 0])
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(cosines, -np.inf)
    for row, found in enumerate(table["neighbors"].to_pylist()):
        assert len(found["ids"]) == 3 and row not in found["ids"]
        best = np.sort(cosines[row])[::-1][:3]
        assert np.allclose(1 - np.array(found["distances"]), best, atol=1e-6)
    image = table["image"][0].as_py()
    assert (
        Image.open(io.BytesIO(image["bytes"])).format == "WEBP" and image["path"] == table["path"][0].as_py()
    )


def test_parts_choices_and_missing_pictures(folder: Path) -> None:
    gone = next((folder / "art/works/ada").glob("*.png"))
    gone.write_bytes(b"something else")
    out = folder / "some.parquet"
    words = ("--to", "parquet", "--artist", "ada", "--collection", "works", "--no-vectors", "--no-projection")
    said = json.loads(run("export", out, "-i", folder / "i.h5", *words, "--neighbours", 1, "--json").stdout)
    table = pyarrow.parquet.read_table(out)
    assert said["without_thumbnail"] == 1 and set(table["artist"].to_pylist()) == {"ada"}
    assert not {"vector", "x"} & set(table.column_names)
    assert all(set(one["ids"]) <= set(range(table.num_rows)) for one in table["neighbors"].to_pylist())
    failed = run("export", out, "-i", folder / "i.h5", "--to", "parquet", code=1)
    assert "--force" in failed.stderr
    assert "does not end in .csv" in run("export", out, "-i", folder / "i.h5", "--to", "csv", code=1).stderr
    assert (
        "no collection"
        in run(
            "export", folder / "n.csv", "-i", folder / "i.h5", "--to", "csv", "--collection", "x", code=1
        ).stderr
    )


def test_csv_is_read_by_a_spreadsheet(folder: Path) -> None:
    out = folder / "out.csv"
    run("export", out, "-i", folder / "i.h5", "--to", "csv", "--neighbours", 2)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with imindex.open(folder / "i.h5") as index:
        assert len(rows) == len(index)
        assert np.array_equal(
            np.array(json.loads(rows[3]["vector"]), np.float32), np.asarray(index.vectors[3], np.float32)
        )
    assert json.loads(rows[0]["neighbors"])["ids"] and "image" not in rows[0]


def test_fiftyone_has_the_form_that_its_documentation_gives(folder: Path) -> None:
    """data/NAME.EXT, and labels.json with texts by NAME, no classes; FiftyOne itself is not run (MongoDB)."""
    out = folder / "fo"
    run("export", out, "-i", folder / "i.h5", "--to", "fiftyone")
    labels = json.loads((out / "labels.json").read_text())
    names = {path.stem for path in (out / "data").iterdir()}
    assert set(labels["labels"]) == names and set(labels) == {"labels"}
    with imindex.open(folder / "i.h5") as index:
        artists = index.items.to_arrow()["artist"].to_pylist()
    assert {int(name): label or "" for name, label in labels["labels"].items()} == dict(enumerate(artists))
    fields = pyarrow.parquet.read_table(out / "fields.parquet")
    assert set(fields["name"].to_pylist()) == names
    assert np.load(out / "vectors.npy").shape[0] == len(names)


@pytest.mark.parametrize("target", ["fiftyone", "lance"])
def test_a_new_export_keeps_nothing_of_the_one_before(folder: Path, target: str) -> None:
    """Lance keeps earlier versions in its folder, and FiftyOne reads every picture that is there."""
    if target == "lance":
        pytest.importorskip("lance", reason="pylance is not installed: pip install 'imindex[lance]'")
    out = folder / "out.lance"
    with imindex.open(folder / "i.h5") as index:
        index.export(out, target)  # type: ignore[arg-type]
        before = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
        with pytest.raises(ImindexError, match="--force"):
            index.export(out, target)  # type: ignore[arg-type]
        index.export(out, target, artists=["ada"], force=True)  # type: ignore[arg-type]
        after = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
        if target == "fiftyone":
            assert len(list((out / "data").iterdir())) == index.items.to_arrow()["artist"].to_pylist().count(
                "ada"
            )
        else:
            assert not {path for path in before if path.parts[0] == "data"} & after
            assert len(importlib.import_module("lance").dataset(str(out)).versions()) == 1
        (out / "mine.txt").write_text("kept")
        with pytest.raises(ImindexError, match=r"mine\.txt"):
            index.export(out, target, force=True)  # type: ignore[arg-type]
        assert (out / "mine.txt").read_text() == "kept"
        assert not [path for path in folder.iterdir() if path.name.startswith(".out")]


def test_lance_round_trip(folder: Path) -> None:
    lance = pytest.importorskip("lance", reason="pylance is not installed: pip install 'imindex[lance]'")
    run("export", folder / "out.lance", "-i", folder / "i.h5", "--to", "lance")
    data = lance.dataset(str(folder / "out.lance"))
    with imindex.open(folder / "i.h5") as index:
        vector = np.asarray(index.vectors[0], np.float32)
        assert data.count_rows() == len(index)
    near = data.to_table(nearest={"column": "vector", "q": vector, "k": 1}, columns=["row"])
    assert near["row"].to_pylist() == [0]


def test_without_lance_the_remedy_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    with imindex.open(folder / "i.h5") as index, pytest.raises(ImindexError, match=r"imindex\[lance\]"):
        index.export(folder / "x.lance", "lance")


def test_embedding_atlas_opens_it(folder: Path) -> None:
    """The real program reads the file and serves its table. Its map needs WebGPU, which is not here."""
    program = shutil.which("embedding-atlas")
    if program is None:
        pytest.skip(
            "embedding-atlas is not installed: pip install embedding-atlas, in an environment of its own"
        )
    out = folder / "atlas.parquet"
    run("export", out, "-i", folder / "i.h5", "--to", "embedding-atlas")
    columns = ("--vector", "vector", "--image", "image", "--x", "x", "--y", "y", "--neighbors", "neighbors")
    port = "15055"
    with subprocess.Popen(
        [program, str(out), *columns, "--duckdb", "server", "--host", "127.0.0.1", "--port", port, "--no-auto-port"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/data/metadata.json", timeout=5
                    ) as answer:
                        about = json.loads(answer.read())
                    break
                except OSError:
                    assert process.poll() is None, process.stdout and process.stdout.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.5)
            assert "vector" in json.dumps(about) or about
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/data/dataset.parquet", timeout=30
            ) as answer:
                served = pyarrow.parquet.read_table(io.BytesIO(answer.read()))
            with imindex.open(folder / "i.h5") as index:
                assert served.num_rows == len(index)
            assert {"x", "y", "artist"} <= set(served.column_names)
        finally:
            process.terminate()
