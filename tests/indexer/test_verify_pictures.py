"""Verification against the originals: pictures by their digests, vectors by encoding a sample again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner

from imindex import main
from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.integrity.verify import verify
from imindex.indexer.integrity.verify_pictures import Folders, check_pictures, most_false, replay
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.commands import last_line, run
from tests.support.places import ROOT


@pytest.fixture
def built(works: Callable[..., Path], tiny_model: str, tmp_path: Path) -> Path:
    root, index = works({"works/ada": 3, "works/bo": 3, "control": 2}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    return index


def test_every_original_is_classified(built: Path) -> None:
    art = built.parent / "art"
    with Index(built) as index:
        found = check_pictures(index)
        assert (found.same, found.listed) == (8, [])
    data = (art / "works/ada/000.png").read_bytes()
    (art / "works/ada/000.png").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (art / "works/ada/001.png").unlink()
    (art / "works/bo/002.png").unlink()
    (art / "works/bo/002.png").mkdir()
    with Index(built) as index:
        found = check_pictures(index)
        assert (found.same, found.changed, found.missing, found.unreadable) == (5, 1, 1, 1)
        assert found.same + found.changed + found.missing + found.unreadable == index.n
    assert found.listed == [
        ("changed", "art/works/ada/000.png"), ("missing", "art/works/ada/001.png"),
        ("unreadable", "art/works/bo/002.png"),
    ]  # fmt: skip
    result = run("verify", "-i", built, "--pictures", code=3)
    assert "5 are unchanged, 1 changed, 1 missing, 1 unreadable" in result.stdout
    assert last_line(result).startswith("Found 3 faults in ")
    assert not verify(built).faults  # the index itself is sound


def test_a_replay_reproduces_the_stored_vectors_or_names_the_others(
    built: Path, tiny_encoder: Encoder
) -> None:
    with Index(built) as index:
        found = replay(index, 100, tiny_encoder)
        assert (found.asked, found.compared, found.identical, found.differing) == (8, 8, 8, ())
        assert found.least == pytest.approx(1, abs=1e-6)
        three = [replay(index, 3, tiny_encoder, seed=seed) for seed in (0, 0, 1)]
        assert three[0] == three[1] and three[0].compared == 3 and three[0].least > 0.9999
        contents, vectors = index.contents(), np.array(index.vectors)
    vectors[[1, 2]] = vectors[[2, 1]]
    write(
        built, contents, [vectors], ann=ann.describe(), ann_data=ann.exact_header(*vectors.shape),
        entry=entry("", "vectors in each other's place", contents.log[-1]["digest-after"]),
    )  # fmt: skip
    assert not verify(built).faults
    with Index(built) as index:
        found = replay(index, 8, tiny_encoder)
        paths = [index.column("path")[row] for row in (1, 2)]
    assert list(found.differing) == paths and found.identical == 6 and found.least < 0.9999
    said = json.loads(run("verify", "-i", built, "--replay", 8, "--device", "cpu", "--json", code=3).stdout)
    assert [fault["where"] for fault in said["faults"]] == paths and not said["sound"]
    assert said["replay"]["identical"] == 6
    for file in (built.parent / "art").rglob("*.png"):
        file.write_bytes(b"other")
    result = run("verify", "-i", built, "--replay", 2, "--device", "cpu", code=3)
    assert "fault   art/" in result.stdout and "not compared: the picture is changed" in result.stdout


def forge(index: Path, false: set[int]) -> None:
    """Replace vectors, and write the file with right digests."""
    with Index(index) as opened:
        contents, vectors = opened.contents(), np.array(opened.vectors)
    noise = np.random.default_rng(0).normal(size=vectors.shape)
    rows = sorted(false)
    vectors[rows] = (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float16)[rows]
    write(
        index, contents, [vectors], ann=ann.describe(), ann_data=ann.exact_header(*vectors.shape),
        entry=entry("", "forged", contents.log[-1]["digest-after"]),
    )  # fmt: skip


def test_a_forger_cannot_know_the_rows_of_a_replay(built: Path, tiny_encoder: Encoder) -> None:
    spared = set(np.random.default_rng(0).choice(8, 2, replace=False).tolist())
    forge(built, set(range(8)) - spared)
    replayed = ("verify", "-i", built, "--replay", 2, "--device", "cpu", "--json")

    def verified(*words: object) -> Any:
        return json.loads(CliRunner().invoke(main, [str(word) for word in (*replayed, *words)]).stdout)

    said = [verified() for _ in range(8)]
    assert len({one["replay"]["seed"] for one in said}) == 8
    assert sum(not one["sound"] for one in said) >= 5  # 2 spared rows of 8 are drawn with probability 1/28
    again = verified("--seed", said[0]["replay"]["seed"])
    assert again["replay"] == said[0]["replay"]
    every = json.loads(
        run("verify", "-i", built, "--replay", "all", "--device", "cpu", "--json", code=3).stdout
    )
    assert every["replay"]["asked"] == 8 and len(every["replay"]["differing"]) == 6
    with Index(built) as index:
        assert len({replay(index, 2, tiny_encoder).seed for _ in range(20)}) == 20


def test_custody_md_states_the_probability_of_finding_a_false_vector() -> None:
    text = (ROOT / "indexer/CUSTODY.md").read_text(encoding="utf-8")
    stated = re.search(
        r"with (\d+) false rows among ([\d,]+), (\d+) draws find one with a probability of (\d+) %", text
    )
    assert stated
    false, rows, drawn, percent = (int(number.replace(",", "")) for number in stated.groups())
    assert round(100 * (1 - scipy.stats.hypergeom.pmf(0, rows, false, drawn))) == percent


@pytest.mark.parametrize(("rows", "drawn"), [(1_000, 100), (8, 2), (8, 8), (50, 1), (10**9, 1_000), (5, 0)])
def test_limit_of_false_rows_is_that_of_the_hypergeometric_distribution(rows: int, drawn: int) -> None:
    most = most_false(rows, drawn)
    assert 0 <= most <= rows - drawn
    assert not most or scipy.stats.hypergeom.pmf(0, rows, most, drawn) > 0.05
    if most < rows - drawn:
        assert scipy.stats.hypergeom.pmf(0, rows, most + 1, drawn) <= 0.05


def test_a_replay_says_what_it_could_not_compare(built: Path) -> None:
    result = run("verify", "-i", built, "--replay", 7, "--device", "cpu")
    assert (
        "confidence of 95 %, at most 1 row of the others (12.5 % of all) has a vector that differs"
        in result.stdout
    )
    (built.parent / "art/works/ada/001.png").unlink()
    result = run("verify", "-i", built, "--replay", "all", "--device", "cpu", code=3)
    assert "fault   art/works/ada/001.png: not compared: the picture is missing" in result.stdout
    assert "7 were encoded again: 7 vectors are identical bit for bit" in result.stdout
    assert "is neither all nor" in run("verify", "-i", built, "--replay", "0", code=2).stderr


def test_pictures_outside_the_folder_of_the_index_are_opened_only_on_request(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root = works({"works/ada": 2, "works/bo": 1})
    (tmp_path / "sent").mkdir()
    path = tmp_path / "sent/i.h5"
    (root / "works/bo/001.png").symlink_to(root / "works/ada/001.png")
    run("build", root, "-i", path, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    result = run("verify", "-i", path, "--pictures", code=4)
    assert "0 are unchanged" in result.stdout and "4 outside the folder of the index" in result.stdout
    assert (
        "Not found here: 4 pictures were not opened, such as ../art/works/ada/000.png, because"
        in result.stdout
    )
    assert "outside the folder of the index. Pass --root FOLDER" in result.stdout
    assert last_line(result).startswith("No faults in what was compared of ")
    result = run("verify", "-i", path, "--replay", 3, "--device", "cpu", code=4)
    assert "Not found here: 3 pictures were not opened" in result.stdout
    run("verify", "-i", path, "--pictures", "--replay", "all", "--root", root, "--device", "cpu")
    run("verify", "-i", path, "--pictures", "--root", root / "works/ada", code=4)
    moved = tmp_path / "sent/art"
    moved.symlink_to(root)  # a link inside the folder leads out of it
    with Index(path) as index:
        assert Folders(index.folder).path("art/works/ada/000.png") is None
        assert Folders(index.folder, [root]).path("art/works/ada/000.png") is not None
        assert (
            Folders(index.folder).path("/etc/hostname") is None and Folders(index.folder).path("a\0b") is None
        )


def test_rejects_that_are_not_opened_are_no_fault(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "sent/i.h5"
    path.parent.mkdir()
    for name in ("x", "y"):
        (root / f"works/ada/{name}.png").write_bytes(b"no picture")
    run("build", root, "-i", path, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    result = run("verify", "-i", path, "--pictures", code=4)
    assert "fault " not in result.stdout and "rejects that were not opened" in last_line(result)
    assert "Of 2 rejects, 2 were not opened, such as ../art/works/ada/x.png, because" in result.stdout
    opened = run("verify", "-i", path, "--pictures", "--root", root)
    assert "Of 2 rejects, 2 still cannot be used." in opened.stdout
    (root / "works/ada/x.png").unlink()
    gone = run("verify", "-i", path, "--pictures", "--root", root, code=3)
    assert "1 still cannot be used, 1 was not found, so not decoded again." in gone.stdout


def test_every_missing_picture_is_counted_once(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 30}), tmp_path / "i.h5"
    (root / "works/ada/x.png").write_bytes(b"no picture")
    run("build", root, "-i", path, "--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    shutil.rmtree(root / "works")
    words = ("verify", "-i", path, "--pictures", "--replay", "all", "--device", "cpu")
    result = run(*words, code=3)
    assert last_line(result).startswith("Found 31 faults in ")
    assert result.stdout.count("not compared: the picture is missing") == 0
    assert "30 pictures that were drawn could not be compared" in result.stdout
    assert "Of 1 reject, 1 was not found, so not decoded again." in result.stdout
    alone = run(*words[:3], *words[4:], code=3)  # without --pictures, the replay lists them
    assert alone.stdout.count("not compared: the picture is missing") == 20
    assert last_line(alone).startswith("Found 31 faults in ")


def test_vectors_moved_within_the_limit_are_said_and_a_fault_on_request(
    built: Path, tiny_encoder: Encoder
) -> None:
    with Index(built) as index:
        contents, vectors = index.contents(), np.array(index.vectors)
    vectors[2, 0] = np.nextafter(vectors[2, 0], np.float16(2))
    write(
        built, contents, [vectors], ann=ann.describe(), ann_data=ann.exact_header(*vectors.shape),
        entry=entry("", "moved", contents.log[-1]["digest-after"]),
    )  # fmt: skip
    words = ("verify", "-i", built, "--replay", "all", "--device", "cpu")
    assert "1 vector differs within the limit." in run(*words).stdout
    assert "fault   replay: 1 vector not identical bit for bit" in run(*words, "--identical", code=3).stdout
    moved = vectors.astype(np.float64)
    moved[2] += 0.002 * np.linalg.norm(moved[2]) * np.roll(moved[2], 1)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    write(
        built, contents, [moved.astype(np.float16)], ann=ann.describe(), ann_data=ann.exact_header(*vectors.shape),
        entry=entry("", "moved", contents.log[-1]["digest-after"]),
    )  # fmt: skip
    result = run(*words, code=3)  # a cosine of 0.999998, which is far beyond rounding in fp32
    assert "cosine below 0.999999" in result.stdout


def test_an_index_behind_a_link_is_that_of_its_own_folder(built: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/i.h5").symlink_to(built)
    run("verify", "-i", tmp_path / "home/i.h5", "--pictures")
    with Index(tmp_path / "home/i.h5") as index:
        assert index.folder == built.parent
