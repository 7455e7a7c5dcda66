"""Manifests and lists of artists as spreadsheets, databases and other tools write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import read_artists, read_origins
from imindex.indexer.sources.find import find
from tests.support.commands import run

ADA, BO = ("a.png", "Ada Example"), ("b.png", "Zoë Sample")


def table(separator: str, header: str = "path artist kind", end: str = "\n") -> str:
    """Two rows, with the columns of the header (words) in this order."""
    rows = [dict(zip(("path", "artist"), row, strict=True), kind="works") for row in (ADA, BO)]
    cells = [[row.get(name.casefold(), "x") for name in header.split()] for row in rows]
    return "".join(separator.join(line) + end for line in [header.split(), *cells])


MANIFESTS: dict[str, tuple[str, bytes]] = {
    "commas": ("m.csv", table(",").encode()),
    "semicolons, as Excel in most of Europe": ("m.csv", table(";").encode()),
    "tabs in a .csv": ("m.csv", table("\t").encode()),
    "tabs in a .tsv, as Google Sheets": ("m.tsv", table("\t", end="\r\n").encode()),
    "Excel CSV UTF-8": ("m.csv", table(";", end="\r\n").encode("utf-8-sig")),
    "Excel Unicode Text": ("m.txt", table("\t", end="\r\n").encode("utf-16")),
    "UTF-16, big end first": ("m.csv", b"\xfe\xff" + table(",").encode("utf-16-be")),
    "UTF-32": ("m.csv", table(",").encode("utf-32")),
    "Excel CSV, which is Windows-1252": ("m.csv", table(";", end="\r\n").encode("cp1252")),
    "Excel for Mac, line ends of old": ("m.csv", table(",", end="\r").encode()),
    "sep= line": ("m.csv", ("sep=;\r\n" + table(";", end="\r\n")).encode("utf-8-sig")),
    "sep= line with a bar": ("m.csv", ("sep=|\n" + table("|")).encode()),
    "sep= line in quotes, filled up": ("m.csv", ('"sep=;";;\n' + table(";")).encode()),
    "capitals": ("m.csv", table(",", "Path ARTIST Kind").encode()),
    "spaces around headers": ("m.csv", table(",").replace("path,artist,kind", " path,artist ,\u00a0kind").encode()),
    "a byte order mark inside": ("m.csv", ("\ufeff" + table(",")).encode("utf-8-sig")),
    "LibreOffice, all text quoted": ("m.csv", table('"\t"', end='"\n').replace("\n", '\n"').join(('"',
         "")).rstrip('"').encode() + b'\n'),
    "trailing empty columns": ("m.csv", table(",").replace("\n", ",,,\n").encode()),
    "rows of separators only": ("m.csv", (table(";") + ";;\n;;\n\n").encode()),
    "blank lines above the header": ("m.csv", ("\n \n" + table(",")).encode()),
    "unused duplicate headers": ("m.csv", table(",", "path artist kind note note").encode()),
    "row numbers of pandas": ("m.csv", table(",", "0 path artist kind").replace("0,", ",", 1).encode()),
    "quoted line breaks": ("m.csv", table(",").replace("Ada Example", '"Ada\nExample"').encode()),
    "a quoted header with a line break": ("m.csv", table(",",
         "path artist kind x").replace("x\n", '"of\nno use"\n', 1).encode()),
    "spaces after commas": ("m.csv", table(", ").replace(" Ada Example", ' "Ada Example"').encode()),
    "spaces around paths": ("m.csv", table(",").replace("a.png", " a.png ").encode()),
    "kinds as a spreadsheet capitalises them": ("m.csv", table(",").replace("works", "Works ").encode()),
    "commas in semicolon-separated cells": ("m.csv", table(";", "path artist kind x").replace(";x\n",
         ";1,5\n").encode()),
    "JSON lines, capital keys": ("m.jsonl", table(",").encode()),
    "JSON lines of PowerShell, UTF-16": ("m.jsonl", table(",").encode("utf-16")),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_many_programs_have_the_same_rows(name: str, tmp_path: Path) -> None:
    file, content = MANIFESTS[name]
    if file.endswith(".jsonl"):
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        rows = csv.DictReader(content.decode(encoding).splitlines())
        lines = [json.dumps({f" {key.title()}": value for key, value in row.items()}) for row in rows]
        content = "\n".join(lines).encode(encoding)
    (tmp_path / file).write_bytes(content)
    (tmp_path / "a.png").touch()
    notes: list[str] = []
    items = list(find([tmp_path / file], note=notes.append))
    assert [(Path(i.path).name, i.artist, i.kind) for i in items] == [(*ADA, "works"), (*BO, "works")]
    told = [note for note in notes if "cp1252" in note]
    assert len(told) == ("1252" in name) and all("Zoë Sample" in note for note in told)


@pytest.mark.parametrize("index", [None, "path"])
def test_parquet_of_pandas_with_and_without_an_index(tmp_path: Path, index: str | None) -> None:
    columns = {"Artist": [ADA[1], BO[1]], " KIND ": ["works"] * 2, "path": [ADA[0], BO[0]]}
    if index is None:
        columns["__index_level_0__"] = ["0", "1"]
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    notes: list[str] = []
    assert [i.artist for i in find([tmp_path / "m.parquet"], note=notes.append)] == [ADA[1], BO[1]]
    assert not notes


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "another word": ("m.csv", b"file;artist\na.png;Ada\n",
         r"columns `file`, `artist` \(separated by semicolons\)\. Did you mean `file`\? Rename it to `path`\."),
    "a misspelt word": ("m.csv", b"pth,artist\na.png,Ada\n", r"columns `pth`, `artist` .*Did you mean `pth`\?"),
    "image_path": ("m.tsv", b"Image_Path\tartist\na.png\tAda\n", r"separated by tabs\)\. Did you mean `Image_Path`\?"),
    "no header": ("m.csv", b"a.png,Ada,works\n", r"columns `a\.png`, `Ada`, `works` .*Add a header line"),
    "a title above": ("m.csv", b"Table 1,,\npath,artist,kind\na.png,Ada,works\n",
         r"The header is in line 2: remove what is above it"),
    "a wrong sep= line": ("m.csv", b"sep=;\npath,artist\n",
         r"no column `path`: the first line has the column `path,artist`"),
    "two columns": ("m.csv", b"path,artist,Path \na.png,Ada,b.png\n", r"2 columns are named `path` \(`path`, `Path`\)"),
    "two keys": ("m.jsonl", b'{"path": "a.png", "Path": "b.png"}\n', r"line 1: several columns are named `path`"),
    "painter": ("m.csv", b"path,kind,painter\na.png,works,Ada\n",
         r"no artist\..*Did you mean `painter`\? Rename it to `artist`"),
    "a key": ("m.jsonl", b'{"filename": "a.png", "artist": "Ada"}\n',
         r"no path\..*`filename`, `artist`\. Did you mean `filename`\?"),
    "too many cells": ("m.csv", b"path;kind\na.png;works;x\n",
         r"line 2: more cells than columns\. Quote cells that contain semicolons"),
    "a workbook with another suffix": ("m.csv", b"PK\x03\x04rest", r"is a ZIP archive, as workbooks.*CSV UTF-8"),
    "a workbook": ("m.xlsx", b"PK\x03\x04rest", r"is a workbook.*CSV UTF-8"),
    "UTF-16 without a mark": ("m.csv", "path,artist\n".encode("utf-16-le"), r"UTF-16 without a byte order mark"),
    "cut UTF-16": ("m.csv", "path,artist\n".encode("utf-16")[:-1], r"is not UTF-16.*Save it as UTF-8"),
    "two encodings": ("m.csv", "path,artist\n1.png,Zoë\n".encode() + b"2.png,Zo\xeb\n",
         r"partly UTF-8, and partly not \(from byte 31\)"),
    "UTF-8 cut off": ("m.csv", "path,artist\n1.png,Zoë\n2.png,Zoë".encode()[:-1],
         r"or cutting one off\. Save it as UTF-8"),
    "a rounded seed": ("m.csv", b"path,artist,kind,seed\na.png,Ada,works,1.23E+15\n",
         r"rounded by a spreadsheet.*as text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_manifest_names_its_columns_and_the_nearest(name: str, tmp_path: Path) -> None:
    file, content, message = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ImindexError, match=message) as refused:
        list(find([tmp_path / file]))
    assert str(refused.value).endswith(".") and str(tmp_path / file) in str(refused.value)


def test_a_broken_byte_far_behind_is_found_before_a_row_is_used(tmp_path: Path) -> None:
    rows = "".join(f"{n}.png,Ada Example,works\n" for n in range(60_000))
    (tmp_path / "m.csv").write_bytes(b"path,artist,kind\n" + rows.encode() + b"z.png,Zo\xeb,works\n")
    notes: list[str] = []
    assert [i.artist for i in find([tmp_path / "m.csv"], note=notes.append)][-1] == "Zoë"
    assert "'z.png,Zoë,works'" in notes[0]


# Lists of artists

NAMES = ["Ada Example", "Bo Sample"]
LISTS: dict[str, tuple[str, bytes, str]] = {
    "semicolons": ("l.csv", b"artist;country;born\nAda Example;UK;1900\nBo Sample;FR;1910\n", ""),
    "semicolons, mark, Windows": ("l.csv", b"\xef\xbb\xbfartist;country\r\nAda Example;UK\r\nBo Sample;FR\r\n", ""),
    "sep= line": ("l.csv", b"sep=;\r\nartist;country\r\nAda Example;UK\r\nBo Sample;FR\r\n", ""),
    "semicolons at the ends": ("l.csv", b"Ada Example;\nBo Sample;\n", ""),
    "a header, semicolons at the ends": ("l.csv", b"artist;\nAda Example;\nBo Sample;\n", ""),
    "tabs": ("l.tsv", b"born\tartist\n1900\tAda Example\n1910\tBo Sample\n", ""),
    "Unicode Text": ("l.txt", "artist\tcountry\r\nAda Example\tUK\r\nBo Sample\tFR\r\n".encode("utf-16"), ""),
    "a header": ("l.csv", b"name\nAda Example\nBo Sample\n", "'name', is a header"),
    "Artist Name": ("l.csv", b"Artist Name\nAda Example\nBo Sample\n", "'Artist Name', is a header"),
    "a header in a text": ("l.txt", b"Painters:\nAda Example\nBo Sample\n", "'Painters', is a header"),
    "a quoted header": ("l.csv", b'"Names"\n"Ada Example"\n"Bo Sample"\n', "'Names', is a header"),
    "the column name": ("l.csv", b"id,Name\n1,Ada Example\n2,Bo Sample\n", "those of the column `name`"),
    "artist before name": ("l.csv", b"name,artist\nSunrise,Ada Example\nNoon,Bo Sample\n", ""),
    "a byte order mark inside": ("l.csv", b"artist\n\xef\xbb\xbfAda Example\nBo Sample\n", ""),
    "no-break space": ("l.txt", "Ada\u00a0Example\nBo\u2009 Sample\n".encode(), ""),
    "repeated with another space": ("l.txt", "Ada Example\nAda\u00a0Example\nBo Sample\n".encode(),
         "line 2: 'Ada Example' is already listed in line 1, with other spaces"),
    "repeated with an invisible character": ("l.csv", "artist\nAda Example\nAda Example\u200b\nBo Sample\n".encode(),
         "listed once"),
    "mark of direction": ("l.txt", "\u200eAda Example\nBo Sample\n".encode(), ""),
    "old line ends": ("l.txt", b"Ada Example\rBo Sample\r", ""),
    "blank rows": ("l.csv", b"artist,x\n,\nAda Example,1\n,,\nBo Sample,2\n\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_many_programs_have_the_same_names(name: str, tmp_path: Path) -> None:
    file, content, told = LISTS[name]
    (tmp_path / file).write_bytes(content)
    notes: list[str] = []
    assert read_artists(tmp_path / file, notes.append) == NAMES
    assert len(notes) == bool(told) and all(told in note for note in notes)


def test_windows_1252_is_told_in_lists_too(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("Ada Example\nZoë Sample\n".encode("cp1252"))
    notes: list[str] = []
    assert read_artists(tmp_path / "l.txt", notes.append) == ["Ada Example", "Zoë Sample"]
    assert "cp1252" in notes[0] and "'Zoë Sample'" in notes[0]


def test_marks_of_a_list_are_names_as_written_and_told(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("# the artists\n1. Ada Example\n- Bo Sample\nCy, the 3rd\n")
    notes: list[str] = []
    assert len(read_artists(tmp_path / "l.txt", notes.append)) == 4
    assert "as written" in notes[0] and "'1. Ada Example' (line 2)" in notes[0] and "Cy" not in notes[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Ada Example;UK\nBo Sample;FR\n",
             r"line 1: 2 cells separated by semicolons, but no column is named `artist`"),
        (b"Maker,born\nAda Example,1\n", r"`Maker`, `born`\. Did you mean `Maker`\? Rename it to `artist`"),
        (b"artist,artist\nAda,Bo\n", r"several columns are named `artist`"),
        (b"artist\nAda Example\nAda Example\n", r"line 3: 'Ada Example' is already listed in line 2"),
        (b"PK\x03\x04", r"workbooks"),
        (b"name\n", r"lists no artists"),
    ],
)  # fmt: skip
def test_a_refused_list_names_separator_and_columns(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(ImindexError, match=said):
        read_artists(tmp_path / "l.csv")


def test_origins_come_from_the_same_table(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("sep=;\r\nName;Origin\r\nAda\u00a0Example;polish\r\nBo;\r\n".encode())
    assert read_origins(tmp_path / "l.csv") == {"Ada Example": "polish"}


def test_generate_reads_such_lists_and_says_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"Artist Name\r\nAda Example\r\nADA EXAMPLE\r\n")
    words = (
        "generate",
        "--model",
        "x",
        "--artists",
        tmp_path / "l.csv",
        "--out",
        tmp_path / "o",
        "--dry-run",
        "--json",
    )
    result = run(*words)
    arm = json.loads(result.stdout)["arms"]["artist"]
    assert (arm["names"], arm["first_prompts"]) == (
        2,
        ["Artwork from Ada Example", "Artwork from ADA EXAMPLE"],
    )
    assert "'Artist Name', is a header and not a name" in result.stderr
    assert '"Ada Example" and "ADA EXAMPLE"' in result.stderr


@pytest.mark.parametrize("list_of", [lambda _: 'tested = ["Ada  Example", "Zoë"]', lambda f: f'file = "{f}"'])
def test_plans_spell_names_as_indexes_do(tmp_path: Path, list_of: Callable[[str], str]) -> None:
    from imindex.retrieval.audit.plan import read_plan

    (tmp_path / "l.csv").write_bytes("Painter;x\nAda\u00a0 Example;1\nZoe\u0308;2\n".encode())
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'[artists]\n{list_of("l.csv")}\norigins = {{ "Ada\u200b Example" = "polish" }}\n[[releases]]\nname = "r"\n'
        'model = "m"\n[[encoders]]\nmodel = "demo"\n',
        encoding="utf-8",
    )
    notes: list[str] = []
    read = read_plan(plan, notes.append)
    assert read.tested == ("Ada Example", "Zoë") and read.origins == {"Ada Example": "polish"}
    assert any("column `painter`" in note for note in notes) == ("l.csv" in list_of("l.csv"))


@pytest.mark.parametrize(
    "rows",
    [
        '1.png,"Ada,works\n2.png,Bo,works\n3.png,Cy,works\n',
        '1.png,Ada,works,"x\n2.png,Bo,works,y\n3.png,Cy,works,"z\n',
        '1.png,"Ada" Example,works\n2.png,Bo,works\n',
    ],
)
def test_a_quote_that_swallows_rows_is_an_error(rows: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,artist,kind,caption\n{rows}", encoding="utf-8")
    with pytest.raises(ImindexError, match=r"not valid CSV: .*Check its quotes"):
        list(find([tmp_path / "m.csv"]))


@pytest.mark.parametrize("seed", ["1,000", "12.000", "1.00", "1,5", "0x1", "-1"])
def test_a_seed_that_may_be_another_number_is_refused(seed: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path;artist;kind;seed\na.png;Ada;works;{seed}\n", encoding="utf-8")
    with pytest.raises(ImindexError, match="is not an integer"):
        list(find([tmp_path / "m.csv"]))


@pytest.mark.parametrize(
    ("seed", "value"), [("12.0", 12), ("12,0", 12), ("9223372036854775807", 2**63 - 1), (" 7 ", 7)]
)
def test_a_seed_as_pandas_writes_it(seed: str, value: int, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path;artist;kind;seed\na.png;Ada;works;{seed}\n", encoding="utf-8")
    assert next(find([tmp_path / "m.csv"])).seed == value
