"""A small index of drawn works and imitations, and a service of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import imindex
from imindex.indexer.demo.artists import NAMES, draw
from tests.support.browser import Served, serving


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with works of 6 artists, two releases of imitations, and audit.h5."""
    folder = tmp_path_factory.mktemp("drawn")
    for kind, first, n in (("works", 0, 6), ("imitations/early", 50, 3), ("imitations/final", 90, 3)):
        for name in NAMES[:6]:
            (folder / kind / name).mkdir(parents=True)
            for seed in range(first, first + n):
                draw(name, seed=seed, size=96).save(folder / kind / name / f"{seed}.png")
    imindex.build(folder, folder / "audit.h5", model="demo", device="cpu", precision="fp32")
    return folder


@pytest.fixture
def copied(drawn: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(drawn, tmp_path / "drawn")


@pytest.fixture(scope="session")
def service(drawn: Path) -> Iterator[Served]:
    """A service of the index. Tests share it, and do not change what it serves."""
    with serving("-i", drawn / "audit.h5", "--device", "cpu") as served:
        yield served
