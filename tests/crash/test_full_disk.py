"""A full disk: `export` takes its room first and leaves nothing behind; an audit goes on where it stopped."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from tests.support.approximate import clustered, save
from tests.support.audits import PLAN, draw

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts, and limits of Linux")
ROWS = 6000


def imindex(folder: Path, *words: object, file_bytes: int = 0) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(
        [sys.executable, "-m", "imindex", *map(str, words)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300, preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a tmpfs of a size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(size: str) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this test needs the right to mount a tmpfs")
        return place

    yield mounted
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def fill(disk: Path, left: int) -> None:
    """Leave so many bytes free."""
    (disk / "ballast").unlink(missing_ok=True)
    (disk / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - left)))


def nothing_left(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize("left", [0, 100_000, 384_000, 500_000, 900_000])
def test_an_export_on_a_full_disk_leaves_nothing_and_is_repeated(
    mount: Callable, tmp_path: Path, left: int
) -> None:
    index = save(tmp_path / "i.h5", clustered(ROWS))
    disk = mount("8m")
    fill(disk, left)
    ended = imindex(disk, "export", "-i", index, "out")
    assert ended.returncode == 1, (ended.returncode, ended.stderr)
    assert "No space left on device. Free space" in ended.stderr and "Traceback" not in ended.stderr
    assert nothing_left(disk / "out")
    (disk / "ballast").unlink()
    again = imindex(disk, "export", "-i", index, "out")
    assert again.returncode == 0, again.stderr
    assert np.load(disk / "out/vectors.npy").shape == (ROWS, 32)
    assert pyarrow.parquet.read_table(disk / "out/items.parquet").num_rows == ROWS


@pytest.mark.parametrize("limit", [1024, 200_000, 384_000])
def test_an_export_within_a_file_size_limit(tmp_path: Path, limit: int) -> None:
    index = save(tmp_path / "i.h5", clustered(ROWS))
    ended = imindex(tmp_path, "export", "-i", index, "out", file_bytes=limit)
    assert ended.returncode == 1 and "ulimit -f" in ended.stderr, (ended.returncode, ended.stderr)
    assert nothing_left(tmp_path / "out")
    assert imindex(tmp_path, "export", "-i", index, "out").returncode == 0


def test_a_failed_export_keeps_the_files_of_an_earlier_one(mount: Callable, tmp_path: Path) -> None:
    index = save(tmp_path / "i.h5", clustered(ROWS))
    disk = mount("8m")
    assert imindex(disk, "export", "-i", index, "out").returncode == 0
    before = {path.name: path.read_bytes() for path in (disk / "out").iterdir()}
    fill(disk, 100_000)
    assert imindex(disk, "export", "-i", index, "out", "--force").returncode == 1
    assert {path.name: path.read_bytes() for path in (disk / "out").iterdir()} == before


@pytest.mark.slow
def test_an_audit_on_a_full_disk_is_resumed(mount: Callable, model: Callable, tmp_path: Path) -> None:
    root = tmp_path / "inputs"
    for artist in ("Ada Example", "Bo Sample"):
        draw(root / "works" / artist, 4, len(artist))
    for name in ("one", "two"):
        shutil.copytree(model("sd"), root / "models" / name)
    (root / "plan.toml").write_text(PLAN.format(encoder="demo"))
    whole = imindex(root, "audit", "run", "plan.toml", "--out", root / "whole", "--device", "cpu")
    assert whole.returncode == 0, whole.stderr
    disk = mount("24m")
    for left in (20_000, 60_000, 200_000):
        fill(disk, left)
        ended = imindex(root, "audit", "run", "plan.toml", "--out", disk / "audit", "--device", "cpu")
        if ended.returncode == 0:
            break
        assert ended.returncode == 1 and "ree space" in ended.stderr, (ended.returncode, ended.stderr)
        assert "Traceback" not in ended.stderr
    (disk / "ballast").unlink()
    ended = imindex(root, "audit", "run", "plan.toml", "--out", disk / "audit", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    assert not list(disk.rglob("*.imindex-new"))
    for release in ("one", "two"):
        pictures = sorted(
            path.relative_to(root / "whole")
            for path in (root / "whole").glob(f"imitations/{release}/**/*.png")
        )
        assert pictures and all(
            (disk / "audit" / path).read_bytes() == (root / "whole" / path).read_bytes() for path in pictures
        )
