"""Paths of manifests, named roots, and indexes and pictures that are moved: no row is doubled, no guard is passed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

import imindex
from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import PicturePaths, StoredPaths, require_roots, root_name_fault, stored_path
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.integrity.verify import verify
from imindex.indexer.integrity.verify_pictures import Folders, check_pictures
from imindex.indexer.maintain.remove import remove
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.inputs import gather
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.report.thumbnails import Thumbnails, recorded_digests
from tests.support.builds import Counting
from tests.support.commands import run

Works = Callable[..., Path]


def manifest(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"path,artist,kind\n" + b"".join(os.fsencode(f'"{name}",ada,works\n') for name in names))
    return path


def paths_of(index: Path) -> list[str]:
    with Index(index) as opened:
        return list(opened.column("path"))


# Paths of manifests


@pytest.mark.parametrize(
    "name",
    [
        "sub\\a.png", ".\\sub\\a.png", "sub/../sub\\a.png", "./sub/a.png", "{root}/sub/a.png", "{root}/./sub//a.png",
        "file://{root}/sub/a.png", "file://localhost{root}/sub/a.png", "file:{root}/sub/a.png",
        "file://{root}/sub/%61.png", "{real}/sub/a.png",
    ],
)  # fmt: skip
def test_every_way_to_write_a_path_inside_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "real/sub/a.png").touch()
    (tmp_path / "art").symlink_to("real")
    root = tmp_path / "art"
    path = manifest(root / "m.csv", name.format(root=root, real=tmp_path / "real"))
    (item,) = find([path])
    assert Path(item.path).samefile(root / "sub/a.png")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
@pytest.mark.parametrize(
    ("file", "written"),
    [
        (b"Zoe\xcc\x88.png", "Zoë.png".encode()), ("Zoë.png".encode(), b"Zoe\xcc\x88.png"),
        (b"Zo\xeb.png", "Zoë.png".encode()), (b"Zo\xeb.png", b"Zo\xeb.png"), (b"a\\b.png", b"a\\b.png"),
    ],
)  # fmt: skip
def test_a_file_is_found_in_the_spelling_of_another_system(
    file: bytes, written: bytes, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / os.fsdecode(file)).touch()
    (tmp_path / "m.csv").write_bytes(b"path,artist,kind\nsub/" + written + b",ada,works\n")
    (item,) = find([tmp_path / "m.csv"])
    assert os.fsencode(item.path) == os.fsencode(tmp_path / "sub") + b"/" + file


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{other}/a.png", r"is outside the folder of the manifest\. Name the folder.*--root FOLDER, such as --root "),
        ("../other/a.png", r"is outside the folder of the manifest"),
        ("//art/a.png", r"is outside the folder of the manifest"),
        ("file://{other}/a.png", r"is outside the folder of the manifest"),
        ("file://server/share/a.png", r"is on another machine, server"),
        ("https:///a.png", r"is a URL without a host"),
        ("C:\\art\\a.png", r"is a path of Windows, and C: is not known here"),
        ("C:/art/a.png", r"is a path of Windows"),
        ("\\\\server\\share\\a.png", r"is a path of Windows, and .*server.*share"),
        ("sub\\..\\..\\other\\a.png", r"is outside the folder of the manifest"),
    ],
)  # fmt: skip
def test_a_path_elsewhere_is_refused_with_the_remedy(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    path = manifest(tmp_path / "art/m.csv", name.format(other=tmp_path / "other"))
    with pytest.raises(ImindexError, match=rf"line 2: .*{said}"):
        list(find([path]))


@pytest.mark.parametrize(
    "name", ["{other}/sub/a.png", "../other/sub/a.png", "//o/sub/a.png", "file://{other}/sub/a.png"]
)
def test_a_root_permits_paths_elsewhere_and_no_further(name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "sub").mkdir(parents=True)
    (other / "sub/a.png").touch()
    (other / "out").symlink_to(tmp_path)
    (other / "sub/link.png").symlink_to(tmp_path / "secret.png")
    path = manifest(tmp_path / "art/m.csv", name.format(other=other))
    (item,) = find([path], roots={"o": str(other)})
    assert item.path == str(other / "sub/a.png")
    for bad in (
        "../other/out/secret.png",
        "../other/sub/link.png",
        "//o/../secret.png",
        "//o/out/x.png",
        "//x/sub/a.png",
    ):
        with pytest.raises(ImindexError, match=r"outside the folder of the manifest|leads out of its root"):
            list(find([manifest(path, bad)], roots={"o": str(other)}))


# Stored paths


def test_a_stored_path_is_in_the_innermost_root(tmp_path: Path) -> None:
    for folder in ("index", "data/art/deep", "real"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/link").symlink_to(tmp_path / "real")
    (tmp_path / "data/art/x.png").touch()
    (tmp_path / "data/art/away.png").symlink_to(tmp_path / "real")
    roots = {"all": str(tmp_path / "data"), "art": str(tmp_path / "data/art"), "r": str(tmp_path / "real")}
    for file, stored in {
        "data/art/x.png": "//art/x.png", "data/art/deep/y.png": "//art/deep/y.png", "data/z.png": "//all/z.png",
        "index/i.png": "i.png", "else/w.png": "../else/w.png", "data/link/l.png": "//r/l.png",
        "data/art/a\\b.png": "../data/art/a\\b.png",
    }.items():  # fmt: skip
        path = str(tmp_path / file)
        assert (
            stored_path(path, tmp_path / "index", roots)
            == StoredPaths(tmp_path / "index", roots)(path)
            == stored
        )
        full = PicturePaths(tmp_path / "index", roots).full(stored)
        assert full is not None and os.path.realpath(full) == os.path.realpath(path)


@pytest.mark.parametrize(
    "stored",
    ["//art/../x", "//art//etc/passwd", "//art/", "//art", "//..//x", "///x", "//no/x", "//art/a\0", "//art/out/x",
     "//art/a/../../x", "//art/./x", "//art\\x/y", "//art/..\\x", "//relative/x"],
)  # fmt: skip
def test_a_hostile_rooted_path_means_no_file(stored: str, tmp_path: Path) -> None:
    (tmp_path / "art").mkdir()
    (tmp_path / "art/out").symlink_to(tmp_path)
    roots = {"art": str(tmp_path / "art"), "..": "/", "": "/", "relative": "art"}
    assert PicturePaths(tmp_path, roots).full(stored) is None
    assert Folders(tmp_path, [tmp_path], roots).path(stored) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a=b", "a\nb", "x" * 2_000])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    assert root_name_fault(name)
    with pytest.raises(ImindexError, match=r"The root .* Name it with --root NAME=FOLDER"):
        require_roots({name: tmp_path})


# Indexes


@pytest.fixture
def rooted(works: Works, tiny_model: str, tmp_path: Path) -> Path:
    """An index in its own folder, of a manifest whose pictures are in the root `art` elsewhere."""
    art = works({"w": 3}, root="disk/art")
    names = [str(file) for file in sorted((art / "w").iterdir())]
    (tmp_path / "run").mkdir()
    words = ("-i", tmp_path / "run/i.h5", "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    run("build", manifest(tmp_path / "run/m.csv", *names), *words, "--root", art)
    return tmp_path / "run/i.h5"


def test_an_index_and_its_root_move_separately(rooted: Path, tiny_encoder: Encoder, tmp_path: Path) -> None:
    assert paths_of(rooted) == [f"//art/w/{n:03d}.png" for n in range(3)]
    with Index(rooted) as index:
        assert index.roots == {"art": str(tmp_path / "disk/art")} and index.version == "1.4"
        digests = recorded_digests(index, index.column("path"))
        assert Thumbnails(index.places(), 3, digests).get("//art/w/000.png")
    assert not verify(rooted).faults
    outside = run("verify", "-i", rooted, "--pictures", code=4).stdout
    assert (
        f"Pass --root art=FOLDER to permit a folder; when it was built, art was {tmp_path / 'disk/art'}"
        in outside
    )
    run(
        "verify",
        "-i",
        rooted,
        "--pictures",
        "--replay",
        "all",
        "--device",
        "cpu",
        "--root",
        tmp_path / "disk/art",
    )
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "run").rename(moved / "run")
    (tmp_path / "disk/art").rename(moved / "pictures")
    path = moved / "run/i.h5"
    run("verify", "-i", path, "--pictures", "--root", f"art={moved / 'pictures'}")
    run("verify", "-i", path, "--pictures", "--root", moved / "pictures")  # found by the ends of the paths
    with Index(path, {"art": moved / "pictures"}) as index:
        assert Thumbnails(index.places(), 3, digests).get("//art/w/002.png")
    with Index(path) as index:
        assert Thumbnails(index.places(), 3, digests).get("//art/w/002.png") is None
    names = [str(file) for file in sorted((moved / "pictures/w").iterdir())]
    encoder = Counting(tiny_encoder)
    roots = {"art": str(moved / "pictures")}
    items = list(find([manifest(moved / "run/m.csv", *names)], roots=roots))
    before = paths_of(path)
    report = build(items, path, encoder, roots=roots)
    assert (report.encoded, report.unchanged, report.added, report.rows) == (0, 3, 0, 3)
    assert paths_of(path) == before
    with Index(path) as index:
        assert index.roots == roots
    assert not verify(path).faults


def test_each_row_of_a_url_is_decoded(tmp_path: Path) -> None:
    for name in ("a b.png", "c d.png", "c%20d.png", "e%20f.png"):
        (tmp_path / name).touch()
    path = manifest(
        tmp_path / "m.csv", f"file://{tmp_path}/a%20b.png", f"file://{tmp_path}/c%20d.png", "e%20f.png"
    )
    assert [Path(item.path).name for item in find([path])] == ["a b.png", "c d.png", "e%20f.png"]


def test_a_manifest_leads_only_to_roots_that_the_user_names_now(
    rooted: Path, tiny_model: str, tmp_path: Path
) -> None:
    """The places that an index remembers may be a stranger's, such as `/`."""
    words = ("-i", rooted, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    assert "--root art=" in run("build", tmp_path / "run/m.csv", *words, code=1).stderr
    again = run("build", tmp_path / "run/m.csv", *words, "--root", f"art={tmp_path / 'disk/art'}")
    assert "(3 unchanged" in again.stdout
    said = run("build", tmp_path / "disk/art", "--kind", "works", "--artist", "ada", *words).stdout
    assert "(3 unchanged, 0 rejected)" in said and paths_of(rooted)[0] == "//art/w/000.png"


@pytest.mark.parametrize(
    "roots",
    [
        '{"..": "/"}',
        '{"a/b": "/"}',
        '{"": "/"}',
        '{"art": 3}',
        '["/"]',
        '{"art": "/\\u0000"}',
        "not JSON",
        '{"a": {"b": 1}}',
    ],
)
def test_hostile_roots_in_a_file_are_refused(rooted: Path, roots: str) -> None:
    with h5py.File(rooted, "r+") as file:
        file.attrs["roots"] = roots
    with pytest.raises(ImindexError, match=r"roots"):
        Index(rooted)


def test_the_root_of_a_stranger_is_opened_only_where_the_user_permits(rooted: Path, tmp_path: Path) -> None:
    """An index that says that its pictures are in the home folder must not make verify read there."""
    home = tmp_path / "home"
    shutil.copytree(tmp_path / "disk/art", home)
    with h5py.File(rooted, "r+") as file:
        file.attrs["roots"] = f'{{"art": "{home}"}}'
    with Index(rooted) as index:
        assert check_pictures(index).outside == 3
        assert (
            check_pictures(index, roots=[tmp_path / "disk"]).outside == 0
        )  # by the ends of the paths, not at home
        assert check_pictures(index, roots=[home]).same == 3
        (home / "w/000.png").write_bytes(b"secret")
        digests = recorded_digests(index, index.column("path"))
        assert Thumbnails(index.places(), 3, digests).get("//art/w/000.png") is None


# Moves


@pytest.mark.parametrize(
    "way", ["into the folder", "out of the folder", "through a link", "as a root", "link to the folder"]
)
def test_rows_are_not_doubled_when_index_or_folder_is_reached_otherwise(
    way: str, works: Works, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    art = works({"works/ada": 3, "works/bo": 2})
    (art / "works/ada/broken.png").write_bytes(b"no picture")
    old = {"out of the folder": art / "i.h5", "link to the folder": tmp_path / "i.h5"}.get(
        way, tmp_path / "run/i.h5"
    )
    old.parent.mkdir(exist_ok=True)
    encoder = Counting(tiny_encoder)
    build(list(find([art])), old, encoder)
    source, path, roots = art, old, {}
    if way == "into the folder":
        path = art / "i.h5"
        old.rename(path)
    elif way == "out of the folder":
        path = tmp_path / "i.h5"
        old.rename(path)
    elif way == "as a root":
        roots = {"art": str(art)}
    else:
        source = tmp_path / "other"
        source.symlink_to(art)
    with Index(path) as index:
        digests = {bytes(d) for d in index.column("sha256")}
    report = build(list(find([source])), path, encoder, roots=roots)
    assert encoder.count == 5 and (report.rows, report.added, report.unchanged + report.moved) == (5, 0, 5)
    assert (report.relinked == 5) == (way != "out of the folder")
    with Index(path) as index:
        assert {bytes(d) for d in index.column("sha256")} == digests and len(index.rejects()["path"]) == 1
        places = index.places()
        assert all(Path(places.full(p) or "").is_file() for p in index.column("path"))
    assert not verify(path).faults
    assert (
        again := build(list(find([source])), path, encoder, roots=roots)
    ).unchanged == 5 and not again.relinked


def test_a_file_that_changed_while_the_index_moved_replaces_its_row(
    works: Works, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    art, other = works({"works/ada": 2}), works({"x": 1}, first_seed=70)
    (tmp_path / "run").mkdir()
    build(list(find([art])), tmp_path / "run/i.h5", Counting(tiny_encoder))
    (tmp_path / "run/i.h5").rename(art / "i.h5")
    shutil.copy(other / "x/000.png", art / "works/ada/000.png")
    report = build(list(find([art / "works"])), art / "i.h5", Counting(tiny_encoder))
    assert (report.encoded, report.replaced, report.unchanged, report.added, report.rows) == (1, 1, 1, 0, 2)


def test_one_file_listed_by_two_paths_is_one_row(works: Works, tiny_encoder: Encoder, tmp_path: Path) -> None:
    art = works({"works/ada": 2, "works/bo": 1})
    (art / "works/ada/again.png").symlink_to("000.png")
    (art / "works/ada/more").symlink_to(art / "works/bo")
    (art / "works/cy").symlink_to(art / "works/ada")  # another artist: other rows
    (tmp_path / "link").symlink_to(art)
    items = [*find([art]), *find([tmp_path / "link"])]
    report = build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.encoded, report.rows, report.repeated) == (3, 7, len(items) - 7)
    stored = set(paths_of(tmp_path / "i.h5"))
    assert "art/works/ada/again.png" not in stored and "art/works/ada/000.png" in stored
    assert build(items, tmp_path / "i.h5", Counting(tiny_encoder)).rows == 7


def test_two_names_of_one_inode_are_two_files(works: Works, tiny_encoder: Encoder, tmp_path: Path) -> None:
    art = works({"works/ada": 1})
    os.link(art / "works/ada/000.png", art / "works/ada/001.png")
    assert build(list(find([art])), tmp_path / "i.h5", Counting(tiny_encoder)).rows == 2


def test_build_tells_what_it_linked_again_and_keeps_it_after_prune(
    works: Works, tiny_model: str, tmp_path: Path
) -> None:
    art = works({"works/ada": 2})
    (tmp_path / "run").mkdir()
    words = ("--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    run("build", art, "-i", tmp_path / "run/i.h5", *words)
    (tmp_path / "run/i.h5").rename(art / "i.h5")
    result = run("build", art, "-i", art / "i.h5", "--prune", *words)
    assert "2 pictures re-linked" in result.stderr and "Encoded 0 pictures (2 unchanged" in result.stdout
    assert paths_of(art / "i.h5") == ["works/ada/000.png", "works/ada/001.png"]


def test_verify_tells_missing_changed_and_unreadable_apart_with_remedies(
    works: Works, tiny_model: str, tmp_path: Path
) -> None:
    art = works({"works/ada": 4})
    run(
        "build", art, "-i", tmp_path / "i.h5", "--model", tiny_model, "--precision", "fp32", "--device", "cpu"
    )
    assert "If they were moved" not in run("verify", "-i", tmp_path / "i.h5", "--pictures").stdout
    (art / "works/ada/000.png").write_bytes(b"other")
    (art / "works/ada/001.png").unlink()
    (art / "works/ada/002.png").unlink()
    (art / "works/ada/002.png").mkdir()
    said = run("verify", "-i", tmp_path / "i.h5", "--pictures", code=3).stdout
    for what in (
        "000.png: the picture is changed",
        "001.png: the picture is missing",
        "002.png: the picture is unreadable",
    ):
        assert f"fault   art/works/ada/{what}" in said
    for remedy in (
        "If they were moved, pass --root FOLDER",
        "build again, which replaces",
        "Check their permissions",
    ):
        assert remedy in said
    shutil.rmtree(art / "works/ada/002.png")
    (tmp_path / "new place").mkdir()
    (art / "works").rename(tmp_path / "new place/all")
    assert "4 missing" in run("verify", "-i", tmp_path / "i.h5", "--pictures", code=3).stdout
    said = run(
        "verify", "-i", tmp_path / "i.h5", "--pictures", "--root", tmp_path / "new place", code=3
    ).stdout
    assert "4 missing" in said
    said = run(
        "verify", "-i", tmp_path / "i.h5", "--pictures", "--root", tmp_path / "new place/all", code=3
    ).stdout
    assert "1 are unchanged, 0 changed, 3 missing" in said  # a file with other bytes may be another one


def test_a_manifest_inside_a_folder_may_lead_to_a_root_as_well(tmp_path: Path) -> None:
    """`imindex build works/` reads works/manifest.csv; its absolute paths are under the same rule."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.png").touch()
    for folder in ("works", "imitations/r1", "control"):
        manifest(tmp_path / "art" / folder / "manifest.csv", str(tmp_path / "disk/a.png"))
        text = (
            (tmp_path / "art" / folder / "manifest.csv")
            .read_text()
            .replace(",works", "," + folder.partition("/")[0])
        )
        (tmp_path / "art" / folder / "manifest.csv").write_text(text)
        with pytest.raises(ImindexError, match=r"line 2: .* is outside the folder of the manifest"):
            list(find([tmp_path / "art" / folder]))
        (item,) = find([tmp_path / "art" / folder], roots={"disk": str(tmp_path / "disk")})
        assert item.path == str(tmp_path / "disk/a.png")


def test_every_command_that_opens_pictures_takes_roots(rooted: Path, tmp_path: Path) -> None:
    (tmp_path / "disk/art").rename(tmp_path / "moved")
    root = f"art={tmp_path / 'moved'}"
    with imindex.open(rooted, roots={"art": tmp_path / "moved"}) as index:
        paths = list(index.items.to_arrow()["path"].to_pylist())
        assert index.thumbnails(paths).get(paths[0])
    with imindex.open(rooted) as index:
        assert index.thumbnails(paths).get(paths[0]) is None
    query = ("query", tmp_path / "moved/w/000.png", "-i", rooted, "--device", "cpu", "--trust-encoder")
    assert "//art/w/000.png" in run(*query, "--root", root).stdout
    for command in (("match",), ("classify", "--by", "works"), query[:2]):
        said = run(*command, "-i", rooted, "--root", "art=/no/such", code=2).stderr
        assert "There is no folder /no/such" in said
    said = run("build", tmp_path / "run/m.csv", "-i", rooted, "--root", "a/b=/", code=2).stderr
    assert "contains a slash" in " ".join(said.split())
    two = ("--root", tmp_path / "moved", "--root", tmp_path / "run/moved")
    (tmp_path / "run/moved").mkdir()
    said = run("build", tmp_path / "run/m.csv", "-i", rooted, *two, code=2).stderr
    assert "would both be named moved. Pass --root NAME=FOLDER" in " ".join(said.split())


def test_works_of_a_plan_may_lead_to_a_root(works: Works, tmp_path: Path) -> None:
    art = works({"w": 2}, root="disk/art")
    names = [str(file) for file in sorted((art / "w").iterdir())]
    manifest(tmp_path / "plan/works.csv", *names)
    made = tmp_path / "plan/made/ada"
    made.mkdir(parents=True)
    shutil.copy(names[0], made / "1.png")
    (tmp_path / "plan/plan.toml").write_text(
        '[artists]\ntested = ["ada"]\n[works]\ntested = "works.csv"\n[[releases]]\nname = "r"\npictures = "made"\n'
        '[[encoders]]\nmodel = "demo"\n'
    )
    plan = read_plan(tmp_path / "plan/plan.toml")
    with pytest.raises(
        ImindexError, match=r"works\.tested: .*outside the folder of the manifest.*--root FOLDER"
    ):
        gather(plan)
    inputs = gather(plan, roots={"art": str(art)})
    assert [item.path for item in inputs.works] == names


def test_other_writers_keep_roots_and_drop_unused_ones(
    rooted: Path, tiny_model: str, works: Works, tmp_path: Path
) -> None:
    near = works({"near/bo": 1}, root="run", first_seed=50) / "near"
    words = ("-i", rooted, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    run("build", near, "--kind", "works", *words)
    assert "The pictures of //art/ are in" in run("info", "-i", rooted).stderr
    remove(rooted, artists=["bo"])
    with Index(rooted) as index:
        assert index.n == 3 and index.roots == {"art": str(tmp_path / "disk/art")}
    run("build", near, "--kind", "works", *words)
    remove(rooted, artists=["ada"])
    with Index(rooted) as index:
        assert index.n == 1 and not index.roots
    with h5py.File(rooted) as file:
        assert "roots" not in file.attrs


def test_a_name_that_is_used_for_another_folder_is_told(
    rooted: Path, tiny_model: str, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    names = [str(tmp_path / f"copy/art/w/{n:03d}.png") for n in range(3)]
    words = ("-i", rooted, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    result = run("build", manifest(tmp_path / "run/m.csv", *names), *words, "--root", tmp_path / "copy/art")
    assert "The root art was" in result.stderr and "which still exists" in result.stderr
    assert "(3 unchanged" in result.stdout + result.stderr
    with Index(rooted) as index:
        assert index.roots == {"art": str(tmp_path / "copy/art")} and index.n == 3
