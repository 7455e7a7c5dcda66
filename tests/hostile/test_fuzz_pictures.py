"""Broken pictures of every format, decoded as a build does: no signal, no hang, nothing but BadPicture.

This runs a few hundred; `scripts/bench/fuzz_pictures` runs for any length of time. `FINDS` holds what it found.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from imindex.indexer.decode import pillow as rgb
from imindex.indexer.decode.jpeg import is_plain_jpeg
from imindex.indexer.decode.limits import Limits
from tests.support.mutations import mutations, seeds
from tests.support.places import child_environment


@pytest.mark.skipif(sys.platform == "win32", reason="takes an alarm for hangs")
@pytest.mark.parametrize(("kind", "count"), [("jpeg", 300), ("other", 600)])
def test_broken_pictures_give_a_reason_and_nothing_else(kind: str, count: int, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.support.fuzz", "1", "60", str(count), str(tmp_path), kind]
    run = subprocess.run(words, capture_output=True, text=True, check=False, env=child_environment())
    where = (tmp_path / "name").read_text()
    assert run.returncode == 0, f"{where}: {run.returncode}: {run.stderr[-2000:]}"
    said = json.loads(run.stdout.splitlines()[-1])
    assert (
        said["decoded"] > count / 10 and 0 < said["fine"] < said["decoded"]
    )  # neither too broken nor too little


def test_seed_files_are_valid_pictures() -> None:
    made = seeds()
    assert len(made) > 35
    for name, data in made.items():
        if name not in ("eps", "fli"):
            assert rgb.read(data, Limits()).width >= 16, name
    assert {name for name, data in made.items() if is_plain_jpeg(data)} == {
        "jpeg", "jpeg 4:4:4", "jpeg grey", "jpeg restarts", "jpeg exif", "jpeg profile",
    }  # fmt: skip
    formats = {Image.open(io.BytesIO(data)).format for name, data in made.items() if name != "fli"}
    assert len(formats) > 20
    first = [data for _, data in zip(range(50), (broken for _, broken in mutations(1)), strict=False)]
    assert len(set(first)) == 50
