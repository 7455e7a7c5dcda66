"""Seals: matches are reported, an edited seal is refused, and a faulty index is not sealed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.commands import last_line, run
from tests.support.places import ROOT
from tests.support.whole_index import DIM, save, whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "i.h5")
    return tmp_path / "i.h5"


@pytest.fixture
def seal(path: Path) -> Path:
    run("seal", "-i", path)
    return path.with_name("i.h5.seal.json")


def matches(path: Path, seal: Path, code: int = 0) -> dict[str, str]:
    said = json.loads(run("verify", "-i", path, "--seal", seal, "--json", code=code).stdout)
    return {one["what"]: one["status"] for one in said["seal"]["matches"]}


def test_a_seal_is_canonical_json_about_the_file(path: Path, seal: Path) -> None:
    data = seal.read_bytes()
    said = json.loads(data)
    assert (
        json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" == data
    )
    with Index(path) as index:
        assert said["index"] == {
            "name": "i.h5", "bytes": path.stat().st_size, "format": "1.1", "rows": 12, "rejects": 2,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "root-digest": index.root_digest,
        }  # fmt: skip
        assert said["encoder"]["weights-sha256"] == index.encoder.weights_sha256
    assert said["audit"] is None and len(data) < 1_500
    assert matches(path, seal) == {"file": "identical", "content": "identical", "encoder": "identical"}
    assert "exists already" in run("seal", "-i", path, code=1).stderr
    run("seal", "-i", path, "--force")


def test_a_rewritten_file_has_the_same_content(path: Path, seal: Path) -> None:
    contents, vectors = whole(12)
    with Index(path) as index:
        contents = replace(contents, log=index.log())
        root = index.root_digest
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(12, DIM)}
    write(path, contents, [vectors], entry=entry("", "as it was", root), **how)
    assert matches(path, seal) == {"file": "rewritten", "content": "identical", "encoder": "identical"}
    result = run("verify", "-i", path, "--seal", seal)
    assert "rewritten   file: different bytes with the same content" in result.stdout
    contents.items["width"] = contents.items["width"] + np.int32(1)
    write(path, contents, [vectors], entry=entry("", "other widths", root), **how)
    run("verify", "-i", path)  # sound, but not what was sealed
    assert matches(path, seal, code=1) == {"file": "differs", "content": "differs", "encoder": "identical"}
    assert "fault   seal: content" in run("verify", "-i", path, "--seal", seal, code=1).stdout


def test_content_is_recomputed_and_not_taken_from_the_file(path: Path, seal: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["items/seed"][2] = 77
    assert matches(path, seal, code=1)["content"] == "differs"
    assert "was not sealed" in run("seal", "-i", path, "--force", code=1).stderr


def test_an_edited_seal_is_refused(path: Path, seal: Path) -> None:
    good = seal.read_text()
    for bad, message in (
        (good.replace('"rows":12', '"rows": 12'), "was edited or reformatted since `imindex seal` wrote it"),
        (json.dumps({**json.loads(good), "more": 1}), "was edited or reformatted since `imindex seal` wrote it"),
        (good.replace("imindex-seal", "another"), "not the seal of an index"),
        (good.replace('"version":"1.1"', '"version":"9.0"'), "seal of version 9.0"),
        ("[]", "not the seal of an index"),
        ("{", "is not a seal"),
        ('{"audit":null,"encoder":{},"format":"imindex-seal","index":{},"program":"","version":"1.0","versions":{},'
         '"when":""}\n', "was edited or reformatted since `imindex seal` wrote it"),
    ):  # fmt: skip
        seal.write_text(bad)
        assert message in run("verify", "-i", path, "--seal", seal, code=1).stderr, bad
    seal.unlink()
    assert "does not exist" in run("verify", "-i", path, "--seal", seal, code=1).stderr
    assert last_line(run("seal", "-i", path, "-o", seal)).startswith(f"Sealed {path} (12 rows, root digest ")


@pytest.fixture
def gpg() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run gpg with a temporary key."""
    home = Path(tempfile.mkdtemp())  # its sockets need a short path
    home.chmod(0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["gpg", "--batch", *words], env=environment, capture_output=True, text=True, check=False
        )

    try:
        made = call("--passphrase", "", "--quick-gen-key", "test@example.org", "default", "default")
        assert made.returncode == 0, made.stderr
        yield call
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_signature_example_in_custody_md(path: Path, seal: Path, gpg: Callable[..., Any]) -> None:
    text = (ROOT / "indexer/CUSTODY.md").read_text(encoding="utf-8")
    shown = [line.partition("#")[0] for line in text.splitlines() if line.startswith("gpg ")]
    sign, check = (line.replace("audit.h5.seal.json", str(seal)).split()[1:] for line in shown)
    assert gpg(*sign).returncode == 0
    assert "Good signature" in gpg(*check).stderr
    assert matches(path, seal)["content"] == "identical"
    seal.write_text(seal.read_text().replace('"rows":12', '"rows":13'))
    assert "BAD signature" in gpg(*check).stderr
