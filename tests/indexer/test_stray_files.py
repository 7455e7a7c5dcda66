"""Files of a source folder that are not pictures: passed over, counted and told; nothing goes without a word."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imindex import main
from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources.find import find
from imindex.indexer.sources.stray import PassedOver, is_picture, kind_of_file
from imindex.indexer.store.index import Index

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
"""The first block of a Thumbs.db."""
APPLE_DOUBLE = bytes.fromhex("0005160700020000") + bytes(74)
Put = Callable[..., None]


def encoded(number: int, form: str = "PNG", **options: object) -> bytes:
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Return a function that writes a file below the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, data: bytes = b"") -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return write


def two_artists(put: Put, root: str = "works") -> None:
    for artist, start in (("Ada Example", 0), ("Bo Sample", 10)):
        for number in range(3):
            put(f"{root}/{artist}/{number}.png", encoded(start + number))


def sources(root: str, **options: str) -> tuple[list[str], list[str], PassedOver]:
    notes: list[str] = []
    passed = PassedOver()
    items = [os.path.relpath(item.path) for item in find([root], note=notes.append, passed=passed, **options)]
    return items, notes, passed


STRAY = {
    "Thumbs.db": OLE,
    "desktop.ini": b"[.ShellClassInfo]\r\n",
    ".DS_Store": b"\0\0\0\1Bud1",
    "._1.jpg": APPLE_DOUBLE,
    "README.md": b"# Works\n",
    "metadata.csv": b"file,artist\n",
    "1.xmp": b"<x:xmpmeta/>",
    "1.txt": b"a picture of",
    "1.json": b"{}",
    "old.h5": b"\x89HDF\r\n\x1a\n",
    "list": b"no suffix\n",
    "scan.pdf": b"%PDF-1.7\n",
}


@pytest.mark.parametrize("where", ["works", "works/Ada Example", "works/Ada Example/deep"])
@pytest.mark.parametrize("name", STRAY)
def test_a_file_that_is_not_a_picture_is_passed_over_and_told(put: Put, name: str, where: str) -> None:
    two_artists(put)
    put(f"{where}/{name}", STRAY[name])
    items, notes, passed = sources("works")
    assert len(items) == 6 and name not in {Path(item).name for item in items}
    assert notes == [f"Passed over 1 file that is not a picture: {name}."]
    assert len(passed) == 1


def test_many_are_counted_by_kind_in_one_line(put: Put) -> None:
    two_artists(put)
    for number in range(3):
        put(f"works/Ada Example/{number}.JSON", b"{}")
        put(f"works/Bo Sample/{number}.txt", b"words")
    put("works/Thumbs.db", OLE)
    _, notes, passed = sources("works")
    assert notes == ["Passed over 7 files that are not pictures: .json (3), .txt (3), Thumbs.db."]
    assert passed.counts() == ((".json", 3), (".txt", 3), ("Thumbs.db", 1))


def test_every_file_is_a_row_a_reject_or_counted(put: Put) -> None:
    two_artists(put)
    put("works/Ada Example/broken.jpg", b"not a picture")
    put("works/Ada Example/drawing.svg", b"<svg/>")
    put("works/Bo Sample/jpeg.dat", encoded(50, "JPEG"))
    for name, data in STRAY.items():
        put(f"works/Bo Sample/{name}", data)
    n_files = sum(len(files) for _, _, files in os.walk("works"))
    report = build_from_sources(["works"], "i.h5", model="demo")
    assert (report.rows, report.rejected) == (7, 2)
    assert report.rows + report.rejected + sum(n for _, n in report.passed_over) == n_files


def test_the_index_in_its_own_source_folder_is_not_counted_and_another_is(put: Put) -> None:
    two_artists(put)
    for count in (0, 0, 1):
        if count:
            put("works/other.h5", b"")
        report = build_from_sources(["works"], "works/own.h5", model="demo")
        assert report.passed_over == ((".h5", 1),) * count
        assert report.rejected == 0


def test_json_lists_the_counts(put: Put) -> None:
    two_artists(put)
    put("works/Thumbs.db", OLE)
    Path("works/Cy Blank").mkdir()
    result = CliRunner().invoke(main, ["build", "works", "-i", "i.h5", "--model", "demo", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["passed_over"] == [["Thumbs.db", 1]]
    assert report["empty_folders"] == ["works/Cy Blank"]
    assert "Passed over 1 file that is not a picture: Thumbs.db." in result.stderr
    assert "1 folder holds no pictures: works/Cy Blank." in result.stderr


def test_folders_of_artists_without_pictures_are_told(put: Put) -> None:
    two_artists(put)
    put("works/Cy Blank/notes.txt", b"none yet")
    Path("works/Di Empty/deep/deeper").mkdir(parents=True)
    _, notes, passed = sources("works")
    assert passed.empty == ["works/Cy Blank", "works/Di Empty"]
    assert notes[-1] == "2 folders hold no pictures: works/Cy Blank, works/Di Empty."


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.dat", "JPEG"), ("a", "PNG"), ("a.jpg_large", "JPEG"), ("a.webp.bak", "WEBP"), ("a.tmp", "GIF"),
     ("a.x", "BMP"), ("a.image", "TIFF"), ("a.orig", "AVIF"), ("a.1", "PPM"), ("a.bin", "JPEG2000"), ("a.txt", "PNG")],
)  # fmt: skip
def test_a_picture_with_another_suffix_is_known_by_its_bytes(put: Put, name: str, form: str) -> None:
    try:
        data = encoded(1, form)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {form}")
    put(f"works/Ada/{name}", data)
    put("works/Ada/b.png", encoded(2))
    report = build_from_sources(["works"], "i.h5", model="demo")
    assert (report.rows, report.rejected, report.passed_over) == (2, 0, ())


@pytest.mark.parametrize(
    "data",
    [b"", b"BM is a text", b"P5 trailer of a text", b"GIF of the day", b"RIFF....WAVE", b"II*", b"\0\0\1\0"],
)
def test_text_that_begins_like_a_picture_is_none(put: Put, data: bytes) -> None:
    put("a.note", data)
    assert is_picture("a.note") == (data.startswith(b"P5 ") and data[3:4].isdigit())
    assert kind_of_file("a.note") == ".note"


def test_what_looks_like_a_picture_by_its_suffix_stays_a_reject(put: Put) -> None:
    two_artists(put)
    for name in ("a.JPG", "b.heic", "c.cr2", "d.svg", "e.Png"):
        put(f"works/Ada Example/{name}", b"x" * 20)
    report = build_from_sources(["works"], "i.h5", model="demo")
    assert (report.rows, report.rejected, report.passed_over) == (6, 5, ())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_and_a_broken_link_stay_rejects(put: Put) -> None:
    two_artists(put)
    os.mkfifo("works/Ada Example/pipe")
    Path("works/Ada Example/gone").symlink_to("nowhere")
    report = build_from_sources(["works"], "i.h5", model="demo")
    assert (report.rejected, report.passed_over) == (2, ())


@pytest.mark.parametrize("folder", ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".thumbs"])
def test_thumbnails_and_deleted_pictures_are_no_rows(put: Put, folder: str) -> None:
    two_artists(put)
    put(f"works/{folder}/1.jpg", encoded(90, "JPEG"))
    put(f"works/Ada Example/{folder}/1.jpg", encoded(91, "JPEG"))
    items, notes, _ = sources("works")
    assert len(items) == 6 and len(notes) == 1


def test_loose_pictures_are_refused_where_the_artist_is_unknown(put: Put) -> None:
    two_artists(put)
    put("works/Thumbs.db", OLE)
    put("works/loose.jpg", encoded(60, "JPEG"))
    with pytest.raises(ImindexError, match=r"loose\.jpg is directly in works.*artist is unknown.*--artist"):
        list(find(["works"]))


def test_loose_files_of_imitations_and_of_the_tree(put: Put) -> None:
    two_artists(put, "art/works")
    two_artists(put, "art/imitations/r1")
    put("art/imitations/Thumbs.db", OLE)
    put("art/imitations/r1/release.json", b"{}")
    put("art/control/desktop.ini", b"[x]")
    put("art/control/c.png", encoded(70))
    put("art/cover.jpg", encoded(71, "JPEG"))
    put("art/README", b"text")
    items, notes, passed = sources("art")
    assert len(items) == 13
    assert "art: cover.jpg is a picture beside the folders works, imitations, control: skipped." in notes[0]
    assert notes[1].startswith("Passed over 4 files that are not pictures: ")
    assert len(passed) == 5


def test_a_loose_picture_beside_one_folder_is_told_in_the_singular(put: Put) -> None:
    two_artists(put, "art/works")
    put("art/a.heic", encoded(72, "JPEG"))
    _, notes, _ = sources("art")
    assert notes == ["art: a.heic is a picture beside the folder works: skipped. Move it into this folder."]
    put("art/b.jpg", encoded(73, "JPEG"))
    put("art/control/c.png", encoded(74))
    _, notes, _ = sources("art")
    assert notes == [
        "art: a.heic and 1 more are pictures beside the folders works, control: skipped. Move them into one of these "
        "folders."
    ]


def img2dataset(put: Put, root: str, layout: str = "files") -> None:
    """Write what img2dataset leaves: numbered folders with sidecars, and statistics and lists beside them."""
    for shard in range(2):
        put(f"{root}/{shard:05}_stats.json", b'{"count": 2}')
        put(f"{root}/{shard:05}.parquet", b"PAR1")
        if layout == "webdataset":
            put(f"{root}/{shard:05}.tar", b"tar")
            continue
        for number in range(2):
            stem = f"{root}/{shard:05}/{shard:05}{number:04}"
            put(f"{stem}.jpg", encoded(10 * shard + number, "JPEG"))
            put(f"{stem}.json", b'{"url": "x"}')
            put(f"{stem}.txt", b"caption")


def test_the_output_of_img2dataset_is_built_with_an_artist(put: Put) -> None:
    img2dataset(put, "laion")
    report = build_from_sources(["laion"], "i.h5", kind="works", artist="Ada Example", model="demo")
    assert (report.rows, report.rejected) == (4, 0)
    assert report.passed_over == ()  # the sidecars are read
    with Index("i.h5") as index:
        assert index.column("caption").tolist() == ["caption"] * 4


@pytest.mark.parametrize("kind", ["works", "imitations", "background"])
def test_numbered_parts_are_no_artists(put: Put, kind: str) -> None:
    img2dataset(put, "laion")
    for source in ("laion", "laion/00000"):
        with pytest.raises(
            ImindexError, match=r"img2dataset.*not artists.*--artist NAME.*--artist-from.*manifest"
        ):
            list(find([source], kind=kind, collection="r1"))


def test_img2dataset_as_control_and_inside_an_artist(put: Put) -> None:
    img2dataset(put, "laion")
    items, _, _ = sources("laion", kind="control")
    assert len(items) == 4
    img2dataset(put, "works/Ada Example")
    items, _, _ = sources("works")
    assert len(items) == 4


def test_archives_are_named_where_there_are_no_pictures(put: Put) -> None:
    img2dataset(put, "laion", "webdataset")
    with pytest.raises(ImindexError, match=r"No pictures in laion.*00000\.tar is not a tar file"):
        build_from_sources(["laion"], "i.h5", kind="works", model="demo")
    put("packed/a.zip", b"PK")
    with pytest.raises(ImindexError, match=r"No pictures in packed, only files.*a\.zip.*Unpack the archives"):
        build_from_sources(["packed"], "i.h5", kind="works", model="demo")
    assert not Path("i.h5").exists()
