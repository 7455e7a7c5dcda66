"""Tar shards as sources: what is read of them, in which order, and what is told."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.build.build import BuildReport
from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.origin import origin_of
from imindex.indexer.integrity.verify_pictures import check_pictures, own_encoder, replay
from imindex.indexer.sources import tar
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.read import read_bytes, read_location
from imindex.indexer.sources.stray import PassedOver
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.places import child_environment
from tests.support.shards import EXIF, gnu_tar, img2dataset, picture, write_tar

ARTISTS = ("Ada Example", "Bo Sample")


def by_turns(number: int) -> dict[str, str]:
    return {"artist": ARTISTS[number % 2]}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(*sources: str, **options: Any) -> tuple[list[Item], list[str], PassedOver]:
    notes: list[str] = []
    passed = PassedOver()
    items = list(find(sources, note=notes.append, passed=passed, **options))
    return items, notes, passed


def built(*sources: str, index: str = "i.h5", **options: Any) -> BuildReport:
    return build_from_sources(sources, index, model="demo", device="cpu", **options)


def aged(*paths: str) -> None:
    """Make files old enough for their stamps to be trusted."""
    for path in paths:
        os.utime(path, (1_000_000_000, 1_000_000_000))


def rows(index: str = "i.h5") -> dict[str, list[Any]]:
    with Index(index) as opened:
        columns = {name: list(values) for name, values in opened.items().items()}
        columns["sha256"] = [bytes(digest) for digest in columns["sha256"]]
        columns["artist"] = [opened.artists[number] for number in columns["artist"]]
        return columns


# What a shard says


def test_a_shard_of_img2dataset_says_what_its_samples_and_its_list_say() -> None:
    pictures = img2dataset(Path("laion"), columns=by_turns)
    report = built("laion", kind="works")
    table = rows()
    assert report.rows == len(pictures) == 8 and report.passed_over == ()
    assert table["path"][:2] == ["laion/00000.tar::000000000.jpg", "laion/00000.tar::000000001.jpg"]
    assert table["sha256"] == [hashlib.sha256(data).digest() for data in pictures]
    assert table["artist"] == [ARTISTS[number % 2] for number in range(8)]
    assert table["caption"][5] == "picture 000010001"
    assert json.loads(table["origin"][5]) == {
        "url": "https://example.org/000010001.jpg?id=5", "sha256": "ab" * 32, "width": 640, "height": 480, "exif": EXIF,
    }  # fmt: skip
    assert set(table["width"]) == {32}
    assert any("8 pictures" in note and "8 are stored with other bytes" in note for note in report.notes)
    assert b"s3cret" not in Path("i.h5").read_bytes() and b"me:secret" not in Path("i.h5").read_bytes()


def test_pictures_that_were_not_downloaded_are_counted_with_their_reasons() -> None:
    img2dataset(Path("laion"), columns=by_turns)
    told = "By the lists beside the shards, 2 pictures were not downloaded: HTTP Error 404: Not Found (2)."
    _, notes, _ = listed("laion", kind="works")
    assert notes == ["Found 8 pictures in 2 shards.", told]
    for path in Path("laion").glob("*.parquet"):
        path.unlink()
    assert listed("laion", kind="works")[1][1] == told  # by the statistics


@pytest.mark.parametrize("in_json", [True, False])
def test_an_artist_is_a_key_of_the_json_or_a_column_of_the_list(in_json: bool) -> None:
    img2dataset(Path("laion"), columns=by_turns, in_json=in_json)
    items, _, _ = listed("laion/00000.tar", kind="works")
    assert [item.artist for item in items] == [*ARTISTS, *ARTISTS]


def test_the_nearest_word_counts_and_options_fill_in_the_rest() -> None:
    own = json.dumps(
        {"Artist": "Ada Example", "seed": 7, "prompt": "a boat", "kind": "imitations", "collection": "r1"}
    )
    write_tar(
        Path("a.tar"),
        [
            ("1.jpg", picture(1)),
            ("1.json", own.encode()),
            ("1.txt", b" by the sea\n"),
            ("2.PNG", picture(2, "PNG")),
        ],
    )
    items, _, _ = listed("a.tar", kind="works", artist="Bo Sample")
    assert [
        (item.artist, item.kind, item.collection, item.seed, item.prompt, item.caption) for item in items
    ] == [
        ("Ada Example", "imitations", "r1", 7, "a boat", "by the sea"),
        ("Bo Sample", "works", "works", -1, "", ""),
    ]


def test_folders_inside_a_shard_and_around_it_tell_kind_release_and_artist() -> None:
    inside = [
        "works/Ada/1.jpg", "./background/Bo/deep/2.jpg", "audit/imitations/r1/Ada/3.jpg", "control/bare/4.jpg",
    ]  # fmt: skip
    write_tar(Path("all.tar"), [(name, picture(number)) for number, name in enumerate(inside)])
    items, _, _ = listed("all.tar")
    assert sorted((item.kind, item.collection, item.artist) for item in items) == [
        ("background", "background", "Bo"), ("control", "bare", ""), ("imitations", "r1", "Ada"),
        ("works", "works", "Ada"),
    ]  # fmt: skip
    flat = [("1.jpg", picture(1))]
    write_tar(Path("audit/works/Ada/0.tar"), flat)
    write_tar(Path("audit/works/1.tar"), [("Bo/2.jpg", picture(2))])
    write_tar(Path("audit/imitations/r1/Ada/0.tar"), flat)
    write_tar(Path("audit/imitations/r1/0.tar"), [("Bo/1.jpg", picture(3))])
    write_tar(Path("audit/imitations/0.tar"), [("r2/Bo/1.jpg", picture(3))])
    write_tar(Path("audit/control/0.tar"), flat)
    Path("audit/works/Ada/x.jpg").write_bytes(picture(9))
    items, _, _ = listed("audit")
    assert [(item.path, item.kind, item.collection, item.artist) for item in items] == [
        ("audit/works/1.tar::Bo/2.jpg", "works", "works", "Bo"),
        ("audit/works/Ada/0.tar::1.jpg", "works", "works", "Ada"),
        ("audit/works/Ada/x.jpg", "works", "works", "Ada"),
        ("audit/imitations/0.tar::r2/Bo/1.jpg", "imitations", "r2", "Bo"),
        ("audit/imitations/r1/0.tar::Bo/1.jpg", "imitations", "r1", "Bo"),
        ("audit/imitations/r1/Ada/0.tar::1.jpg", "imitations", "r1", "Ada"),
        ("audit/control/0.tar::1.jpg", "control", "control", ""),
    ]


def test_artist_from_is_matched_with_the_name_of_the_member() -> None:
    write_tar(
        Path("s/0.tar"), [("Ada_1.jpg", picture(1)), ("x/Bo_2.jpg", picture(2)), ("none.jpg", picture(3))]
    )
    items, notes, passed = listed("s", kind="works", artist_from="re:(?P<artist>[A-Z][a-z]+)_")
    assert [item.artist for item in items] == ["Ada", "Bo"]
    assert dict(passed.counts()) == {"(picture without an artist in its path)": 1}
    assert any("do not match --artist-from" in note and "s/0.tar::none.jpg" in note for note in notes)
    assert listed("s/0.tar", kind="works", artist_from="re:(?P<artist>[A-Z][a-z]+)_")[0] == items


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "works"},
            r"0\.tar::1\.jpg: no artist\. Pass --artist NAME.*--artist-from.*\.json.*Parquet.*manifest",
        ),
        ({"artist": "Ada"}, r"0\.tar::1\.jpg: no kind\. Pass --kind"),
        ({"kind": "imitations", "artist": "Ada"}, r"no release for these imitations.*--collection"),
    ],
)
def test_what_nothing_tells_is_asked_for(options: dict[str, str], message: str) -> None:
    write_tar(Path("0.tar"), [("1.jpg", picture(1))])
    with pytest.raises(ImindexError, match=message):
        listed("0.tar", **options)


def test_files_of_img2dataset_are_samples_too() -> None:
    pictures = img2dataset(Path("files"), columns=by_turns, files=True)
    report = built("files", kind="works")
    table = rows()
    assert table["sha256"] == [hashlib.sha256(data).digest() for data in pictures]
    assert table["artist"] == [ARTISTS[number % 2] for number in range(8)] and report.passed_over == ()
    assert table["path"][4] == "files/00001/000010000.jpg" and table["caption"][4] == "picture 000010000"
    assert json.loads(table["origin"][4])["url"] == "https://example.org/000010000.jpg?id=4"
    assert [item.path for item in listed("files/00001", kind="works")[0]] == table["path"][4:]


# Order and identity


def test_the_order_of_the_download_changes_nothing() -> None:
    roots = set()
    for turn, order in enumerate((lambda n: n, lambda n: -n, lambda n: (3 * n) % 5)):
        shutil.rmtree("d", ignore_errors=True)
        img2dataset(Path("d"), columns=by_turns, order=order)
        with tarfile.open("d/00000.tar") as file:
            names = file.getnames()
        assert (names == sorted(names)) == (turn == 0)
        roots.add(built("d", kind="works", index=f"{turn}.h5").root_digest)
    assert len(roots) == 1


def test_a_picture_has_the_same_row_from_a_folder_a_manifest_and_shards_of_any_size() -> None:
    """The vectors and all columns but the path are equal; the root digest covers the path, so it differs.

    A manifest that lists the members gives the root digest of the shards.
    """
    names = [f"{artist}/{number}.png" for artist in ARTISTS for number in range(6)]
    for number, name in enumerate(names):
        path = Path("works", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, "PNG"))
    roots = {"folder": built("works", index="folder.h5").root_digest}
    for size in (12, 5, 1):
        for start in range(0, 12, size):
            members = [(name, Path("works", name).read_bytes()) for name in names[start : start + size]]
            write_tar(Path(f"by-{size}/{start:05}.tar"), members)
        roots[f"by-{size}"] = built(f"by-{size}", kind="works", index=f"by-{size}.h5").root_digest
    lines = [
        "path,artist,kind",
        *(f"by-5/{n // 5 * 5:05}.tar::{name},{name.split('/')[0]},works" for n, name in enumerate(names)),
    ]
    Path("members.csv").write_text("\n".join(lines))
    Path("files.csv").write_text(
        "\n".join(["path,artist,kind", *(f"works/{name},{name.split('/')[0]},works" for name in names)])
    )
    assert built("members.csv", index="members.h5").root_digest == roots["by-5"]
    assert built("files.csv", index="files.h5").root_digest == roots["folder"]
    assert len(set(roots.values())) == 4
    with Index("folder.h5") as index:
        vectors, expected = np.array(index.vectors), rows("folder.h5")
    for size in (12, 5, 1):
        with Index(f"by-{size}.h5") as index:
            assert np.array_equal(index.vectors, vectors)
        table = rows(f"by-{size}.h5")
        assert {name for name in table if table[name] != expected[name]} == {"path"}
    both = built("works", *(f"by-{size}" for size in (12, 5, 1)), kind="works", index="both.h5")
    assert (both.rows, both.encoded) == (48, 12)


# Patterns and mixing


def test_patterns_as_users_of_webdataset_write_them() -> None:
    for number in range(3):
        write_tar(Path(f"s/{number:05}.tar"), [(f"{number}.jpg", picture(number))])
    write_tar(Path("s/{x}.tar"), [("x.jpg", picture(9))])
    expected = [f"s/{number:05}.tar::{number}.jpg" for number in range(3)]
    for pattern in ("s/{00000..00002}.tar", "s/0*.tar", "s/{00000,00001,00002}.tar", "s/0000[0-2].tar"):
        assert [item.path for item in listed(pattern, kind="works", artist="Ada")[0]] == expected
    assert listed("s/{x}.tar", kind="works", artist="Ada")[0][0].path == "s/{x}.tar::x.jpg"  # it exists
    with pytest.raises(ImindexError, match=r"s/00003\.tar does not exist"):
        listed("s/{00001..00003}.tar", kind="works", artist="Ada")
    with pytest.raises(ImindexError, match=r"No file matches s/9\*\.tar"):
        listed("s/9*.tar", kind="works")
    with pytest.raises(ImindexError, match=r"means more than 1,000,000 shards"):
        listed("s/{0..9999}{0..9999}.tar", kind="works")
    with pytest.raises(ImindexError, match=r"more than 1,000,000"):
        listed("s/{0..99999999999999999999}.tar", kind="works")


def test_folders_manifests_and_shards_mix_in_one_build_and_in_one_folder() -> None:
    Path("works/Ada").mkdir(parents=True)
    Path("works/Ada/1.jpg").write_bytes(picture(1))
    write_tar(Path("works/Ada/2.tar"), [("2.jpg", picture(2))])
    write_tar(Path("more/0.tar"), [("Bo/3.jpg", picture(3)), ("Bo/4.jpg", picture(4))])
    Path("more/manifest.csv").write_text("path,artist,kind\n0.tar::Bo/3.jpg,Cy,works\n")
    items, _, _ = listed("works", "more")
    assert [(item.path, item.artist) for item in items] == [
        ("works/Ada/1.jpg", "Ada"), ("works/Ada/2.tar::2.jpg", "Ada"), ("more/0.tar::Bo/3.jpg", "Cy"),
    ]  # fmt: skip
    Path("list.csv").write_text("path,artist,kind\nmore/0.tar::Bo/9.jpg,Cy,works\n../x.tar::1.jpg,Cy,works\n")
    with pytest.raises(ImindexError, match=r"list\.csv, line 3: .* is outside the folder of the manifest"):
        listed("list.csv")
    Path("list.csv").write_text(
        "path,artist,kind\nmore/0.tar::Bo/4.jpg,Cy,works\nmore/0.tar::Bo/9.jpg,Cy,works\n"
    )
    report = built("works", "list.csv", "more/0.tar", kind="works")
    assert (report.rows, report.rejected) == (5, 1)
    assert report.reasons == (("the shard has no such member", 1),)


# Told


def test_everything_odd_in_a_shard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [
        ("a.jpg", picture(1)), ("a.mask.png", picture(2, "PNG")), ("b.json", b"{}"), ("c.cls", b"7"),
        ("d.jpg", b"no picture"), ("e.jpg", picture(3)), ("e.jpg", picture(4)), ("f.jpg", picture(5)),
        ("f.json", b"[1]"), ("__MACOSX/._a.jpg", b"\0\5\x16\7"), ("g", picture(6)), ("h.jpg", picture(7)),
        ("h.json", b"{" * 10_000),
    ]  # fmt: skip
    write_tar(Path("0.tar"), members)
    items, notes, passed = listed("0.tar", kind="works", artist="Ada")
    names = [item.path.rpartition(":")[2] for item in items]
    assert names == ["a.jpg", "a.mask.png", "d.jpg", "e.jpg", "f.jpg", "g", "h.jpg"]
    assert dict(passed.counts()) == {".cls": 1, "__MACOSX": 1}
    assert notes == [
        "Found 7 pictures in 1 shard.",
        "Names that occur several times in a shard, of which the last member is used: 1, such as 0.tar::e.jpg.",
        "Samples with several pictures under one key, all of which are used: 1, such as 0.tar::a.jpg and "
        "0.tar::a.mask.png.",
        "Samples without a picture: 3, such as 0.tar::c.cls.",
        "Sidecars that are not used, because they are no JSON object or are larger than 1 MiB: 2, such as "
        "0.tar::f.json.",
        "Passed over 2 files that are not pictures: c.cls, ._a.jpg.",
    ]
    assert read_bytes("0.tar::e.jpg") == picture(4)
    report = built("0.tar", kind="works", artist="Ada")
    assert (report.rows, report.rejected) == (6, 1)


def test_rows_of_a_list_without_a_picture_and_keys_that_are_listed_twice_are_told() -> None:
    import pyarrow as pa
    import pyarrow.parquet

    write_tar(Path("00000.tar"), [("1.jpg", picture(1))])
    keys = [
        {"key": key, "status": "success", "artist": artist}
        for key, artist in (("1", "Ada"), ("1", "Bo"), ("2", "Cy"))
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(keys), "00000.parquet")
    items, notes, _ = listed("00000.tar", kind="works")
    assert [item.artist for item in items] == ["Ada"]
    assert any(
        note.startswith("Keys that occur several times") and "1 of 00000.parquet" in note for note in notes
    )
    assert any(
        note.startswith("Rows of lists beside shards that say success") and "2 of 00000" in note
        for note in notes
    )
    Path("00000.parquet").write_bytes(b"PAR1 and no more")
    _, notes, _ = listed("00000.tar", kind="works", artist="Ada")
    assert any(note.startswith("Warning: 00000.parquet is not used:") for note in notes)


def test_a_cut_shard_is_told_and_used_as_far_as_it_is_whole() -> None:
    write_tar(Path("s/0.tar"), [(f"{number}.jpg", picture(number)) for number in range(4)])
    write_tar(Path("s/1.tar"), [("z.jpg", picture(9))])
    whole = Path("s/0.tar").read_bytes()
    with tarfile.open("s/0.tar") as file:
        third = file.getmember("2.jpg")
    built("s", kind="works", artist="Ada")
    Path("s/0.tar").write_bytes(whole[: third.offset_data + 100])
    notes: list[str] = []
    report = built("s", kind="works", artist="Ada", index="cut.h5", note=notes.append)
    assert (report.rows, report.rejected) == (3, 1)
    assert report.reasons[0][0] == f"its shard is cut: 100 of {third.size:,} bytes are there"
    end = f"{third.offset_data + 100:,}"
    assert (
        f"Warning: s/0.tar is cut in the member 2.jpg, at byte {end}. 3 members before that can be read."
        in notes
    )
    with pytest.raises(ImindexError, match=r"s/0\.tar could not be read to its end.*drop --prune"):
        built("s", kind="works", artist="Ada", prune=True)
    Path("s/0.tar").write_bytes(whole)
    assert built("s", kind="works", artist="Ada", prune=True).unchanged == 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"0\.tar is empty: 0 bytes"),
        (b"tar", r"0\.tar is not a tar file"),
        (
            b"\x1f\x8b\x08" + bytes(600),
            r"0\.tar is compressed by gzip.*Decompress it: gzip -dc .*0\.tar > 0-plain\.tar",
        ),
        (b"\x28\xb5\x2f\xfd" + bytes(600), r"compressed by zstd.*zstd -dc"),
        (bytes(10240), r"0\.tar holds no pictures that can be used"),
    ],
)
def test_a_shard_that_is_none_is_told_in_a_folder_and_refused_by_name(data: bytes, message: str) -> None:
    Path("s").mkdir()
    Path("s/0.tar").write_bytes(data)
    write_tar(Path("s/1.tar"), [("1.jpg", picture(1))])
    items, notes, _ = listed("s", kind="works", artist="Ada")
    assert len(items) == 1
    assert any(note.startswith("Warning: s/0.tar") and re.search(message, note) for note in notes), notes
    if b"tar" in data or data[:1] in (b"\x1f", b"\x28"):
        with pytest.raises(ImindexError, match=message):
            listed("s/0.tar", kind="works", artist="Ada")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"])
def test_a_compressed_tar_file_is_refused_with_the_command_that_decompresses_it(suffix: str) -> None:
    Path(f"a{suffix}").write_bytes(b"x")
    with pytest.raises(ImindexError, match=rf"compressed tar file.*-dc a\{suffix} > a\.tar"):
        listed(f"a{suffix}", kind="works")


# Every writer of tar files


@pytest.mark.parametrize("options", ["gnu", "pax", "ustar", "v7", "oldgnu", "posix"])
def test_tar_files_of_gnu_tar_are_read_as_tarfile_reads_them(options: str) -> None:
    long = "n" * 60 if options in ("v7",) else "n" * (90 if options == "ustar" else 180)
    names = ["works/Ada Example/1.jpg", f"works/Bo/{long}.jpg", "works/Bo/with::colons 'and' \"quotes\".jpg"]
    if options in ("gnu", "pax", "oldgnu", "posix"):
        names.append(f"works/{'deep/' * 40}9.jpg")
    names.append("works/Cé/ü.jpg")
    for number, name in enumerate(names):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_bytes(picture(number))
    Path("in/works/Ada Example/empty.jpg").write_bytes(b"")
    os.link("in/works/Ada Example/1.jpg", "in/works/Ada Example/hard.jpg")
    Path("in/works/Ada Example/soft.jpg").symlink_to("1.jpg")
    if options != "v7":
        os.mkfifo("in/works/pipe.jpg")
    gnu_tar(Path("a.tar"), Path("in"), f"--format={options}", "--sort=name")
    shard, kinds = tar.shard_at("a.tar"), set() if options == "v7" else {"pipe"}
    assert shard.fault == "" and set(shard.refused) == {"hard link", "symbolic link"} | kinds
    with tarfile.open("a.tar") as file:
        regular = {member.name.removeprefix("./"): member for member in file if member.isreg()}
        assert set(shard.rows) == set(regular) and len(regular) == len(names) + 1
        for name, member in regular.items():
            content = file.extractfile(member)
            assert content is not None and content.read() == read_bytes(f"a.tar::{name}")


def test_sparse_members_are_told_with_the_remedy() -> None:
    Path("in").mkdir()
    for form in ("gnu", "pax"):
        with Path("in/sparse.jpg").open("wb") as file:
            for place in range(1, 30):  # more holes than fit into the header
                file.seek(place * 2**16)
                file.write(picture(1))
        Path("in/whole.jpg").write_bytes(picture(2))
        gnu_tar(Path(f"{form}.tar"), Path("in"), f"--format={form}", "--sparse", "--sort=name")
        shard = tar.shard_at(f"{form}.tar")
        assert (
            list(shard.rows) == ["whole.jpg"] and list(shard.refused) == ["sparse file"] and not shard.fault
        )
        _, notes, _ = listed(f"{form}.tar", kind="works", artist="Ada")
        assert any("sparse file" in note and "tar without --sparse" in note for note in notes)


def test_webdataset_writes_and_reads_the_same_samples() -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter("w.tar") as writer:
        for number in range(5):
            writer.write(
                {
                    "__key__": f"set/{number:03}",
                    "jpg": picture(number),
                    "json": {"artist": f"A{number}"},
                    "txt": f"t{number}",
                }
            )
    items, _, _ = listed("w.tar", kind="works")
    read = {sample["__key__"]: sample for sample in webdataset.WebDataset("w.tar", shardshuffle=False)}
    assert [item.path for item in items] == [f"w.tar::{key}.jpg" for key in sorted(read)]
    for item, key in zip(items, sorted(read), strict=True):
        sample = read[key]
        assert read_bytes(item.path) == sample["jpg"]
        assert (item.artist, item.caption) == (json.loads(sample["json"])["artist"], sample["txt"].decode())


# Again


def test_a_second_build_of_unchanged_shards_reads_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    img2dataset(Path("s"), columns=by_turns)
    aged("s/00000.tar", "s/00001.tar")
    first = built("s", kind="works")
    reads: list[str] = []
    real = tar.read_member

    def counted(path: str, name: str) -> Any:
        reads.append(name)
        return real(path, name)

    monkeypatch.setattr(tar, "read_member", counted)
    again = built("s", kind="works")
    assert again.unchanged == 8 and again.root_digest == first.root_digest
    assert not [name for name in reads if name.endswith(".jpg")] and reads
    with tarfile.open("s/00001.tar") as file:
        members = [(member.name, file.extractfile(member).read()) for member in file]  # type: ignore[union-attr]
    write_tar(
        Path("s/00001.tar"),
        [(name, picture(99) if name == "000010002.jpg" else data) for name, data in members],
    )
    reads.clear()
    changed = built("s", kind="works")
    assert (changed.unchanged, changed.replaced, changed.encoded) == (7, 1, 1)
    assert len([name for name in reads if name.endswith(".jpg")]) == 4  # those of the shard that changed


def test_a_moved_shard_keeps_its_rows() -> None:
    img2dataset(Path("s"), columns=by_turns)
    built("s", kind="works")
    Path("s").rename("t")
    moved = built("t", kind="works")
    assert (moved.rows, moved.encoded, moved.moved) == (8, 0, 8)
    assert rows()["path"][0] == "t/00000.tar::000000000.jpg"
    Path("u").symlink_to("t")
    linked = built("u", kind="works")
    assert (linked.rows, linked.encoded, linked.relinked) == (8, 0, 8)
    with tarfile.open("t/00000.tar") as file:  # a member that goes to another shard
        members = [(member.name, file.extractfile(member).read()) for member in file]  # type: ignore[union-attr]
    write_tar(Path("t/00000.tar"), members[3:])
    write_tar(Path("t/00002.tar"), members[:3])
    again = built("t", kind="works")
    assert (again.rows, again.encoded, again.moved) == (8, 0, 1)


def test_prune_removes_the_rows_of_members_that_are_gone() -> None:
    img2dataset(Path("s"), columns=by_turns)
    built("s", kind="works")
    Path("s/00001.tar").unlink()
    report = built("s", kind="works", prune=True)
    assert (report.rows, report.pruned) == (4, 4)


def test_a_build_over_shards_that_was_killed_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    img2dataset(Path("s"), shards=2, each=20, columns=by_turns)
    whole = built("s", kind="works", batch_size=4, index="whole.h5")
    code = (
        "import os, signal, time\n"
        "from imindex.indexer.sources import tar\n"
        "real, count = tar.read_member, [0]\n"
        "def read(path, name):\n"
        "    count[0] += name.endswith('.jpg')\n"
        "    if count[0] == 35:\n"
        "        ends = time.monotonic() + 20\n"
        "        while time.monotonic() < ends and not os.path.exists('i.h5.parts'):\n"
        "            time.sleep(0.01)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(path, name)\n"
        "tar.read_member = read\n"
        "from imindex.indexer.build.from_sources import build_from_sources\n"
        "build_from_sources(['s'], 'i.h5', kind='works', model='demo', device='cpu', batch_size=4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not Path("i.h5").exists()
    report = built("s", kind="works", batch_size=4)
    assert report.resumed + report.encoded == 40 and report.root_digest == whole.root_digest


def test_shards_are_read_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(tar, "OPEN_SHARDS", 2)
    expected = {}
    for shard in range(6):
        write_tar(
            Path(f"{shard}.tar"), [(f"{number}.jpg", picture(10 * shard + number)) for number in range(10)]
        )
        expected |= {f"{shard}.tar::{number}.jpg": picture(10 * shard + number) for number in range(10)}
    locations = [
        location for _ in range(5) for location in np.random.default_rng(0).permutation(sorted(expected))
    ]
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with ThreadPoolExecutor(16) as pool:
        for location, data in zip(locations, pool.map(read_bytes, locations), strict=True):
            assert data == expected[location]
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


# Everything else that opens pictures


@pytest.fixture
def shards_index() -> Path:
    img2dataset(Path("s"), each=12, columns=by_turns)
    built("s", kind="works")
    return Path("i.h5")


def test_verify_replay_and_doctor_read_members(shards_index: Path) -> None:
    with Index(shards_index) as index:
        assert check_pictures(index).same == 24
        again = replay(index, 5, own_encoder(index, {"device": "cpu"}), seed=0)
        assert (again.compared, again.differing) == (5, ())
        from imindex.indexer.doctor.encoder import pictures

        assert sorted(row for row in pictures(index).rows if row >= 0) == list(range(24))
    with tarfile.open("s/00000.tar") as file:
        member = file.getmember("000000003.jpg")
    with Path("s/00000.tar").open("r+b") as raw:
        raw.seek(member.offset_data + 50)
        raw.write(b"changed")
    result = run("verify", "-i", shards_index, "--pictures", code=3)
    assert "23 are unchanged, 1 changed" in result.output and "s/00000.tar::000000003.jpg" in result.output


def test_verify_opens_shards_only_where_it_may(shards_index: Path) -> None:
    Path("elsewhere").mkdir()
    shutil.move("s", "elsewhere/s")
    with Index(shards_index) as index:
        assert check_pictures(index).missing == 24
        assert check_pictures(index, roots=[Path("elsewhere")]).same == 24
    Path("own").mkdir()
    shutil.move("i.h5", "own/i.h5")
    build_from_sources(["elsewhere/s"], "own/i.h5", kind="works", roots={"art": "elsewhere"}, device="cpu")
    with Index("own/i.h5") as index:
        assert index.column("path")[0] == "//art/s/00000.tar::000000000.jpg"
        assert check_pictures(index).outside == 24
        assert check_pictures(index, roots=[Path("elsewhere")]).same == 24
    with Index("own/i.h5", {"art": "elsewhere"}) as index:
        assert index.places().full(index.column("path")[0]) == str(
            Path("elsewhere/s/00000.tar::000000000.jpg").absolute()
        )


def test_query_info_export_and_remove_know_members(shards_index: Path) -> None:
    result = run("query", "s/00000.tar::000000003.jpg", "-i", shards_index, "-k", 1, "--json")
    nearest = json.loads(result.stdout)
    assert "s/00000.tar::000000003.jpg" in json.dumps(nearest)
    assert (
        "the same file as the query"
        in run("query", "s/00000.tar::000000003.jpg", "-i", shards_index, "-k", 1).output
    )
    assert (
        "the shard has no such member"
        in run("query", "s/00000.tar::9.jpg", "-i", shards_index, code=1).output
    )
    said = run("query", "s/00000.tar", "-i", shards_index, code=1).stderr
    assert "name one of its members, s/00000.tar::MEMBER" in " ".join(said.split())
    assert "24" in run("info", "-i", shards_index).output
    run("export", "out", "-i", shards_index)
    import pyarrow.parquet

    table = pyarrow.parquet.read_table("out/items.parquet").to_pydict()
    assert table["path"][3] == "s/00000.tar::000000003.jpg" and json.loads(table["origin"][3])["width"] == 640
    run("remove", "-i", shards_index, "--artist", "Bo Sample", "--yes")
    assert set(rows()["artist"]) == {"Ada Example"} and rows()["origin"][0]


def test_thumbnails_show_members_whose_bytes_are_recorded(shards_index: Path) -> None:
    from imindex.retrieval.report.thumbnails import Thumbnails, recorded_digests

    path = "s/00000.tar::000000003.jpg"
    with Index(shards_index) as index:
        thumbnails = Thumbnails(index.places(), 1, recorded_digests(index, [path]))
        assert thumbnails.get(path) is not None
        assert Thumbnails(index.places(), 1, {path: {b"other"}}).get(path) is None


def test_a_url_is_no_source_and_no_picture_until_it_can_be_read() -> None:
    with pytest.raises(ImindexError, match=r"s3://b/00000\.tar"):
        listed("s3://b/00000.tar", kind="works")
    assert not Path("s3:").exists()


# Locations and origins


def test_the_stamp_of_a_member_changes_with_its_shard_and_its_place() -> None:
    write_tar(Path("a.tar"), [("1.jpg", picture(1)), ("2.jpg", picture(1))])
    assert read_location("a.tar::1.jpg")[1] == (0, 0, 0)  # it has just been written
    aged("a.tar")
    first, second = read_location("a.tar::1.jpg")[1], read_location("a.tar::2.jpg")[1]
    assert first[:2] == second[:2] == (len(picture(1)), 10**18) and first[2] != second[2]
    assert tar.member_stamp("a.tar", "1.jpg") == first
    shutil.copy2("a.tar", "b.tar")
    assert read_location("b.tar::1.jpg")[1][2] != first[2]


@pytest.mark.parametrize(
    "secret",
    ["X-Amz-Signature=S3CRET", "sig=S3CRET", "token=S3CRET", "AWSAccessKeyId=S3CRET", "api_key=S3CRET"],
)
def test_no_secret_of_a_url_reaches_an_origin(secret: str) -> None:
    url = f"https://S3CRET:S3CRET@example.org/a.jpg?x=1&{secret}&y=2#S3CRET"
    assert json.loads(origin_of({"url": url})[0]) == {"url": "https://example.org/a.jpg?x=1&y=2"}


def test_an_origin_is_bounded_and_of_plain_types() -> None:
    assert origin_of({"url": 7, "sha256": "xyz", "original_width": float("nan"), "exif": ["a"]}) == (
        "",
        False,
    )
    text, shortened = origin_of({"url": "https://e.org/1", "exif": json.dumps({"a": "b" * 20_000})})
    assert (text, shortened) == ('{"url":"https://e.org/1"}', True)
    assert origin_of({"url": "https://e.org/" + "a" * 20_000}) == ("", True)
    assert json.loads(origin_of({"exif": '{"a":"\\u0000\\ud800"}'})[0]) == {"exif": {"a": "?"}}
