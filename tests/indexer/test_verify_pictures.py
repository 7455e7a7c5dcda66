"""Verification against the originals: pictures by their digests, vectors by encoding a sample again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.integrity.verify import verify
from imindex.indexer.integrity.verify_pictures import check_pictures, replay
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.commands import last_line, run


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
    result = run("verify", "-i", built, "--pictures", code=1)
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
    said = json.loads(run("verify", "-i", built, "--replay", 8, "--device", "cpu", "--json", code=1).stdout)
    assert [fault["where"] for fault in said["faults"]] == paths and not said["sound"]
    assert said["replay"]["identical"] == 6
    for file in (built.parent / "art").rglob("*.png"):
        file.write_bytes(b"other")
    assert (
        "no vector was compared"
        in run("verify", "-i", built, "--replay", 2, "--device", "cpu", code=1).stdout
    )
