"""Remove and export: a removed artist is gone, and an export equals the index."""

from __future__ import annotations

import json
import os
import shlex
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import NOBODY, item_columns, reject_columns
from imindex.indexer.maintain.export import export
from imindex.indexer.maintain.remove import ERASED, remove
from imindex.indexer.maintain.summary import describe
from imindex.indexer.store.index import Index, recompute_root_digest
from tests.support.example_index import (
    ARTISTS,
    DIM,
    ENCODER,
    STRAY,
    beside,
    digest,
    example,
    row,
    save,
    vectors,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "i.h5")
    return tmp_path / "i.h5"


def test_a_removed_artist_leaves_no_trace(path: Path) -> None:
    table = vectors(6)
    report = remove(path, artists=["Ada Lovelace"])
    assert (report.removed, report.rejects, report.rows) == (2, 1, 4)
    with Index(path) as index:
        assert index.artists == ("Bo O'Brien", "Zoë")
        assert index.column("artist").tolist() == [0, NOBODY, 1, 0]
        assert index.column("path").tolist() == ["2.png", "4.png", "5.png", "6.png"]
        assert (index.vectors == table[[1, 3, 4, 5]]).all()
        assert index.rejects()["artist"].tolist() == [0] and index.rejects()["path"][0] == STRAY
        assert index.root_digest == report.root_digest == recompute_root_digest(index)
        last = index.log()[-1]
        assert last["command"] == f"imindex remove --artist '{ERASED}'" and last["summary"].startswith(
            "remove: 2"
        )
        assert (last["digest-before"] != last["digest-after"]) and last["digest-after"] == index.root_digest
        assert index.ann()["kind"] == "exact-fp16"
    raw = path.read_bytes()
    for trace in (
        b"Ada Lovelace",
        b'caf\xe9/\xff.png"',
        digest(1),
        digest(3),
        table[0].tobytes(),
        b"somebody",
    ):
        assert trace not in raw, trace
    assert beside(path) == []


@pytest.mark.parametrize(
    ("artist", "typed"),
    [
        ("Bo O'Brien", "art/works/Bo O'Brien"),  # a quote is written as '"'"' by a shell
        ("Zoë", unicodedata.normalize("NFD", "art/works/Zoë")),  # as macOS hands the folder's name out
        ("$HOME \"x\"", "art/works/$HOME \"x\""),
    ],
)  # fmt: skip
def test_the_name_is_erased_from_earlier_command_lines_in_any_spelling(
    tmp_path: Path, artist: str, typed: str
) -> None:
    path, command = tmp_path / "i.h5", shlex.join(["imindex", "build", typed, "-i", "a.h5"])
    artists = ARTISTS if artist in ARTISTS else (ARTISTS[0], artist, ARTISTS[2])
    save(path, example(artists=artists, log=[entry(command, "build", "")]))
    remove(path, artists=[artist])
    with Index(path) as index:
        words = [shlex.split(line["command"]) for line in index.log()]
    for word in (word for line in words for word in line):
        assert artist not in unicodedata.normalize("NFC", word)
    assert words[0][:2] == ["imindex", "build"] and words[0][3:] == ["-i", "a.h5"]


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("imindex build 'art/Zoë -i a.h5", f"imindex build {ERASED}"),
        ('imindex build "art/Zoë', f"imindex build {ERASED}"),
        ("imindex build art/Zoë \\", f"imindex build {ERASED}"),
        ("Zoë '", ERASED),
        ("imindex Zoë '", ERASED),
    ],
)
def test_a_command_line_with_an_open_quote_is_erased(tmp_path: Path, command: str, kept: str) -> None:
    """Only a forger writes one; it must not keep an artist from being removed."""
    path = tmp_path / "i.h5"
    save(path, example(log=[entry(command, "build", "")]))
    assert remove(path, artists=["Zoë"]).removed == 1
    with Index(path) as index:
        assert index.log()[0]["command"] == kept
    assert "Zoë".encode() not in path.read_bytes()


def test_a_short_name_does_not_damage_the_log(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path, example(artists=("i", *ARTISTS[1:]), log=[entry("imindex build art/works/i -i a.h5", "", "")]))
    remove(path, artists=["i"])
    with Index(path) as index:
        words = shlex.split(index.log()[0]["command"])
    assert words == ["imindex", "build", f"art/works/{ERASED}", "-i", "a.h5"]


def test_name_matches_in_either_normalisation(path: Path) -> None:
    assert remove(path, artists=[unicodedata.normalize("NFD", "Zoë")]).removed == 1


def test_all_kinds_of_conditions_must_match(path: Path) -> None:
    report = remove(path, artists=["Ada Lovelace", "Zoë"], collections=["r1"])
    assert (report.removed, report.rejects, report.rows) == (2, 0, 4)
    with Index(path) as index:
        assert index.column("path").tolist() == [STRAY, "2.png", "4.png", "6.png"]
        assert index.artists == ("Ada Lovelace", "Bo O'Brien")
    assert remove(path, collections=["r1"]).removed == 1
    with Index(path) as index:
        assert [c.name for c in index.collections] == ["works"] and len(index.rejects()["path"]) == 1
    assert remove(path, digests=[digest(6).hex().upper(), digest(2).hex()]).rows == 1
    assert remove(path, artists=["Ada Lovelace"]).rows == 0
    with Index(path) as index:
        assert (index.n, index.artists, index.collections) == (0, (), ())
        assert index.vectors.shape == (0, DIM) and len(index.log()) == 6


def test_bytes_are_removed_from_every_row_that_shares_them(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path, example(items=item_columns([row(1, 0, 0), row(1, 1, 0), row(2, 1, 0)])))
    assert remove(path, digests=[digest(1).hex()]).rows == 1
    assert digest(1) not in path.read_bytes()


def test_a_dry_run_counts_and_changes_nothing(path: Path) -> None:
    before, status = path.read_bytes(), path.stat()
    report = remove(path, artists=["Ada Lovelace"], dry_run=True)
    assert (report.removed, report.rejects, report.rows) == (2, 1, 4)
    assert path.read_bytes() == before and path.stat().st_ino == status.st_ino
    assert beside(path) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"artists": ["Ada"]}, r"has no artist Ada\. See `imindex info --artists"),
        ({"artists": ["Zoë", "Nobody"]}, r"has no artist Nobody\."),
        ({"collections": ["r2"]}, r"has no collection r2\."),
        ({"digests": ["ff" * 32]}, r"has no picture with the SHA-256 ffff"),
        ({"digests": ["ff"]}, r"--sha256 takes 64 hexadecimal digits"),
        ({"digests": ["zz" * 32]}, r"--sha256 takes 64 hexadecimal digits"),
    ],
)
def test_unknown_names_and_digests_are_refused(path: Path, asked: dict, message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ImindexError, match=message):
        remove(path, **asked)
    assert path.read_bytes() == before and beside(path) == []


def test_part_files_lose_the_vectors_too(path: Path) -> None:
    table = vectors(3, seed=4)
    with Parts(path, ENCODER) as parts:
        parts.append(Batch([digest(1), digest(70)], list(table[:2]), [(4, 5), (6, 7)], {digest(71): "bad"}))
        parts.append(Batch([digest(3)], [table[2]], [(8, 9)]))
    remove(path, artists=["Ada Lovelace"])
    folder = path.with_name("i.h5.parts")
    for file in folder.glob("part-*"):
        raw = file.read_bytes()
        assert digest(1) not in raw and digest(3) not in raw and table[0].tobytes() not in raw
    with Parts(path, ENCODER) as parts:
        assert set(parts.numbers) == {digest(70)} and parts.rejected == {digest(71): "bad"}
        found, sizes = parts.collect([digest(70)])
        assert (found[0] == table[1]).all() and sizes.tolist() == [[6, 7]]


def test_removal_is_refused_during_a_build(path: Path) -> None:
    with (
        Parts(path, ENCODER),
        pytest.raises(ImindexError, match=rf"is being built by process {os.getpid()} on .*\. Wait"),
    ):
        remove(path, artists=["Zoë"])


# Export


def test_an_export_equals_the_index(path: Path, tmp_path: Path) -> None:
    with Index(path) as index:
        files = export(index, tmp_path / "out")

        assert {Path(file).name for file in files} == {file.name for file in (tmp_path / "out").iterdir()}
        stored = np.load(tmp_path / "out/vectors.npy")
        assert stored.dtype == np.float16 and (stored == index.vectors).all()
        items = pyarrow.parquet.read_table(tmp_path / "out/items.parquet").to_pydict()
        assert items["row"] == list(range(6))
        assert items["artist"] == [index.artists[a] if a >= 0 else "" for a in index.column("artist")]
        assert items["collection"] == [index.collections[c].name for c in index.column("collection")]
        assert items["kind"] == [index.collections[c].kind for c in index.column("collection")]
        assert items["sha256"] == [bytes(d).hex() for d in index.column("sha256")]
        for name in ("width", "height", "seed", "prompt", "caption"):
            assert items[name] == index.column(name).tolist(), name
        assert items["path"][1:] == index.column("path")[1:].tolist()
        rejects = pyarrow.parquet.read_table(tmp_path / "out/rejects.parquet").to_pydict()
        assert rejects["reason"] == index.rejects()["reason"].tolist()
        about = json.loads((tmp_path / "out/index.json").read_text(encoding="utf-8"))
        assert about["root-digest"] == index.root_digest and about["n"] == 6
        with pytest.raises(
            ImindexError, match=r"out already holds vectors\.npy, .*Pass --force to overwrite"
        ):
            export(index, tmp_path / "out")
        (tmp_path / "out/vectors.npy").write_bytes(b"old")
        export(index, tmp_path / "out", force=True)
        assert (np.load(tmp_path / "out/vectors.npy") == index.vectors).all()


def test_non_utf8_names_are_exported(tmp_path: Path) -> None:
    stray = os.fsdecode(b"Caf\xe9")
    first = replace(example().collections[0], name=stray)
    save(
        tmp_path / "i.h5",
        example(artists=(stray, *ARTISTS[1:]), collections=(first, example().collections[1])),
    )
    with Index(tmp_path / "i.h5") as index:
        export(index, tmp_path / "out")
    items = pyarrow.parquet.read_table(tmp_path / "out/items.parquet").to_pydict()
    assert items["artist"][0].startswith("Caf") and items["collection"][0].startswith("Caf")


def test_export_without_rejects_has_the_same_columns(path: Path, tmp_path: Path) -> None:
    save(tmp_path / "j.h5", example(rejects=reject_columns(())))
    schemas = []
    for name in ("i", "j"):
        with Index(tmp_path / f"{name}.h5") as index:
            export(index, tmp_path / name)
        schemas.append(pyarrow.parquet.read_schema(tmp_path / name / "rejects.parquet"))
    assert schemas[0].equals(schemas[1])


def test_describe_counts_and_lists(path: Path) -> None:
    with Index(path) as index:
        said = describe(index)
    assert json.loads(json.dumps(said.to_dict()))["n"] == said.n == 6
    counts = [(c.name, c.kind, c.artists, c.pictures, c.rejected) for c in said.collections]
    assert counts == [("works", "works", 2, 3, 1), ("r1", "imitations", 2, 3, 1)]
    assert [(a.name, a.works, a.imitations) for a in said.artists] == [
        ("Ada Lovelace", 1, 1), ("Bo O'Brien", 2, 0), ("Zoë", 0, 1),
    ]  # fmt: skip
    assert [r.reason for r in said.rejects] == ["cannot be read", "empty file"]
    assert said.encoder["weights-sha256"] == ENCODER.weights_sha256


def test_duplicates_are_listed_and_distinguished(tmp_path: Path) -> None:
    rows = [row(1, 0, 0), row(2, 1, 0), row(1, 1, 0), row(2, 1, 1), row(3, 0, 0)]
    save(tmp_path / "i.h5", example(items=item_columns(rows)))
    with Index(tmp_path / "i.h5") as index:
        said = describe(index)
    assert sorted(d.row for d in said.duplicates) == [0, 1, 2, 3]
    assert said.duplicates_summary.startswith("4 rows share 2 pictures, 1 of them across artists")
