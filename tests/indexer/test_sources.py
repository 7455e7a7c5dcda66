"""Sources: folders and manifests become items, in a fixed order; invalid input is explained."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import NO_SEED
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.layout import find_layout

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a function that creates empty files below the test's folder."""

    def make(*files: str, root: str = "art") -> Path:
        for file in files:
            path = tmp_path / root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / root

    return make


def summary(items: Sequence[Item], root: Path) -> list[tuple[str, str, str, str]]:
    return [(os.path.relpath(i.path, root), i.artist, i.kind, i.collection) for i in items]


# Folders


def test_tree_is_read_in_order_of_kinds_and_names(tree: Tree) -> None:
    root = tree(
        "works/bo/b.png", "works/bo/a.png", "works/ada/deep/er/x.png", "imitations/r2/bo/1.png",
        "imitations/r1/ada/10.png", "imitations/r1/ada/9.png", "control/c.png", "control/set/d.png",
        "background/Zoë/z.png",
    )  # fmt: skip
    notes: list[str] = []
    tree("notes/readme.txt")
    assert summary(list(find([root], note=notes.append)), root) == [
        ("works/ada/deep/er/x.png", "ada", "works", "works"),
        ("works/bo/a.png", "bo", "works", "works"),
        ("works/bo/b.png", "bo", "works", "works"),
        ("imitations/r1/ada/10.png", "ada", "imitations", "r1"),
        ("imitations/r1/ada/9.png", "ada", "imitations", "r1"),
        ("imitations/r2/bo/1.png", "bo", "imitations", "r2"),
        ("control/c.png", "", "control", "control"),
        ("control/set/d.png", "", "control", "set"),
        ("background/Zoë/z.png", "Zoë", "background", "background"),
    ]
    assert len(notes) == 1 and "notes" in notes[0] and "skipped" in notes[0]


def test_single_folder_reads_as_in_the_tree(tree: Tree) -> None:
    root = tree("works/ada/a.png", "imitations/r1/ada/1.png", "imitations/r2/bo/2.png", "control/c.png")
    whole = list(find([root]))
    assert list(find([root / "works", root / "imitations", root / "control"])) == whole
    assert list(find([root / "imitations/r1", root / "imitations/r2"])) == whole[1:3]


@pytest.mark.parametrize("where", ["works", "imitations/r1"])
def test_the_working_directory_can_be_a_source(
    tree: Tree, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("works/ada/a.png", "imitations/r1/ada/1.png")
    monkeypatch.chdir(root / where)
    expected = [(i.artist, i.kind, i.collection) for i in find([root / where])]
    assert [(i.artist, i.kind, i.collection) for i in find(["."])] == expected


def test_any_other_folder_needs_a_kind(tree: Tree) -> None:
    root = tree("ada/a.png", "bo/b.png", root="pile")
    with pytest.raises(ImindexError, match=r"pile holds none of the folders works.*--kind works"):
        list(find([root]))
    assert {(i.artist, i.kind, i.collection) for i in find([root], kind="works")} == {
        ("ada", "works", "works"), ("bo", "works", "works"),
    }  # fmt: skip
    assert {i.collection for i in find([root], kind="imitations")} == {"pile"}
    assert {i.collection for i in find([root], kind="imitations", collection="sd-1.5")} == {"sd-1.5"}
    assert {i.artist for i in find([root], kind="works", artist="Cy")} == {"Cy"}
    assert {(i.artist, i.kind) for i in find([root], kind="control")} == {("", "control")}


def test_a_picture_with_unknown_artist_or_release_is_refused(tree: Tree) -> None:
    root = tree("works/a.png", "imitations/b.png")
    with pytest.raises(ImindexError, match=r"a\.png is directly in .*artist is unknown.*--artist"):
        list(find([root / "works"]))
    with pytest.raises(ImindexError, match=r"b\.png is directly in .*Move it into the folder"):
        list(find([root / "imitations"]))
    assert [i.artist for i in find([root / "works"], artist="Ada")] == ["Ada"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("folder", ["works/Ada", "Ada"])
def test_a_manifest_of_the_whole_tree_is_read(tree: Tree, suffix: str, folder: str) -> None:
    """`build` and `audit init` follow one rule: a folder that holds a manifest is read by it."""
    root = tree(f"{folder}/1.png", f"{folder}/2.png")
    rows = [{"path": f"{folder}/1.png", "artist": "Renamed", "kind": "works"}]
    if suffix == "tsv":
        (root / "manifest.tsv").write_text(f"path\tartist\tkind\n{folder}/1.png\tRenamed\tworks\n")
    else:
        write_manifest(root / f"manifest.{suffix}", rows)
    notes: list[str] = []
    items = list(find([root], note=notes.append))
    assert summary(items, root) == [(f"{folder}/1.png", "Renamed", "works", "works")]
    assert notes == [
        f"{root} is read by its manifest.{suffix}: 1 picture in it is not listed there, and not used, such as "
        f"{folder}/2.png."
    ]
    assert find_layout(root).artists == {"Renamed": 1}


def test_a_collection_by_the_name_of_a_folder_is_told(tree: Tree) -> None:
    root = tree("Ada/1.png", root="fakes")

    def notes(**given: str) -> list[str]:
        said: list[str] = []
        list(find([root], note=said.append, **given))
        return said

    for kind in ("imitations", "control"):
        assert notes(kind=kind) == [
            f"{root}: the collection is 'fakes', by the name of the folder. --collection names another."
        ]
        assert not notes(kind=kind, collection="r1")
    assert not notes(kind="works") and not notes(kind="background")
    write_manifest(root / "manifest.csv", [{"path": "Ada/1.png", "artist": "Ada", "collection": "r1"}])
    assert notes(kind="imitations") == [f"{root} is read by its manifest.csv, which lists all its pictures."]


def test_a_missing_level_of_releases_is_named(tree: Tree) -> None:
    root = tree("works/Davor/w.png", "imitations/Davor/x.png", "imitations/Bo/y.png")
    expected = r"imitations/Bo/y\.png.*the level RELEASE is missing: .*imitations/RELEASE/Bo/\*"
    for source in (root, root / "imitations", root / "imitations/Bo"):
        with pytest.raises(ImindexError, match=expected):
            list(find([source]))
    with pytest.raises(ImindexError, match=expected):
        find_layout(root)
    tree("imitations/Bo/Ada/z.png")  # now it is a release
    with pytest.raises(ImindexError, match=r"y\.png is directly in .*so its artist is unknown"):
        list(find([root / "imitations"]))
    assert {i.artist for i in find([root / "imitations/Bo"], artist="Cy")} == {"Cy"}


def test_a_kind_cannot_be_combined_with_the_layout(tree: Tree) -> None:
    """`--kind imitations imitations/` must not read releases as artists, nor `--kind works art/` kinds as artists."""
    root = tree("works/ada/a.png", "imitations/r1/ada/1.png")
    for source, kind in ((root / "imitations", "imitations"), (root, "works")):
        try:
            artists = {item.artist for item in find([source], kind=kind)}
        except ImindexError:
            continue
        assert artists == {"ada"}


def test_hidden_files_are_skipped_and_links_followed_without_loops(tree: Tree, tmp_path: Path) -> None:
    root = tree("works/ada/a.png", "works/ada/.DS_Store", "works/ada/.thumbs/t.png", "works/.trash/x/y.png")
    tree("elsewhere/e.png", root="far")
    (root / "works/ada/away").symlink_to(tmp_path / "far/elsewhere")
    (root / "works/ada/circle").symlink_to(root / "works/ada")
    (root / "works/ada/gone.png").symlink_to("nowhere")
    found = [os.path.relpath(i.path, root / "works") for i in find([root])]
    assert found == ["ada/a.png", "ada/away/e.png", "ada/gone.png"]


def test_self_referencing_link_is_an_unreadable_picture(tree: Tree) -> None:
    root = tree("works/ada/a.png")
    (root / "works/ada/self.png").symlink_to("self.png")
    assert [Path(i.path).name for i in find([root])] == ["a.png", "self.png"]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps one spelling only")
def test_names_are_normalised_and_paths_are_not(tree: Tree) -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    root = tree(f"works/{decomposed}/a.png", f"works/{composed}/b.png")
    items = list(find([root]))
    assert {i.artist for i in items} == {composed}
    assert all(Path(i.path).exists() for i in items)
    assert {Path(i.path).parent.name for i in items} == {composed, decomposed}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_non_utf8_names_are_kept(tree: Tree) -> None:
    root = tree("works/ada/a.png")
    raw = os.fsencode(root / "works/ada") + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).touch()
    assert [os.fsencode(i.path) for i in find([root])][1] == raw


def test_invalid_sources_are_refused(tree: Tree) -> None:
    root = tree("works/ada/a.png")
    with pytest.raises(ImindexError, match=r"nowhere does not exist\. Give a folder"):
        list(find([root / "nowhere"]))
    with pytest.raises(
        ImindexError, match=r"a\.png is neither a folder, a tar shard nor a manifest .* list it in a manifest"
    ):
        list(find([root / "works/ada/a.png"]))


# Manifests

ROWS = [
    {
        "path": "a.png",
        "artist": "Ada, Countess",
        "kind": "works",
        "seed": None,
        "caption": 'a "big" one\nlow',
    },
    {
        "path": "i/1.png",
        "artist": "Bo",
        "kind": "imitations",
        "collection": "r1",
        "prompt": "by Bo",
        "seed": 7,
    },
    {"path": "c.png", "artist": None, "kind": "control", "seed": 0},
]
COLUMNS = ["path", "artist", "kind", "collection", "prompt", "seed", "caption"]


def write_manifest(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> Path:
    import csv

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({key: "" if value is None else value for key, value in r.items()} for r in rows)
    elif path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    else:
        table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
        pyarrow.parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".CSV"])
def test_the_three_manifest_formats_are_equivalent(tmp_path: Path, suffix: str) -> None:
    path = write_manifest(tmp_path / f"m{suffix.lower()}", ROWS).rename(tmp_path / f"n{suffix}")
    assert list(find([path])) == [
        Item(str(tmp_path / "a.png"), "Ada, Countess", "works", "works", caption='a "big" one\nlow'),
        Item(str(tmp_path / "i/1.png"), "Bo", "imitations", "r1", "by Bo", 7),
        Item(str(tmp_path / "c.png"), "", "control", "control", seed=0),
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path, suffix: str) -> None:
    path = write_manifest(tmp_path / f"m.{suffix}", ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    assert len(list(find([path]))) == 3


def test_only_the_path_is_required_and_options_fill_the_rest(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.csv", [{"path": "a.png"}], ["path"])
    (item,) = find([path], kind="imitations", collection="r9", artist="Ada")
    assert (item.artist, item.kind, item.collection, item.seed) == ("Ada", "imitations", "r9", NO_SEED)
    for given, message in (
        ({}, "no kind"),
        ({"kind": "works"}, "no artist"),
        ({"kind": "imitations", "artist": "Ada"}, "no release for these imitations"),
    ):
        with pytest.raises(ImindexError, match=rf"m\.csv, line 2: {message}.*pass --"):
            list(find([path], **given))


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names have no case there")
@pytest.mark.parametrize("absolute", [False, True])
def test_paths_that_differ_in_case_from_a_file_are_told(
    tree: Tree, absolute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("bilder/K0/a.png", "bilder/K0/b.png", "bilder/k1/c.PNG", "same/x.png", "SAME/x.png")
    monkeypatch.chdir(root)
    names = ["Bilder\\K0\\a.png", "Bilder\\K0\\b.png", "bilder/K1/c.png", "bilder/K0/a.png"]
    neither = ["Same/x.png", "nowhere/y.png", "bilder/K0/none.png"]
    rows = [{"path": name, "artist": "Ada", "kind": "works"} for name in (*names, *neither)]
    write_manifest(root / "m.csv", rows)
    notes: list[str] = []
    manifest = root / "m.csv" if absolute else Path("m.csv")
    items = list(find([manifest], note=notes.append))
    assert len(items) == 7 and notes == [
        f"{manifest}: 3 paths differ from the name of a file in case only: there is no Bilder\\K0\\a.png, but "
        "bilder/K0/a.png. Correct the column `path`, or rename the folder or file."
    ]


@pytest.mark.skipif(os.name == "nt", reason="drives are known there")
def test_paths_of_another_windows_machine_are_found_by_a_root(tree: Tree, tmp_path: Path) -> None:
    data = tree("Ada/1.png", "Ada/art/2.png", root="data")
    names = [
        "C:\\Users\\me\\Art\\Ada\\1.png", "D:/art/Ada/1.png", "\\\\server\\share\\art\\Ada\\art\\2.png",
        "C:\\art\\old\\art\\Ada\\1.png", "C:\\art\\Ada\\gone.png",
    ]  # fmt: skip
    rows = [{"path": name, "artist": "Ada", "kind": "works"} for name in names]
    manifest = write_manifest(tmp_path / "list/m.csv", rows)
    found = [os.path.relpath(i.path, data) for i in find([manifest], roots={"art": str(data)})]
    assert found == ["Ada/1.png", "Ada/1.png", "Ada/art/2.png", "Ada/1.png", "Ada/gone.png"]
    with pytest.raises(ImindexError, match=r"path of Windows.*--root NAME=FOLDER.*--root Ada=/data/Ada"):
        list(find([manifest], roots={"other": str(data)}))
    rows = [{"path": "C:\\art\\..\\secret.png", "artist": "Ada", "kind": "works"}]
    with pytest.raises(ImindexError, match=r"path of Windows"):
        list(find([write_manifest(tmp_path / "list/n.csv", rows)], roots={"art": str(data)}))


def test_all_missing_columns_of_a_row_are_reported_at_once(tmp_path: Path) -> None:
    columns = ["path", "Künstler"]
    path = write_manifest(tmp_path / "m.csv", [{"path": "a.png", "Künstler": "Ada"}], columns)
    with pytest.raises(
        ImindexError, match=r"line 2: no kind\. .* Also, no artist\. .*pass --artist"
    ) as raised:
        list(find([path]))
    assert "no release" not in str(raised.value)  # only imitations need one
    with pytest.raises(ImindexError, match=r"line 2: no artist\. .* Also, no release .*pass --collection"):
        list(find([path], kind="imitations"))
    with pytest.raises(ImindexError, match=r"line 2: no release .*pass --collection"):
        list(find([path], kind="imitations", artist="Ada"))
    with pytest.raises(ImindexError, match=r"line 2: no kind\. [^.]*pass --kind\.$"):
        list(find([path], artist="Ada"))


def test_unknown_columns_are_reported_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "path": ["a.png", "b.png"], "artist": ["Ada", "Bo"], "kind": ["works"] * 2,
            "prompt": [float("nan")] * 2, "seed": [float("nan"), 3.0], "likes": [1, 2],
        }
    )  # fmt: skip
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    notes: list[str] = []
    items = list(find([tmp_path / "m.parquet"], note=notes.append))
    assert [(i.prompt, i.seed) for i in items] == [("", NO_SEED), ("", 3)]
    assert notes == [f"{tmp_path / 'm.parquet'}: the columns likes are not used."]


@pytest.mark.parametrize(
    "seed", [0, 1, 2**32, 2**53 + 1, 2**62 + 12345, 2**63 - 1], ids=lambda seed: f"2**{seed.bit_length()}"
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_63_bit_seed_is_exact(tmp_path: Path, seed: int, suffix: str) -> None:
    rows = [{"path": "a.png", "artist": "Ada", "kind": "works", "seed": seed}]
    (item,) = find([write_manifest(tmp_path / f"m.{suffix}", rows)])
    assert item.seed == seed


@pytest.mark.parametrize(
    "seed", ["-1", "1.5", '"x"', "[1]", "9223372036854775808", "1e400", "1" * 400, '"inf"', "{}"]
)
def test_an_invalid_seed_is_refused(tmp_path: Path, seed: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"path": "a.png", "artist": "Ada", "kind": "works", "seed": {seed}}}\n')
    with pytest.raises(ImindexError, match=r"m\.jsonl, line 1: seed .* is not an integer from 0 to"):
        list(find([path]))


def test_seed_written_as_float_by_pandas_is_accepted(tmp_path: Path) -> None:
    """pandas writes a column of whole numbers with an empty cell as 12.0."""
    path = tmp_path / "m.csv"
    path.write_text("path,artist,kind,seed\na.png,Ada,works,12.0\nb.png,Ada,works,\n")
    assert [i.seed for i in find([path])] == [12, NO_SEED]


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/passwd", ".."])
def test_paths_stay_inside_the_manifests_folder(tmp_path: Path, name: str) -> None:
    path = write_manifest(tmp_path / "in/m.jsonl", [{"path": name, "artist": "Ada", "kind": "works"}])
    refusal = r"line 1: .* is outside the folder of the manifest.*move it to the folder of the pictures"
    with pytest.raises(ImindexError, match=refusal):
        list(find([path]))


def test_paths_may_contain_dots_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"path": name, "artist": "Ada", "kind": "works"} for name in ("a/../b.png", "..b.png", "./c.png")]
    write_manifest(tmp_path / "m.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    assert [i.path for i in find(["m.jsonl"])] == ["b.png", "..b.png", "c.png"]


ADA = '"path": "a.png", "artist": "Ada", "kind": "works"'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", r"m\.csv: no column `path`.*Add a header"),
        ("m.csv", b"x,artist\na.png,Ada\n", r"m\.csv: no column `path`.*`x`, `artist`.*commas.*Add a header"),
        ("m.csv", b"path,kind\na.png,works,x\n", r"line 2: more cells than columns\. Quote cells"),
        ("m.csv", b"path,kind,artist\n,works,Ada\n", r"line 2: no path"),
        ("m.csv", b"path,kind,artist\na.png,Work,Ada\n", r"line 2: kind 'Work' is unknown\. Write one of works"),
        ("m.csv", b"path,kind,artist\na.png,works,Caf\x81\n", r"m\.csv is not UTF-8 or Windows-1252 \(byte 32\)"),
        ("m.csv", b'path,kind,artist\n"' + b"x" * 200_000 + b'",works,Ada\n', r"m\.csv"),
        ("m.jsonl", b'{"path": "a.png"\n', r"line 1: not JSON: .*Write one object per line"),
        ("m.jsonl", b"[1]\n", r"line 1: not a JSON object"),
        ("m.jsonl", b'{"artist": "caf\xe9"}\n', r"m\.jsonl.*UTF-8"),
        ("m.jsonl", b'{"path": 3, "artist": "Ada", "kind": "works"}\n', r"line 1: no path"),
        ("m.jsonl", f'{{{ADA}, "prompt": "a\\u0000b"}}\n'.encode(), r"line 1: `prompt` contains a NUL.*Remove it"),
        ("m.jsonl", f'{{{ADA}, "prompt": "cut \\ud83d"}}\n'.encode(), r"line 1: `prompt` contains a lone surrogate"),
        ("m.jsonl", ADA.join("{}").replace("a.png", "a\\u0000.png").encode(), r"line 1: `path` contains a NUL"),
        ("m.jsonl", ADA.join("{}").replace('"Ada"', '["Ada"]').encode(), r"line 1: .*artist"),
        ("m.jsonl", f'{{{ADA}, "collection": "  "}}\n'.replace("works", "imitations").encode(), r"no release"),
        ("m.parquet", b"PAR1 but not really", r"m\.parquet: not valid Parquet"),
    ],
)  # fmt: skip
def test_manifest_errors_name_the_line_and_the_remedy(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImindexError, match=message) as raised:
        list(find([tmp_path / name]))
    assert str(raised.value).endswith(".")


def test_blocked_pictures_of_a_manifest_are_marked_and_counted(tmp_path: Path) -> None:
    cells = [None, "safety filter", False, True, "", "False", "0", "no", "nan", float("nan"), "true", 1]
    common = {"artist": "ada", "kind": "imitations", "collection": "r"}
    rows = [{"path": f"{n}.png", **common, "blocked": cell} for n, cell in enumerate(cells)]
    manifest = tmp_path / "manifest.jsonl"
    lines = [json.dumps(row) + "\n" for row in rows if row["blocked"] == row["blocked"]]
    manifest.write_text("".join([*lines, json.dumps({"blocked": "safety filter"}) + "\n"]))
    notes: list[str] = []
    blocked = {Path(item.path).stem: item.blocked for item in find([manifest], note=notes.append)}
    marked = "marked in the manifest"
    assert {name: why for name, why in blocked.items() if why} == {
        "1": "safety filter", "3": marked, "10": marked, "11": marked,
    }  # fmt: skip
    assert notes == [
        f"{manifest}: 5 pictures are marked as blocked. They are recorded, and left out of every search and test.",
        f"{manifest}: 1 of them have no path, and are counted here only.",
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([
        {"path": "a.png", **common, "blocked": float("nan")}, {"path": "b.png", **common, "blocked": 1.0}]),
        tmp_path / "m.parquet")  # fmt: skip
    assert [item.blocked for item in find([tmp_path / "m.parquet"])] == ["", marked]


ARM_ROWS = [
    # arm, kind, --kind -> arm, kind
    ("artist", "imitations", None, "own", "imitations"),
    (" Own ", "", None, "own", "imitations"),
    ("PLACEBO", "imitations", None, "placebo", "imitations"),
    ("rival", "", "imitations", "rival", "imitations"),
    ("nameless", "", "imitations", "nameless", "control"),
    ("nameless", "control", None, "nameless", "control"),
    ("generic", "", None, "control", "control"),
    ("control", "", "works", "control", "control"),
    ("", "control", None, "", "control"),
    ("own", "works", None, "own", "works"),
    ("", "", "background", "", "background"),
]


@pytest.mark.parametrize(("arm", "kind", "option", "stored", "of_kind"), ARM_ROWS)
def test_arms_of_a_manifest_are_read(
    tmp_path: Path, arm: str, kind: str, option: str | None, stored: str, of_kind: str
) -> None:
    row = {"path": "a.png", "artist": "Ada", "kind": kind, "collection": "r", "arm": arm, "model": "m 1"}
    manifest = write_manifest(tmp_path / "m.csv", [row], [*COLUMNS, "arm", "model"])
    notes: list[str] = []
    (item,) = find([manifest], kind=option, note=notes.append)
    assert (item.arm, item.kind, item.model) == (stored, of_kind, "m 1") and not notes
    assert item.artist == ("" if of_kind == "control" else "Ada")


@pytest.mark.parametrize(
    ("arm", "kind", "message"),
    [
        (
            "placbo",
            "imitations",
            r"line 2: arm 'placbo' is unknown\. Write one of own, placebo, nameless, control, rival",
        ),
        (
            "placebo",
            "works",
            r"line 2: a picture of kind works cannot be of the arm placebo, which is for imitations",
        ),
        ("nameless", "imitations", r"of kind imitations cannot be of the arm nameless, which is for control"),
        ("own", "control", r"of kind control cannot be of the arm own"),
        ("rival", "background", r"of kind background cannot be of the arm rival"),
    ],
)
def test_arms_that_do_not_fit_are_refused(tmp_path: Path, arm: str, kind: str, message: str) -> None:
    row = {"path": "a.png", "artist": "Ada", "kind": kind, "collection": "r", "arm": arm}
    with pytest.raises(ImindexError, match=message):
        list(find([write_manifest(tmp_path / "m.csv", [row], [*COLUMNS, "arm"])]))
