"""Old files: an index of every format version opens, verifies, can be searched, and migrates."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import FORMAT_VERSION, FORMATS_READ, OPTIONAL_DTYPES
from imindex.indexer.integrity.verify import verify
from imindex.indexer.maintain.migrate import migrate
from imindex.indexer.store.index import Index
from imindex.retrieval.search.nearest import nearest
from tests.support.commands import last_line, run, shown
from tests.support.places import DATA

ARCHIVES = DATA / "archives"
VERSIONS = sorted(path.name for path in ARCHIVES.iterdir() if (path / "known.json").exists())
FILES = [
    (version, name)
    for version in VERSIONS
    for name in json.loads((ARCHIVES / version / "known.json").read_text(encoding="utf-8"))
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A copy of the archives to modify."""
    return Path(shutil.copytree(ARCHIVES, tmp_path / "archives"))


def unpacked(archive: Path, version: str, name: str) -> tuple[Path, dict[str, Any]]:
    path = archive / version / f"{name}.h5"
    if not path.exists():
        path.write_bytes(gzip.decompress(path.with_suffix(".h5.gz").read_bytes()))
    return path, json.loads((archive / version / "known.json").read_text(encoding="utf-8"))[name]


def holds(path: Path, known: dict[str, Any]) -> None:
    """The content of an index equals what plain h5py read from it when it was archived."""
    from imindex.indexer.ann.exact import ExactSearcher

    with Index(path) as index:
        assert (index.n, index.root_digest) == (known["n"], known["root-digest"])
        assert index.encoder.weights_sha256 == known["weights-sha256"]
        assert index.ann()["kind"] == known["kind"]
        assert list(index.artists) == known["artists/name"]
        assert [one.name for one in index.collections] == known["collections/name"]
        assert index.column("path")[:20].tolist() == known["items/path"]
        assert index.column("artist")[:20].tolist() == known["items/artist"]
        assert [bytes(one).hex() for one in index.column("sha256")[:20]] == known["items/sha256"]
        rejects = index.rejects()
        assert rejects["path"].tolist() == known["rejects/path"]
        assert rejects["reason"].tolist() == known["rejects/reason"]
        for table in ("items", "rejects"):
            for name in OPTIONAL_DTYPES[table]:
                values = index.column(name, table).tolist()
                assert values == known.get(f"{table}/{name}", values) and len(values) == len(
                    index.column("path", table)
                )
                assert f"{table}/{name}" in known or "arms" in path.stem or set(values) <= {"", -1}
        assert [line["command"] for line in index.log()][: len(known["log/command"])] == known["log/command"]
        assert hashlib.sha256(index.vectors.tobytes()).hexdigest() == known["vectors-sha256"]
        asked = np.array(index.vectors[[5]])
        found = nearest(ExactSearcher(index.vectors), index.vectors, asked, k=5)
        assert found.rows[0].tolist() == known["nearest-of-row-5"]
        assert found.scores[0] == pytest.approx(known["scores-of-row-5"], abs=1e-6)


def test_every_version_has_an_archive_of_that_version() -> None:
    assert tuple(VERSIONS) == FORMATS_READ and FORMATS_READ[-1] == FORMAT_VERSION
    assert ("1.0", "index") in FILES and ("1.0", "approximate") in FILES
    for version in VERSIONS:
        with h5py.File(ARCHIVES / version / "index.h5") as file:
            assert file.attrs["encoding-version"] == version
    assert sum(path.stat().st_size for path in ARCHIVES.rglob("*") if path.is_file()) < 80_000 * len(VERSIONS)


@pytest.mark.parametrize(("version", "name"), FILES)
def test_an_archived_index_opens_verifies_and_migrates(archive: Path, version: str, name: str) -> None:
    path, known = unpacked(archive, version, name)
    assert known["version"] == version
    holds(path, known)
    before = verify(path)
    assert before.faults == [] and before.version == version
    assert bool(before.uncovered) == (version == "1.0")
    with Index(path) as index:
        stamps, log, ann, data = index.stamps(), index.log(), index.ann(), index.ann_data().tobytes()
    report = migrate(path, command="imindex migrate")
    assert (report.before, report.after, report.root_digest) == (
        version,
        FORMAT_VERSION,
        known["root-digest"],
    )
    assert report.changed == (version != FORMAT_VERSION)
    holds(path, known)
    after = verify(path)
    assert after.faults == [] and after.version == FORMAT_VERSION and after.uncovered == ()
    with Index(path) as index:
        assert [one.tolist() for one in index.stamps()] == [one.tolist() for one in stamps]
        assert index.ann() == ann and index.ann_data().tobytes() == data
        kept, new = index.log()[: len(log)], index.log()[len(log) :]
    assert [{key: line[key] for key in old} for line, old in zip(kept, log, strict=True)] == log
    assert [line["summary"] for line in new] == [
        f"migrate: format {version} to {FORMAT_VERSION}"
    ] * report.changed
    assert not migrate(path).changed
    assert sorted(one.name for one in path.parent.iterdir() if one.name.startswith(".")) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_an_archived_index_can_be_extended(archive: Path, version: str) -> None:
    path, known = unpacked(archive, version, "index")
    result = run(
        "verify",
        "-i",
        path,
        "--pictures",
        "--replay",
        4,
        "--root",
        archive,
        "--device",
        "cpu",
        "--root",
        archive,
    )
    assert "12 are unchanged, 0 changed" in result.stdout and "4 were encoded again" in result.stdout
    (archive / "art/works/Bo Sample/3.png").unlink()
    run("build", archive / "art", "-i", path, "--prune", "--yes", "--device", "cpu")
    with Index(path) as index:
        assert (index.n, index.version) == (known["n"] - 1, FORMAT_VERSION)
        assert index.log()[-1]["digest-before"] == known["root-digest"]
    assert verify(path).faults == []


def test_faulty_file_is_not_migrated(archive: Path) -> None:
    path, _ = unpacked(archive, "1.0", "index")
    with h5py.File(path, "r+") as file:
        file["items/width"][2] = 25
    data = path.read_bytes()
    with pytest.raises(ImindexError, match=r"items/width: .* was not migrated"):
        migrate(path)
    assert path.read_bytes() == data


def test_the_commands_report_the_format_version(archive: Path) -> None:
    path, known = unpacked(archive, "1.0", "index")
    assert "imindex migrate" in run("verify", "-i", path).stdout
    text = shown("info", "-i", path, "--provenance")
    assert "not recorded" in text and known["root-digest"] in text
    digest = known["root-digest"][:12]
    said = last_line(run("migrate", "-i", path))
    assert said == f"Migrated {path} from format 1.0 to 1.4: 12 rows, root digest {digest} as before."
    assert last_line(run("migrate", "-i", path)) == f"{path} is already in format 1.4: nothing to do."
    assert json.loads(run("migrate", "-i", path, "--json").stdout)["changed"] is False
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "1.9"
    assert (
        "has format version 1.9; this imindex reads 1.0, 1.1, 1.2, 1.3 and 1.4"
        in run("migrate", "-i", path, code=1).stderr
    )
