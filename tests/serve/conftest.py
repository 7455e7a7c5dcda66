"""A small index of drawn works and imitations, and a service of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageOps

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


PLAN = """
title = "Two drawn releases"
seed = 7
[artists]
tested = [{names}]
[[releases]]
name = "early"
pictures = "imitations/early"
placebos = ["inv *"]
[[releases]]
name = "final"
pictures = "imitations/final"
placebos = ["inv *"]
[[encoders]]
name = "demo"
model = "demo"
[tests]
n_resamples = 99
adjust = "bh"
[compare]
base = "early"
"""


@pytest.fixture(scope="session")
def audited_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan and its finished audit, which has two candidates for copies."""
    folder = tmp_path_factory.mktemp("audited")
    names = NAMES[:4]
    invented = NAMES[4:9]
    for release, first in (("early", 50), ("final", 90)):
        for place, name in enumerate((*names, *(f"inv {n}" for n in range(5)))):
            (folder / "imitations" / release / name).mkdir(parents=True)
            # Placebo pictures are drawn in styles of which no works are there.
            style = name if place < len(names) else invented[place - len(names)]
            for seed in range(first, first + 3):
                draw(style, seed=seed, size=96).save(folder / "imitations" / release / name / f"{seed}.png")
    for name in names:
        (folder / "works" / name).mkdir(parents=True)
        for seed in range(6):
            draw(name, seed=seed, size=96).save(folder / "works" / name / f"{seed}.png")
    shutil.copy(folder / "works" / names[0] / "0.png", folder / "imitations/final" / names[0] / "same.png")
    with Image.open(folder / "works" / names[1] / "1.png") as work:
        ImageOps.mirror(work.convert("RGB")).save(folder / "imitations/final" / names[1] / "mirrored.png")
    quoted = ", ".join(f'"{name}"' for name in names)
    (folder / "plan.toml").write_text(PLAN.replace("{names}", quoted), encoding="utf-8")
    imindex.audit(folder / "plan.toml", device="cpu", pictures=False)
    return folder


@pytest.fixture
def audited(audited_once: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(audited_once, tmp_path / "audited")
