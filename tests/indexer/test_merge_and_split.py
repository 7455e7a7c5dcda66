"""`imindex merge` and `imindex split`: no row lost or changed, the same root digest, and nothing half done."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import FORMAT_VERSION, Collection, item_columns, reject_columns
from imindex.indexer.integrity.verify import verify
from imindex.indexer.maintain import split as split_module
from imindex.indexer.maintain.merge import merge
from imindex.indexer.maintain.split import split
from imindex.indexer.store.index import Index
from imindex.indexer.store.joined import Joined
from imindex.indexer.store.lineage import chain_faults, chained_digest, merged_from, part_of
from imindex.indexer.store.opening import open_index
from tests.support import example_index
from tests.support.commands import run
from tests.support.example_index import example, row
from tests.support.parts import pieces, read, rich_index, save, union
from tests.support.places import ROOT


def sound(path: Path) -> Path:
    result = verify(path)
    assert not result.faults, (path, result.faults)
    return path


def root_of(path: Path) -> str:
    with Index(path) as index:
        return index.root_digest


@pytest.mark.parametrize("seed", range(5))
def test_a_merge_is_the_rows_one_after_another(seed: int, tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", seed, n_artists=3)
    files = pieces(tmp_path / "x.h5", tmp_path, seed, 2 + seed % 4)
    report = merge(tmp_path / "part-*.h5", tmp_path / "all.h5")
    assert report.root_digest == union(files, tmp_path / "u.h5")
    assert report.files == tuple(files) and not report.n_repeated
    with Index(sound(tmp_path / "all.h5")) as merged:
        assert merged.root_digest == report.root_digest
        line = merged.log()[-1]
        assert list(merged_from(line)) == [root_of(file) for file in files]
        assert line["digest-before"] == report.chained_digest == chained_digest(merged_from(line))


@pytest.mark.parametrize("seed", range(5))
def test_a_merge_of_a_split_has_the_root_digest(seed: int, tmp_path: Path) -> None:
    whole = tmp_path / "x.h5"
    rich_index(whole, seed, n_artists=4)
    before = whole.read_bytes()
    most = int(np.random.default_rng(seed).integers(1, 80))
    folder = (None, tmp_path / "parts/deep")[seed % 2]
    report = split(whole, folder, rows=most)
    with Index(whole) as index:
        n = index.n
    assert report.keeps_order and report.rows == tuple(min(most, n - start) for start in range(0, n, most))
    assert {file.parent for file in report.files} == {folder or tmp_path}
    for file in report.files[:3]:
        sound(file)
    if len(report.files) > 1:
        merged = merge(report.files, tmp_path / "y.h5")
        assert merged.root_digest == report.root_digest == root_of(whole)
        with Index(whole) as one, Index(sound(tmp_path / "y.h5")) as other:
            assert all(np.array_equal(a, b) for a, b in zip(one.stamps(), other.stamps(), strict=True))
            assert (one.roots, one.created_at) == (other.roots, other.created_at)
    assert whole.read_bytes() == before


def by_artist(path: Path, seed: int) -> None:
    """Write an index whose rows and rejects are in order of artists."""
    rich_index(path, seed, n_artists=4)
    contents, table = read(path)
    orders = [np.argsort(t["artist"], kind="stable") for t in (contents.items, contents.rejects)]
    items, rejects = (
        {name: values[order] for name, values in t.items()}
        for t, order in zip((contents.items, contents.rejects), orders, strict=True)
    )
    path.unlink()
    save(
        path,
        replace(contents, items=items, rejects=rejects, item_stamps=None, reject_stamps=None),
        table[orders[0]],
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ordered", [True, False])
def test_a_split_by_artist(seed: int, ordered: bool, tmp_path: Path) -> None:
    whole = tmp_path / "x.h5"
    (by_artist if ordered else rich_index)(whole, seed)
    report = split(whole, tmp_path / "artists", by_artist=True)
    contents, table = read(whole)
    artists: list[int] = []
    for file in report.files:
        part, own = read(file)
        with Index(whole) as index:
            (number,) = {
                contents.artists.index(part.artists[a]) if a >= 0 else -1 for a in part.items["artist"]
            }
            mine = np.flatnonzero(index.column("artist") == number)
        assert np.array_equal(own, table[mine])
        assert part.items["sha256"].tolist() == contents.items["sha256"][mine].tolist()
        artists.append(number)
    assert sorted(artists) == sorted(set(contents.items["artist"].tolist()))
    merged = merge(report.files, tmp_path / "y.h5")
    sound(tmp_path / "y.h5")
    assert (merged.root_digest == root_of(whole)) == report.keeps_order
    if not ordered:
        assert not report.keeps_order
    with Index(tmp_path / "y.h5") as index:
        assert sorted(map(bytes, index.column("sha256"))) == sorted(map(bytes, contents.items["sha256"]))
        assert len(index.rejects()["reason"]) == len(contents.rejects["reason"])


def test_an_ordered_index_split_by_artist_keeps_its_order(tmp_path: Path) -> None:
    rows = [row(1, 0, 0), row(2, 0, 1), row(3, 1, 0), row(4, -1, 1), row(5, 2, 0)]
    gone = [
        {"artist": a, "collection": 0, "sha256": bytes(32), "path": f"g{a}.png", "reason": "x"}
        for a in (0, 0, 2)
    ]
    gone[1]["path"] = "other.png"
    root = example_index.save(
        tmp_path / "x.h5", example(items=item_columns(rows), rejects=reject_columns(gone))
    )
    report = split(tmp_path / "x.h5", tmp_path / "artists", by_artist=True)
    assert report.keeps_order and report.rows == (2, 1, 1, 1)
    assert merge(tmp_path / "artists/*.h5", tmp_path / "y.h5").root_digest == root


def test_names_that_are_not_in_order_of_appearance_are_kept(tmp_path: Path) -> None:
    """Numbered by first appearance, the artists and collections of the parts would have other numbers."""
    collections = (*example().collections, Collection("unused", "background"))
    rows = [row(1, 2, 1), row(2, 0, 0), row(3, 1, 1)]
    root = example_index.save(
        tmp_path / "x.h5",
        example(items=item_columns(rows), rejects=reject_columns([]), collections=collections),
    )
    report = split(tmp_path / "x.h5", rows=1)
    with Index(report.files[0]) as first, Index(report.files[1]) as second:
        assert first.artists == example().artists and len(first.collections) == 3
        assert second.artists == ("Ada Lovelace",)
    assert merge(report.files, tmp_path / "y.h5").root_digest == root


def test_an_index_without_rows(tmp_path: Path) -> None:
    root = example_index.save(tmp_path / "x.h5", example(items=item_columns([])))
    for how in ({"rows": 5}, {"by_artist": True}):
        report = split(tmp_path / "x.h5", tmp_path / str(*how), **how)  # type: ignore[arg-type]
        assert report.rows == (0,) and root_of(sound(report.files[0])) != ""
    example_index.save(tmp_path / "y.h5", example(rejects=reject_columns([])))
    merged = merge([tmp_path / "x.h5", tmp_path / "y.h5"], tmp_path / "z.h5")
    assert (merged.rows, merged.rejects) == (6, 2) and root != merged.root_digest
    sound(tmp_path / "z.h5")


def test_paths_follow_the_new_file(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        rows = [row(len(folder + name), 0, 0, path=f"art/{folder}{name}.png") for name in ("a", "bb")]
        rows[folder == "two"]["sha256"] = b"same".ljust(32)  # whose vectors are those of different rows
        example_index.save(
            tmp_path / folder / "i.h5", example(items=item_columns(rows), rejects=reject_columns([]))
        )
    (tmp_path / "out").mkdir()
    with pytest.raises(ImindexError, match="same bytes and different vectors"):
        merge([tmp_path / "one/i.h5", tmp_path / "two/i.h5"], tmp_path / "out/all.h5")
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "two").mkdir()
    rows = [row(70, 0, 0, path="b.png")]
    example_index.save(tmp_path / "two/i.h5", example(items=item_columns(rows), rejects=reject_columns([])))
    merge([tmp_path / "one/i.h5", tmp_path / "two/i.h5"], tmp_path / "out/all.h5")
    with Index(tmp_path / "out/all.h5") as index:
        assert index.column("path").tolist() == [
            "../one/art/onea.png",
            "../one/art/onebb.png",
            "../two/b.png",
        ]


def test_roots_that_differ_need_a_folder(tmp_path: Path) -> None:
    for number, folder in enumerate(("/one", "/two")):
        rows = [row(number, 0, 0, path=f"//art/{number}.png")]
        contents = example(items=item_columns(rows), rejects=reject_columns([]), roots={"art": folder})
        example_index.save(tmp_path / f"{number}.h5", contents)
    files = [tmp_path / "0.h5", tmp_path / "1.h5"]
    with pytest.raises(
        ImindexError, match=r"different folders as the root art: /one, /two.*--root art=FOLDER"
    ):
        merge(files, tmp_path / "all.h5")
    merge(files, tmp_path / "all.h5", roots={"art": tmp_path})
    with Index(tmp_path / "all.h5") as index:
        assert index.roots == {"art": str(tmp_path)} and index.column("path").tolist() == [
            "//art/0.png",
            "//art/1.png",
        ]


def test_what_is_refused(tmp_path: Path) -> None:
    whole, out = tmp_path / "x.h5", tmp_path / "all.h5"
    rich_index(whole, 0, n_artists=3)
    files = split(whole, rows=60).files
    for arguments, said in (
        (([files[0]], out), "only"),
        ((files, files[0]), "one of the files to merge"),
        ((tmp_path / "x*.h5", out), "exists already"),
        (([*files, tmp_path / "none.h5"], tmp_path / "y.h5"), "does not exist"),
    ):
        out.write_bytes(b"kept")
        with pytest.raises(ImindexError, match=said):
            merge(*arguments)
        assert out.read_bytes() == b"kept"
    merge(files, out, force=True)
    assert root_of(out) == root_of(whole)
    for words, said in (
        ({}, "Split either by rows"),
        ({"rows": 9, "by_artist": True}, "Split either by rows"),
        ({"rows": 90}, "exists and is another index|none of this split"),
    ):
        with pytest.raises(ImindexError, match=said):
            split(whole, **words)  # type: ignore[arg-type]
    shutil.copy(files[0], tmp_path / "copy.h5")
    (tmp_path / "copy.h5").replace(files[1])
    with pytest.raises(ImindexError, match="exists and is another index"):
        split(whole, rows=60)


@pytest.mark.parametrize("what", ["merge", "split"])
def test_damage_is_not_copied(what: str, tmp_path: Path) -> None:
    whole = tmp_path / "x.h5"
    rich_index(whole, 1, n_artists=3)
    files = split(whole, rows=70).files
    broken = whole if what == "split" else files[1]
    data = bytearray(broken.read_bytes())
    data[data.index(read(broken)[1].tobytes()) + 3] ^= 1
    broken.write_bytes(data)
    out = tmp_path / "out"
    with pytest.raises(ImindexError, match=f"{broken.name} is damaged: vectors"):
        merge(files, out / "all.h5") if what == "merge" else split(whole, out, rows=50)
    assert not list(out.glob("*.h5")) and not list(out.glob(".*imindex-new"))


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "x.h5"
    rich_index(whole, 1, n_artists=3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(ImindexError, match="Free space"):
        split(whole, tmp_path / "out", rows=10)
    assert not list((tmp_path / "out").glob("*.h5"))


def test_an_interrupted_split_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "x.h5", tmp_path / "out"
    rich_index(whole, 2, n_artists=3)
    real, calls = split_module.write, []

    def write(path: Path, *arguments: Any, **options: Any) -> str:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(split_module, "write", write)
    with pytest.raises(KeyboardInterrupt):
        split(whole, out, rows=40)
    assert [file.name for file in sorted(out.glob("*.h5"))] == ["x-0000.h5", "x-0001.h5"]
    before = {file: file.stat().st_ino for file in out.glob("*.h5")}
    monkeypatch.setattr(split_module, "write", real)
    report = split(whole, out, rows=40)
    assert report.kept == 2 and all(file.stat().st_ino == inode for file, inode in before.items())
    assert merge(report.files, tmp_path / "y.h5").root_digest == root_of(whole)


@pytest.mark.parametrize("number", range(2))
def test_a_killed_merge_leaves_nothing_and_a_killed_split_whole_files(number: int, tmp_path: Path) -> None:
    whole = tmp_path / "x.h5"
    rich_index(whole, 3, n_artists=3)
    report_rows = split(whole, tmp_path / "parts", rows=20).rows
    files = sorted((tmp_path / "parts").glob("*.h5"))
    code = (
        "import os, signal, sys\n"
        "from imindex.indexer.maintain import merge, split\n"
        "from pathlib import Path\n"
        "def kill(done):\n"
        f"    if done > {(0, 60)[number]}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "what, source, out = sys.argv[1:]\n"
        "if what == 'merge': merge.merge(source, Path(out) / 'all.h5', progress=kill)\n"
        "else: split.split(Path(source), Path(out), rows=20, progress=kill)\n"
    )
    for what, source in (("merge", tmp_path / "parts/x-*.h5"), ("split", whole)):
        out = tmp_path / what
        out.mkdir()
        words = [sys.executable, "-c", code, what, str(source), str(out)]
        assert subprocess.run(words, check=False, cwd=ROOT, timeout=60).returncode == -signal.SIGKILL
        for file in out.glob("*.h5"):
            sound(file)
    assert not list((tmp_path / "merge").glob("*.h5"))
    merge(files, tmp_path / "all.h5")
    report = merge(files, tmp_path / "merge/all.h5")  # whose paths are those of another folder
    assert (report.rows, root_of(tmp_path / "all.h5")) == (sum(report_rows), root_of(whole))
    assert [entry.name for entry in (tmp_path / "merge").iterdir()] == ["all.h5"]
    report = split(whole, tmp_path / "split", rows=20)
    assert merge(report.files, tmp_path / "again.h5").root_digest == root_of(whole)
    assert not list((tmp_path / "split").glob(".*imindex-new"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_vectors(tmp_path: Path) -> None:
    n, dim = 24_000, 512
    encoder = replace(example().encoder, config={"embed_dim": dim}, dim=dim)
    table = np.zeros((n, dim), np.float16)
    table[np.arange(n), np.arange(n) % dim] = 1
    contents = example(
        items=item_columns(row(number, number % 3, 0) for number in range(n)),
        rejects=reject_columns([]),
        encoder=encoder,
    )
    save(tmp_path / "x.h5", contents, table)
    size = table.nbytes
    del contents
    tracemalloc.start()
    files = split(tmp_path / "x.h5", rows=9_000).files
    of_split = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    merge(files, tmp_path / "y.h5")
    of_merge = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(of_split, of_merge) < 0.75 * size + 8_192 * dim * 2, (of_split, of_merge, size)
    assert root_of(tmp_path / "y.h5") == root_of(tmp_path / "x.h5")


def test_files_of_every_format(tmp_path: Path) -> None:
    for version in ("1.0", "1.1", "1.2", "1.3"):
        archive = sorted((ROOT / "tests/data/archives" / version).glob("*.h5"))[0]
        folder = tmp_path / version
        folder.mkdir()
        shutil.copy(archive, folder / "x.h5")
        with Index(folder / "x.h5") as index:
            half = -(-index.n // 2)
        report = split(folder / "x.h5", rows=half)
        with Index(report.files[0]) as index:
            assert index.version == FORMAT_VERSION
        assert len(report.files) == 2
        assert merge(report.files, folder / "y.h5").root_digest == root_of(folder / "x.h5")
        sound(folder / "y.h5")


def test_an_approximate_index_is_told_to_be_left_out(optimized: dict[str, Path], tmp_path: Path) -> None:
    kind, path = next((kind, path) for kind, path in optimized.items() if kind != "exact")
    shutil.copy(path, tmp_path / "x.h5")
    report = split(tmp_path / "x.h5", tmp_path / "parts", rows=10**6)
    assert "approximate index" in report.notes[0], kind
    contents, table = read(tmp_path / "x.h5")
    other = replace(contents, items={**contents.items, "path": contents.items["path"] + ".other"})
    save(tmp_path / "z.h5", other, table)
    notes = merge([tmp_path / "x.h5", tmp_path / "z.h5"], tmp_path / "y.h5").notes
    assert any("imindex optimize" in note for note in notes)


# The log


def line(before: str, after: str, summary: str = "build") -> dict[str, str]:
    return {"summary": summary, "digest-before": before, "digest-after": after}


def merging(roots: list[str], after: str) -> dict[str, str]:
    return line(chained_digest(roots), after, f"merge: {len(roots)} indexes: {' '.join(roots)}")


A, B, C, D, E = (letter * 64 for letter in "abcde")


@pytest.mark.parametrize(
    "lines",
    [
        [line("", A)],
        [line("", A), line(A, B), line(B, B), line(B, C)],
        [line("", A), line("", B), merging([A, B], C)],
        [line("", A), line(A, B), line("", C), line(C, D), merging([B, D], E), line(E, A)],
        [line("", A), line(A, B), line(A, C), merging([B, C], A)],  # a split, merged again
        [line("", B), line("", C), line("", D), merging([C, D], E), merging([B, E], A)],
        [line("", A), line(A, B), merging([A, B], C)],  # an older state beside the newer one
    ],
)
def test_a_sound_chain(lines: list[dict[str, str]]) -> None:
    assert chain_faults(lines) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line(A, B)], "line 1 starts from"),
        ([line("", A), line("", B)], "line 2 starts from"),
        ([line("", A), line(B, C)], "line 2 starts from"),
        ([line("", A), merging([A, B], C)], "line 2 continues from the root digest bbbbbbbbbbbb"),
        (
            [line("", A), line("", B), line("", C), merging([A, B], D)],
            "line 3 ends with the root digest cccc",
        ),
        ([line("", A), line(C, B), merging([A, B], D)], "line 2 continues from the root digest cccc"),
        ([line("", A), line("", B), merging([A, B], C), line(A, D)], "line 4 starts from"),
        ([line("", A), line("", B), {**merging([A, B], C), "digest-before": D}], "another digest"),
        (
            [line("", A), line("", B), {**merging([B, A], C), "digest-before": chained_digest([A, B])}],
            "another",
        ),
    ],
)
def test_a_broken_chain(lines: list[dict[str, str]], said: str) -> None:
    assert any(said in fault for fault in chain_faults(lines)), chain_faults(lines)


def test_only_an_unchanged_part_counts_as_one(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 1, n_artists=3)
    files = split(tmp_path / "x.h5", rows=100).files
    with Index(files[0]) as index:
        log, root = index.log(), index.root_digest
        of = part_of(log, root)
        assert (
            of is not None
            and (of.number, of.total) == (1, len(files))
            and of.root == root_of(tmp_path / "x.h5")
        )
        assert part_of([*log, line(root, A)], A) is None
    run("remove", "-i", files[0], "--artist", "artist 0", "--yes")
    with Index(files[0]) as index:
        assert part_of(index.log(), index.root_digest) is None


def test_a_damaged_part_of_an_earlier_run_is_not_kept(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 1, n_artists=3)
    file = split(tmp_path / "x.h5", rows=100).files[1]
    data = bytearray(file.read_bytes())
    data[data.index(read(file)[1].tobytes()) + 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ImindexError, match=rf"{file.name} is damaged: vectors"):
        split(tmp_path / "x.h5", rows=100)
    file.unlink()
    split(tmp_path / "x.h5", rows=100)
    sound(file)


def test_missing_parts_are_told(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 1, n_artists=3)
    files = split(tmp_path / "x.h5", rows=40).files
    root = root_of(tmp_path / "x.h5")
    with open_index(files) as joined:
        assert not joined.notes
    with open_index([files[2], files[0]]) as joined:
        (note,) = joined.notes
    assert f"hold 2 of the {len(files)} parts" in note and root[:12] in note
    told = run("match", "-i", files[0], "-i", files[1], "--collection", "r1", "--no-tests").stderr
    assert f"2 of the {len(files)} parts" in told
    assert note in merge([files[2], files[0]], tmp_path / "m.h5").notes


def test_parts_of_two_splits_do_not_count_a_picture_twice(tmp_path: Path) -> None:
    """Both splits have two parts, so the numbers of the parts differ; some rows are in both files."""
    rich_index(tmp_path / "x.h5", 1, n_artists=3)
    with Index(tmp_path / "x.h5") as index:
        n = index.n
    wide = split(tmp_path / "x.h5", tmp_path / "a", rows=n - 3).files
    half = split(tmp_path / "x.h5", tmp_path / "b", rows=-(-n // 2)).files
    with open_index([wide[0], half[1]]) as joined:
        assert isinstance(joined, Joined)
        assert (joined.n, joined.n_repeated) == (n, n - 3 - -(-n // 2))
    assert merge([wide[0], half[1]], tmp_path / "m.h5").rows == n


def test_a_part_by_rows_and_one_by_artist_do_not_count_a_picture_twice(tmp_path: Path) -> None:
    rows = [row(1, 0, 0), row(2, 1, 0), row(3, 0, 0), row(4, 1, 0)]
    example_index.save(tmp_path / "x.h5", example(items=item_columns(rows), rejects=reject_columns([])))
    by_rows = split(tmp_path / "x.h5", tmp_path / "a", rows=2).files
    by_one = split(tmp_path / "x.h5", tmp_path / "b", by_artist=True).files
    with open_index([by_rows[0], by_one[1]]) as joined:
        assert sorted(Path(path).name for path in joined.column("path")) == ["1.png", "2.png", "4.png"]


@pytest.mark.parametrize("by_artist", [True, False])
@pytest.mark.parametrize(
    "names",
    [
        ("Zo\u00eb  Example", "Zo\u00eb Example"),
        ("Zoe\u0308 Example", "Zo\u00eb Example"),
        ("Zo\u00eb Example", "Zoe\u0308 Example"),
    ],
)
def test_two_spellings_of_a_name_in_an_index_stay_two_in_its_parts(
    names: tuple[str, str], by_artist: bool, tmp_path: Path
) -> None:
    rows = [row(1, 0, 0), row(2, 0, 1), row(3, 1, 0), row(4, 1, 1)]
    whole = example(items=item_columns(rows), rejects=reject_columns([]), artists=names)
    root = example_index.save(tmp_path / "x.h5", whole)
    done = split(tmp_path / "x.h5", **({"by_artist": True} if by_artist else {"rows": 2}))
    with open_index(done.files) as joined:
        assert joined.artists == names
    assert done.keeps_order and merge(done.files, tmp_path / "m.h5").root_digest == root


# The commands


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rich_index(tmp_path / "x.h5", 4, n_artists=3)
    said = json.loads(run("split", "x.h5", "--rows", "80", "-o", "parts", "--json").stdout)
    assert said["keeps_order"] and len(said["files"]) == len(said["rows"]) and said["kept"] == 0
    merged = json.loads(run("merge", "parts/x-*.h5", "-o", "y.h5", "--json").stdout)
    assert merged["root_digest"] == said["root_digest"] and merged["files"] == said["files"]
    assert "Merged" in run("merge", *said["files"], "-o", "y.h5", "--force").stdout
    verified = json.loads(run("verify", "-i", "parts/x-*.h5", "--json").stdout)
    assert verified["sound"] and verified["chained_digest"] == merged["chained_digest"]
    assert len(verified["files"]) == len(said["files"])
    assert "another root digest" in run("split", "x.h5", "--by", "artist", "-o", "artists").stderr
    assert "kept" in run("split", "x.h5", "--by", "artist", "-o", "artists").stderr
    for words, code in (
        (("split", "x.h5"), 2),
        (("merge", "parts/x-0000.h5", "-o", "z.h5"), 1),
        (("merge",), 2),
    ):
        run(*words, code=code)


@pytest.mark.parametrize("command", ["optimize", "migrate", "seal"])
def test_commands_of_one_index_refuse_several(command: str, tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 4, n_artists=3)
    files = split(tmp_path / "x.h5", rows=90).files
    for words in (("-i", tmp_path / "x-*.h5"), ("-i", files[0], "-i", files[1])):
        result = run(command, *words, code=2)
        assert "takes one index" in result.stderr and "imindex merge" in result.stderr


def test_a_pattern_that_the_shell_expanded_is_told(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 4, n_artists=3)
    files = split(tmp_path / "x.h5", rows=90).files
    for words in (
        ("match", "-i", *files),
        ("query", "a.png", "-i", *files),
        ("compare", "r1", "r2", "-i", *files),
    ):
        assert "quote it: -i 'part-*.h5'" in run(*words, code=2).stderr


def test_info_and_export_read_several(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 4, n_artists=3)
    split(tmp_path / "x.h5", rows=50)
    (tmp_path / "x.h5").rename(tmp_path / "whole.h5")
    run("export", tmp_path / "one", "-i", tmp_path / "whole.h5")
    run("export", tmp_path / "several", "-i", tmp_path / "x-*.h5")
    for name in ("vectors.npy", "items.parquet", "rejects.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "several" / name).read_bytes()
    one, several = (
        json.loads(run("info", "-i", tmp_path / name, "--json").stdout) for name in ("whole.h5", "x-*.h5")
    )
    differ = {name for name in one if one[name] != several[name]}
    assert differ == {"index", "root-digest", "log", "ann"} and len(several["index"]) > 1
