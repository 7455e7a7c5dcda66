"""Pipelines from strangers: a pickle or a module with code is refused, and the code does not run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core.errors import ImindexError
from tests.support.hostile_models import PICKLES


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "the code ran"


@pytest.mark.parametrize("save", PICKLES)
def test_a_pipeline(
    model: Callable[[str], Path],
    make: Callable[..., Any],
    mark: Path,
    tmp_path: Path,
    save: Callable[[Path, Path], None],
) -> None:
    evil = Path(shutil.copytree(model("sd"), tmp_path / "evil copy"))
    (weights,) = (evil / "unet").glob("*.safetensors")
    weights.unlink()
    save(mark, evil / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ImindexError):
        make("out", model=str(evil))
    assert not mark.exists()


def test_pipeline_with_custom_code_is_refused(
    model: Callable[[str], Path], make: Callable[..., Any], mark: Path, tmp_path: Path
) -> None:
    evil = Path(shutil.copytree(model("sd"), tmp_path / "evil copy"))
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Evil:\n    pass\n"
    for place in (evil / "pipeline.py", evil / "unet" / "evil.py", evil / "evil.py"):
        place.write_text(code)
    index = (evil / "model_index.json").read_text()
    for changed in (
        index.replace('"StableDiffusionPipeline"', '["pipeline", "Evil"]'),
        index.replace('"UNet2DConditionModel"', '"Evil"').replace(
            '"diffusers",\n    "Evil"', '"evil",\n    "Evil"'
        ),
    ):
        assert changed != index
        (evil / "model_index.json").write_text(changed)
        with pytest.raises(ImindexError):
            make("out", model=str(evil))
    assert not mark.exists()
