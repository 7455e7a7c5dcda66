"""Arms and models of a manifest are columns of the index; blocked pictures are recorded, and never rows."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from imindex.indexer.build.build import BuildReport, build
from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import item_columns, reject_columns
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.integrity.verify import verify
from imindex.indexer.integrity.verify_pictures import check_rejects
from imindex.indexer.maintain.export import export
from imindex.indexer.maintain.migrate import migrate
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.maintain.remove import remove
from imindex.indexer.maintain.summary import describe
from imindex.indexer.sources.arms import blocked_of
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index, recompute_root_digest
from tests.support.builds import Counting
from tests.support.commands import run
from tests.support.example_index import ENCODER, digest, example, row, save
from tests.support.pictures import picture

ARMS = (("Ada", "own", 3), ("Bo", "placebo", 2), ("Cy", "rival", 2), ("", "nameless", 2), ("", "control", 1))
"""Name in the prompt, arm and number of pictures."""


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Draw the pictures of a release, and return the rows of its manifest."""
    rows = []
    for artist, arm, n in ARMS:
        for number in range(n):
            path = folder / arm / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(len(rows)).save(path)
            os.utime(path, (time.time() - 3600,) * 2)  # at rest, so that it is stamped at once
            row = {
                "path": f"{arm}/{number}.png",
                "artist": artist,
                "arm": arm,
                "model": "m-1",
                "seed": number,
            }
            rows.append({**row, "prompt": f"by {artist}", "collection": "r1", "blocked": ""})
    return rows


def write(folder: Path, rows: Sequence[dict[str, Any]], name: str = "manifest.csv") -> Path:
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def built(encoder: Encoder, path: Path, *sources: Path, **options: Any) -> tuple[BuildReport, Counting]:
    counting = Counting(encoder)
    return build(list(find(sources)), path, counting, **options), counting


def rows_in(path: Path) -> set[tuple[str, str, str, str]]:
    """Path (its name), artist, arm and model of each row."""
    with Index(path) as index:
        assert recompute_root_digest(index) == index.root_digest
        names = [*index.artists, ""]
        columns = (index.column(name).tolist() for name in ("path", "artist", "arm", "model"))
        return {
            ("/".join(Path(file).parts[-2:]), names[a], arm, model)
            for file, a, arm, model in zip(*columns, strict=True)
        }


def black(path: Path, size: tuple[int, int] = (40, 40), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path, **options)
    return path


# Arms


def test_a_build_keeps_arms_and_models_of_a_manifest(tiny_encoder: Encoder, tmp_path: Path) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    report, _ = built(tiny_encoder, path, write(tmp_path / "r", rows))
    assert (report.rows, report.blocked, report.rejected) == (10, 0, 0)
    assert rows_in(path) == {(one["path"], one["artist"], one["arm"], "m-1") for one in rows}
    assert verify(path).faults == []
    with Index(path) as index:
        summary = {
            c.kind: {a.arm: (a.names, a.pictures) for a in c.arms} for c in describe(index).collections
        }
        export(index, tmp_path / "out")
    assert summary == {
        "imitations": {"own": (1, 3), "placebo": (1, 2), "rival": (1, 2)},
        "control": {"nameless": (0, 2), "control": (0, 1)},
    }
    table = pyarrow.parquet.read_table(tmp_path / "out/items.parquet").to_pylist()
    assert {(one["arm"], one["model"]) for one in table} == {(arm, "m-1") for _, arm, _ in ARMS}
    text = run("info", "-i", path).output
    assert re.search(r"r1\s+imitations\s+placebo\s+1\s+2\n", text) and "by a safety filter" not in text


def test_an_arm_that_changes_is_updated_without_encoding(tiny_encoder: Encoder, tmp_path: Path) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    bare = [{key: value for key, value in one.items() if key != "model"} for one in rows]
    for one in bare:
        one["kind"], one["arm"] = ("imitations" if one["artist"] else "control"), ""
    built(tiny_encoder, path, write(tmp_path / "r", bare))
    roots = [verify(path).root]
    assert {arm for _, _, arm, _ in rows_in(path)} == {""}
    for changes in ({}, {"Bo": "rival", "Cy": "own"}):
        wanted = [{**one, "arm": changes.get(one["artist"], one["arm"])} for one in rows]
        report, counting = built(tiny_encoder, path, write(tmp_path / "r", wanted))
        assert (report.unchanged, report.encoded, counting.count) == (10, 0, 0)
        assert rows_in(path) == {(one["path"], one["artist"], one["arm"], "m-1") for one in wanted}
        roots.append(verify(path).root)
    assert len(set(roots)) == 3
    without = [{key: value for key, value in one.items() if key != "arm"} for one in bare]
    before = path.stat()
    built(tiny_encoder, path, write(tmp_path / "r", without))  # a column that is missing changes nothing
    assert path.stat().st_ino == before.st_ino
    report, counting = built(tiny_encoder, path, write(tmp_path / "r", bare))  # empty cells clear the arms
    assert (report.unchanged, counting.count) == (10, 0)
    assert rows_in(path) == {(one["path"], one["artist"], "", "m-1") for one in bare}


def test_columns_without_values_are_left_out(tiny_encoder: Encoder, tmp_path: Path) -> None:
    """The root digest of a build without arms is that of format 1.2, as FORMAT.md defines it."""
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    for one in rows:
        one.update(kind="imitations" if one["artist"] else "control", arm="", model="")
    (tmp_path / "r/broken.png").write_bytes(b"no picture")
    rows.append({**rows[0], "path": "broken.png", "seed": 4})
    built(tiny_encoder, path, write(tmp_path / "r", rows))
    with h5py.File(path) as file:
        assert set(file["items"]) == {
            "artist", "collection", "sha256", "path", "width", "height", "prompt", "seed", "caption",
        }  # fmt: skip
        assert set(file["rejects"]) == {"artist", "collection", "sha256", "path", "reason"}
        digests = {
            name: value for name, value in file["digests"].attrs.items()
            if name.partition("/")[0] in ("artists", "collections", "items", "rejects", "vectors")
        }  # fmt: skip
    with Index(path) as index:
        said = {"digests": digests, "encoder": index.encoder.identity(), "format": "1.0"}
        assert hashlib.sha256(canonical_json(said).encode()).hexdigest() == index.root_digest
        assert index.items()["arm"].tolist() == [""] * 10 and index.rejects()["seed"].tolist() == [-1]
        assert index.text_at("arm", np.array([3, 1])) == ["", ""]


def test_every_other_writer_carries_arms(tiny_encoder: Encoder, tmp_path: Path) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    black(tmp_path / "r/own/9.png")
    rows.append({**rows[0], "path": "own/9.png", "seed": 9})
    built(tiny_encoder, path, write(tmp_path / "r", rows))
    left = {(one["path"], one["artist"], one["arm"], "m-1") for one in rows[:-1]}
    root = verify(path).root
    optimize(path, kind="auto")
    assert not migrate(path).changed and verify(path).root == root and rows_in(path) == left
    remove(path, artists=["Bo"])
    left = {one for one in left if one[1] != "Bo"}
    assert rows_in(path) == left and verify(path).faults == []
    with Index(path) as index:
        rejects = index.rejects()
    assert [rejects[name].tolist() for name in ("arm", "model", "prompt", "seed", "blocked", "reason")] == [
        ["own"], ["m-1"], ["by Ada"], [9], ["all black"], ["blocked: all black"],
    ]  # fmt: skip
    remove(path, artists=["Ada", "Cy"])
    remove(path, collections=["r1"])
    with Index(path) as index:
        assert (index.n, len(index.rejects()["path"])) == (0, 0)
    with h5py.File(path) as file:
        assert "arm" not in file["items"] and "blocked" not in file["rejects"]


def test_an_artist_of_two_arms_is_refused_before_encoding(tiny_encoder: Encoder, tmp_path: Path) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    rows[1]["arm"] = "placebo"
    with pytest.raises(
        ImindexError, match=r"Ada has pictures of two arms in r1: .* is own, and .* is placebo"
    ):
        built(tiny_encoder, path, write(tmp_path / "r", rows))
    assert not path.exists()
    rows[1]["collection"] = "r2"  # in another release, a name may be of another arm
    assert built(tiny_encoder, path, write(tmp_path / "r", rows))[0].rows == 10


def test_arms_of_a_stranger_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path, example(items=item_columns([row(1, 0, 1, arm="own"), row(2, 1, 1, arm="king")])))
    with (
        Index(path) as index,
        pytest.raises(ImindexError, match=r"/items/arm holds 'king', which is not one of own"),
    ):
        index.column("arm")
    assert any("king" in fault.said for fault in verify(path).faults)


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("items", "arm", ["own"]),
        ("items", "model", np.zeros(2, "<i8")),
        ("rejects", "seed", ["1", "2"]),
        ("rejects", "blocked", ["x"]),
    ],
)
def test_columns_of_another_shape_or_type_are_refused(
    tmp_path: Path, table: str, column: str, values: Any
) -> None:
    path = tmp_path / "i.h5"
    save(path, example(items=item_columns([row(1, 0, 0), row(2, 1, 1)])))
    with h5py.File(path, "r+") as file:
        kind = h5py.string_dtype("utf-8") if isinstance(values, list) else None
        file[table].create_dataset(column, data=values, dtype=kind)
    with pytest.raises(ImindexError, match=f"/{table}/{column}"):
        Index(path).column(column, table)


def test_a_column_without_values_and_one_without_digest_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    save(path)
    with h5py.File(path, "r+") as file:
        file["items"].create_dataset("arm", data=[""] * 6, dtype=h5py.string_dtype("utf-8"))
    said = {fault.where: fault.said for fault in verify(path).faults}
    assert "has no digest" in said["items/arm"] or "holds no value" in said["items/arm"]
    assert "root-digest" in said
    with pytest.raises(ImindexError, match="items/arm has no digest in the file"):
        remove(path, artists=["Zoë"])


def test_a_changed_arm_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    items = [row(n, n % 3, 1, arm="own", model="one") for n in range(6)]
    save(path, example(items=item_columns(items)))
    data = path.read_bytes()
    with h5py.File(path) as file:
        assert set(file["digests"].attrs) >= {"items/arm", "items/model"}
    for old, new in ((b"own", b"0wn"), (b"one", b"two")):
        assert old in data
        path.write_bytes(data.replace(old, new))
        where = {fault.where for fault in verify(path).faults}
        assert {"items/arm" if old == b"own" else "items/model", "root-digest"} <= where


def test_the_names_mean_nothing_in_older_formats(tmp_path: Path) -> None:
    """A file of format 1.2 with such columns reads as one without."""
    path = tmp_path / "i.h5"
    save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "1.2"
        file["items"].create_dataset("arm", data=["king"] * 6, dtype=h5py.string_dtype("utf-8"))
        file["rejects"].create_dataset("seed", data=np.arange(9))
    with Index(path) as index:
        assert index.column("arm").tolist() == [""] * 6 and index.rejects()["seed"].tolist() == [-1, -1]
        assert recompute_root_digest(index) == index.root_digest
        kept = index.contents()
        assert set(kept.items["arm"]) == {""}
    assert {fault.where for fault in verify(path).faults} == {"attributes"}  # the version that was edited


# Blocked pictures


def test_blocked_pictures_of_a_manifest_are_rejects_with_their_data(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    rows[0]["blocked"], rows[3]["blocked"], rows[8]["blocked"] = "safety filter", "True", "0"
    (tmp_path / "r" / rows[0]["path"]).unlink()  # some tools write no file
    report, _ = built(tiny_encoder, path, write(tmp_path / "r", rows), strict=True)
    assert (report.rows, report.blocked, report.rejected) == (8, 2, 0)
    with Index(path) as index:
        rejects, (collection, control) = index.rejects(), describe(index).collections
        assert index.log()[-1]["summary"].endswith(" 0 rejected, 2 blocked")
        assert [index.artists[n] for n in rejects["artist"]] == ["Ada", "Bo"]
    assert rejects["blocked"].tolist() == ["safety filter", "marked in the manifest"]
    assert rejects["reason"].tolist() == ["blocked: safety filter", "blocked: marked in the manifest"]
    assert rejects["arm"].tolist() == ["own", "placebo"] and rejects["seed"].tolist() == [0, 0]
    assert (collection.blocked, collection.rejected, control.blocked) == (2, 0, 0)
    assert verify(path).faults == []
    before = path.stat()
    again, counting = built(tiny_encoder, path, write(tmp_path / "r", rows))
    assert (again.unchanged, again.blocked, counting.count) == (
        8,
        2,
        0,
    ) and path.stat().st_ino == before.st_ino
    # A picture that is no longer marked is encoded; one that is marked later loses its row.
    rows[3]["blocked"], rows[4]["blocked"] = "", "safety filter"
    changed, counting = built(tiny_encoder, path, write(tmp_path / "r", rows))
    assert (changed.rows, changed.added, changed.blocked, counting.count) == (8, 1, 2, 1)
    assert {one[0] for one in rows_in(path)} == {one["path"] for n, one in enumerate(rows) if n not in (0, 4)}


BLACK: dict[str, Callable[[Path], Path]] = {
    "png": lambda folder: black(folder / "a.png"),
    "with text": lambda folder: black(folder / "b.png", (33, 17), pnginfo=_text()),
    "jpeg": lambda folder: black(folder / "c.jpg", (64, 48), quality=75),
    "progressive": lambda folder: black(folder / "d.jpg", (64, 48), progressive=True),
    "grey": lambda folder: black(folder / "e.png", mode="L"),
    "palette": lambda folder: black(folder / "f.png", mode="P"),
    "bilevel": lambda folder: black(folder / "g.png", mode="1"),
    "webp": lambda folder: black(folder / "h.webp", lossless=True),
    "16 bit": lambda folder: black(folder / "i.png", mode="I;16"),
    "bmp": lambda folder: black(folder / "j.bmp"),
    "large": lambda folder: black(folder / "k.png", (1200, 900)),
    "a pixel": lambda folder: black(folder / "l.png", (1, 1)),
}


def _text() -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("prompt", "something unsafe")
    return info


@pytest.mark.parametrize("kind", ["imitations/r1/Ada", "control"])
def test_black_pictures_of_a_folder_are_blocked(tiny_encoder: Encoder, tmp_path: Path, kind: str) -> None:
    folder, path = tmp_path / "art" / kind, tmp_path / "i.h5"
    for draw in BLACK.values():
        draw(folder)
    picture(1).save(folder / "z.png")
    report, counting = built(tiny_encoder, path, tmp_path / "art", strict=True)
    assert (report.blocked, report.rejected, report.rows, counting.count) == (len(BLACK), 0, 1, 1)
    assert report.reasons == (("blocked: all black", len(BLACK)),)
    with Index(path) as index:
        assert set(index.rejects()["blocked"]) == {"all black"}
        assert check_rejects(index) == []  # each is black, so nothing is hidden
    said = json.loads(run("info", "-i", path, "--json").stdout)
    assert said["collections"][0]["blocked"] == len(BLACK) and said["collections"][0]["rejected"] == 0
    assert f"{len(BLACK)} pictures, by a safety filter" in run("info", "-i", path).output


def test_what_is_not_entirely_black_is_kept(tiny_encoder: Encoder, tmp_path: Path) -> None:
    folder, path = tmp_path / "art/imitations/r1/Ada", tmp_path / "i.h5"
    folder.mkdir(parents=True)
    one_pixel = Image.new("RGB", (300, 200))
    one_pixel.putpixel((299, 199), (0, 0, 1))
    one_pixel.save(folder / "pixel.png")
    for name, colour in (("white", (255,) * 3), ("nearly", (1, 1, 1)), ("blue", (0, 0, 255))):
        Image.new("RGB", (40, 40), colour).save(folder / f"{name}.png")
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(folder / "clear.png")  # over white
    dark = Image.fromarray((np.arange(48 * 48 * 3).reshape(48, 48, 3) % 2).astype(np.uint8))
    dark.save(folder / "dark.png")
    report, _ = built(tiny_encoder, path, tmp_path / "art")
    assert (report.rows, report.blocked) == (6, 0)


@pytest.mark.parametrize("kind", ["works/Ada", "background/Ada"])
def test_black_works_are_works(tiny_encoder: Encoder, tmp_path: Path, kind: str) -> None:
    black(tmp_path / "art" / kind / "square.png")
    report, _ = built(tiny_encoder, tmp_path / "i.h5", tmp_path / "art")
    assert (report.rows, report.blocked) == (1, 0)


@pytest.mark.parametrize("order", ["together", "work first", "imitation first", "resumed"])
def test_a_black_work_and_a_blocked_picture_of_the_same_bytes(
    tiny_encoder: Encoder, tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which pictures are blocked depends on their kind and bytes only, not on what was encoded before."""
    work = black(tmp_path / "art/works/Ada/square.png")
    other = black(tmp_path / "art/imitations/r1/Ada/0.png")
    again = black(tmp_path / "art/imitations/r1/Ada/1.png")
    assert len({file.read_bytes() for file in (work, other, again)}) == 1
    path, works, made = tmp_path / "i.h5", tmp_path / "art/works", tmp_path / "art/imitations"
    if order == "resumed":
        from imindex.indexer.build import build as module

        def full(*arguments: object, **options: object) -> str:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(module, "write", full)
            built(tiny_encoder, path, works)
        assert path.with_name("i.h5.parts").exists()
    sources = {"work first": [works, made], "imitation first": [made, works]}.get(order, [tmp_path / "art"])
    sound = ["2.png"] if order == "imitation first" else []  # an index without rows is not written
    for name in sound:
        picture(3).save(made / "r1/Ada" / name)
    for source in sources:
        built(tiny_encoder, path, source)
    with Index(path) as index:
        assert [Path(one).name for one in index.column("path")] == [*sound, "square.png"]
        assert sorted(Path(one).name for one in index.rejects()["path"]) == ["0.png", "1.png"]
    for rehash in (False, True):
        report, counting = built(tiny_encoder, path, tmp_path / "art", rehash=rehash)
        n = 1 + len(sound)
        assert (report.unchanged, report.blocked, report.rows, counting.count) == (n, 2, n, 0)


def test_rehash_finds_blocked_pictures_of_an_older_index(
    tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.indexer.decode import preprocess

    black(tmp_path / "art/imitations/r1/Ada/0.png")
    picture(2).save(tmp_path / "art/imitations/r1/Ada/1.png")
    for file in (tmp_path / "art").rglob("*.png"):
        os.utime(file, (time.time() - 3600,) * 2)
    path = tmp_path / "i.h5"
    with monkeypatch.context() as patch:  # as before there was a rule
        patch.setattr(preprocess, "_is_black", lambda values: False)
        assert built(tiny_encoder, path, tmp_path / "art")[0].rows == 2
    assert built(tiny_encoder, path, tmp_path / "art")[0].rows == 2  # unchanged files are not read
    report, counting = built(tiny_encoder, path, tmp_path / "art", rehash=True)
    assert (report.rows, report.blocked, counting.count) == (1, 1, 0)


def test_a_folder_of_blocked_pictures_only_is_an_error(tmp_path: Path, tiny_model: str) -> None:
    black(tmp_path / "art/imitations/r1/Ada/0.png")
    words = ("build", tmp_path / "art", "-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu")
    result = run(*words, code=1)
    assert "The only picture was rejected: blocked: all black (" in result.stderr
    picture(3).save(tmp_path / "art/imitations/r1/Ada/1.png")
    result = run(*words)
    assert "(0 unchanged, 0 rejected, 1 blocked)" in result.stdout
    assert "1 picture blocked by a safety filter" in result.stderr


def test_a_blocked_picture_that_is_not_black_rests_on_its_manifest(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    rows[0]["blocked"] = "safety filter"
    built(tiny_encoder, path, write(tmp_path / "r", rows))
    with Index(path) as index:
        ((file, problem),) = check_rejects(index)
        assert check_rejects(index, trust_manifest=True) == []
    assert file == "r/own/0.png" and "can be decoded" in problem
    said = run("verify", "-i", path, "--pictures").output
    assert "Of 1 reject, 1 still cannot be used. 1 of them is blocked by the word of the manifest." in said


def test_a_picture_that_is_not_black_cannot_be_hidden_as_black(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    reject = {
        "artist": 0, "collection": 1, "sha256": hashlib.sha256((tmp_path / "a.png").read_bytes()).digest(),
        "path": "a.png", "reason": "blocked: all black", "blocked": "all black",
    }  # fmt: skip
    encoder = replace(ENCODER, preprocess={"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3})
    save(tmp_path / "i.h5", example(encoder=encoder, rejects=reject_columns([reject])))
    with Index(tmp_path / "i.h5") as index:
        for trust in (False, True):
            ((file, problem),) = check_rejects(index, trust_manifest=trust)
            assert file == "a.png" and "can be decoded" in problem


def test_moved_files_keep_arms(tiny_encoder: Encoder, tmp_path: Path) -> None:
    rows, path = rows_of(tmp_path / "r"), tmp_path / "i.h5"
    built(tiny_encoder, path, write(tmp_path / "r", rows))
    shutil.move(tmp_path / "r/own", tmp_path / "r/mine")
    for one in rows[:3]:
        one["path"] = one["path"].replace("own/", "mine/")
    report, counting = built(tiny_encoder, path, write(tmp_path / "r", rows))
    assert (report.moved, counting.count) == (3, 0)
    assert rows_in(path) == {(one["path"], one["artist"], one["arm"], "m-1") for one in rows}


def test_rejects_round_trip(tmp_path: Path) -> None:
    rejects = [
        {"artist": 0, "collection": 1, "sha256": digest(3), "path": "a", "reason": "blocked: x", "arm": "own",
         "model": "m", "prompt": "p", "seed": 2**63 - 1, "blocked": "x"},
        {"artist": 0, "collection": 1, "sha256": digest(4), "path": "b", "reason": "empty file"},
    ]  # fmt: skip
    save(tmp_path / "i.h5", example(rejects=reject_columns(rejects)))
    with Index(tmp_path / "i.h5") as index:
        stored = index.rejects()
    assert stored["seed"].tolist() == [2**63 - 1, -1] and stored["blocked"].tolist() == ["x", ""]
    assert stored["arm"].tolist() == ["own", ""] and verify(tmp_path / "i.h5").faults == []


@pytest.mark.parametrize(
    "cell",
    ["FALSCH", "Falsch", "-", "n", "f", "0.00", "0,0", "00", "faux", "Nein", "false", "FALSE", "\u2013"],
)
def test_no_is_no_in_other_languages(cell: str) -> None:
    assert blocked_of(cell) == ""


@pytest.mark.parametrize("cell", ["1", "WAHR", "vrai", "x", "y", "1.0", True])
def test_yes_is_yes_in_other_languages(cell: object) -> None:
    assert blocked_of(cell) == "marked in the manifest"
