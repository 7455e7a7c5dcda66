"""A finished audit, for tests that read it, recompute it or modify a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imindex.retrieval.audit.audit import Outcome
from tests.support.audits import PLAN, draw, run_plan
from tests.support.pipelines import save_pipeline


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """Works of three artists, two pipelines, and a plan."""
    root = tmp_path_factory.mktemp("world")
    for place, artist in enumerate(("Ada Example", "Bo Sample", "Cy Background")):
        draw(root / "works" / artist, 5, 100 * place)
    save_pipeline(root / "models/one", seed=1)
    save_pipeline(root / "models/two", seed=2, kind="sd-ddim")
    (root / "plan.toml").write_text(PLAN.format(encoder=tiny_model), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished audit."""
    root = tmp_path_factory.mktemp("finished") / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    return root, run_plan(root)


@pytest.fixture
def done(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A modifiable copy of a finished audit."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy", symlinks=True))
